//! A drawing as an image like MNIST's, and an image turned and moved.
//!
//! MNIST's digits were scaled to fit a box of 20 x 20 pixels, keeping their proportions, with grey levels at the edges, and placed
//! so that their centre of mass is in the middle of 28 x 28 pixels (LeCun, Cortes and Burges, The MNIST database of handwritten digits).

use serde_json::Value;

use super::Outcome;

/// The side of an image, in pixels.
pub const SIDE: usize = 28;
/// The side of the box that a digit fits, in pixels.
const BOX: usize = 20;
/// Samples of a pixel along each side: a grey level is the share of its samples in the ink.
const FINE: usize = 8;
/// The most points of a drawing.
const MOST_POINTS: usize = 20_000;

/// What was drawn: the lines of a round pen. The canvas has a side of 1, and its first corner is the upper left one.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// The lines, each a list of points.
    pub strokes: Vec<Vec<[f64; 2]>>,
    /// The diameter of the pen.
    pub pen: f64,
}

impl Drawing {
    /// Checks that the points lie on the canvas.
    pub fn check(&self) -> Outcome<()> {
        let points = || self.strokes.iter().flatten();
        if points().count() > MOST_POINTS {
            return Err(format!("the drawing has more than {MOST_POINTS} points"));
        }
        if !points().flatten().all(|value| (0.0..=1.0).contains(value)) {
            return Err("a point of the drawing is not on the canvas".to_owned());
        }
        if !(0.005..=0.5).contains(&self.pen) {
            return Err(format!(
                "the pen is {} wide, but should be from 0.005 to 0.5 of the canvas",
                self.pen
            ));
        }
        Ok(())
    }

    /// Returns the drawing as grey levels from 0 to 255, as MNIST's digits were made; all 0 if nothing is drawn.
    pub fn image(&self) -> Vec<u8> {
        let points = || self.strokes.iter().flatten();
        if points().next().is_none() {
            return vec![0; SIDE * SIDE];
        }
        let reach = |side: usize| {
            let ends = points().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
                (low.min(point[side]), high.max(point[side]))
            });
            (ends.0 - self.pen / 2.0, ends.1 + self.pen / 2.0)
        };
        let [across, down] = [reach(0), reach(1)];
        let size = (across.1 - across.0).max(down.1 - down.0);
        let fine = (BOX * FINE) as f64 / size;
        let place = |point: &[f64; 2]| [(point[0] - across.0) * fine, (point[1] - down.0) * fine];
        let mut ink = vec![false; (BOX * FINE).pow(2)];
        for stroke in &self.strokes {
            let places: Vec<[f64; 2]> = stroke.iter().map(place).collect();
            // a single point is a line of length 0
            let lines = places.windows(2).map(|ends| [ends[0], ends[1]]);
            let dot = places.first().map(|&point| [point, point]);
            dot.into_iter().chain(lines).for_each(|line| draw_line(&mut ink, line, self.pen / 2.0 * fine));
        }
        let level = |row: usize, column: usize| {
            let samples = (0..FINE * FINE).filter(|sample| {
                ink[(row * FINE + sample / FINE) * BOX * FINE + column * FINE + sample % FINE]
            });
            (255.0 * samples.count() as f64 / (FINE * FINE) as f64).round() as u8
        };
        let levels: Vec<u8> = (0..BOX * BOX).map(|at| level(at / BOX, at % BOX)).collect();
        centred(&levels)
    }
}

/// Returns the image of a request as grey levels: its `pixels` (784 grey levels), or its `strokes` (lists of x, y, x, y, …) of a `pen`.
pub fn image(request: &Value) -> Outcome<Vec<u8>> {
    if let Some(pixels) = request["pixels"].as_array() {
        let level = |value: &Value| value.as_u64().and_then(|level| u8::try_from(level).ok());
        let levels: Option<Vec<u8>> = pixels.iter().map(level).collect();
        return levels
            .filter(|levels| levels.len() == SIDE * SIDE)
            .ok_or_else(|| format!("pixels are not {} whole numbers from 0 to 255", SIDE * SIDE));
    }
    let stroke = |stroke: &Value| -> Option<Vec<[f64; 2]>> {
        let numbers: Option<Vec<f64>> = stroke.as_array()?.iter().map(Value::as_f64).collect();
        Some(numbers?.as_chunks().0.to_vec())
    };
    let strokes: Option<Vec<_>> = request["strokes"].as_array().into_iter().flatten().map(stroke).collect();
    let strokes = strokes.ok_or("a stroke is not a list of numbers")?;
    let drawing = Drawing { strokes, pen: request["pen"].as_f64().unwrap_or(f64::NAN) };
    drawing.check()?;
    Ok(drawing.image())
}

/// Marks the samples whose distance to a line is at most `radius`.
fn draw_line(ink: &mut [bool], [from, to]: [[f64; 2]; 2], radius: f64) {
    let along = [to[0] - from[0], to[1] - from[1]];
    let length = along[0] * along[0] + along[1] * along[1];
    let range = |side: usize| {
        let (low, high) = (from[side].min(to[side]) - radius, from[side].max(to[side]) + radius);
        low.floor().max(0.0) as usize..(high.ceil().max(0.0) as usize).min(BOX * FINE)
    };
    for row in range(1) {
        for column in range(0) {
            let at = [column as f64 + 0.5 - from[0], row as f64 + 0.5 - from[1]];
            let share = (at[0] * along[0] + at[1] * along[1]) / length.max(1e-12);
            let share = share.clamp(0.0, 1.0);
            let distance = (at[0] - share * along[0]).hypot(at[1] - share * along[1]);
            if distance <= radius {
                ink[row * BOX * FINE + column] = true;
            }
        }
    }
}

/// Places the box so that its centre of mass lies in the pixel in row 14 and column 14, counted from 0, as in MNIST.
fn centred(levels: &[u8]) -> Vec<u8> {
    let mass: f64 = levels.iter().map(|&level| f64::from(level)).sum();
    let centre = |coordinate: fn(usize) -> usize| {
        let moment = |(at, &level): (usize, &u8)| (coordinate(at) as f64 + 0.5) * f64::from(level);
        (levels.iter().enumerate().map(moment).sum::<f64>() / mass.max(1.0)).floor() as usize
    };
    let [row, column] = [centre(|at| at / BOX), centre(|at| at % BOX)];
    let mut image = vec![0; SIDE * SIDE];
    for (at, &level) in levels.iter().enumerate() {
        let (to_row, to_column) = (at / BOX + SIDE / 2, at % BOX + SIDE / 2);
        let inside = |to: usize, centre: usize| to.checked_sub(centre).filter(|&to| to < SIDE);
        if let (Some(row), Some(column)) = (inside(to_row, row), inside(to_column, column)) {
            image[row * SIDE + column] = level;
        }
    }
    image
}

/// Turns an image clockwise about its middle and then moves it by `right` and `down` pixels. Between pixels, grey levels are
/// interpolated; what leaves the image is lost.
pub fn moved(image: &[u8], degrees: f64, [right, down]: [f64; 2]) -> Vec<u8> {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let middle = (SIDE as f64 - 1.0) / 2.0;
    let level = |row: f64, column: f64| {
        let inside = |at: f64| (0.0..SIDE as f64).contains(&at);
        if inside(row) && inside(column) {
            f64::from(image[row as usize * SIDE + column as usize])
        } else {
            0.0
        }
    };
    let pixel = |at: usize| {
        let (x, y) = ((at % SIDE) as f64 - middle - right, (at / SIDE) as f64 - middle - down);
        let (column, row) = (cosine * x + sine * y + middle, cosine * y - sine * x + middle);
        let (left, top) = (column.floor(), row.floor());
        let (across, along) = (column - left, row - top);
        let upper = (1.0 - across) * level(top, left) + across * level(top, left + 1.0);
        let lower = (1.0 - across) * level(top + 1.0, left) + across * level(top + 1.0, left + 1.0);
        ((1.0 - along) * upper + along * lower).round() as u8
    };
    (0..SIDE * SIDE).map(pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(strokes: &[&[[f64; 2]]], pen: f64) -> Drawing {
        Drawing { strokes: strokes.iter().map(|stroke| stroke.to_vec()).collect(), pen }
    }

    fn extent(image: &[u8]) -> [(usize, usize); 2] {
        let ends = |coordinate: fn(usize) -> usize| {
            let inked = || (0..SIDE * SIDE).filter(|&at| image[at] > 0).map(coordinate);
            (inked().min().unwrap(), inked().max().unwrap())
        };
        [ends(|at| at % SIDE), ends(|at| at / SIDE)]
    }

    #[test]
    fn the_longer_side_is_20_pixels_and_proportions_are_kept() {
        // 0.6 high and 0.3 wide, with the pen
        let image = drawing(&[&[[0.1, 0.2], [0.3, 0.2], [0.3, 0.7], [0.1, 0.7], [0.1, 0.2]]], 0.1).image();
        let [(left, right), (top, bottom)] = extent(&image);
        assert_eq!((right - left + 1, bottom - top + 1), (10, 20));
        // a pixel in the line is full, and one in the middle is empty
        assert_eq!((image[14 * SIDE + left + 1], image[14 * SIDE + left + 5]), (255, 0));
    }

    #[test]
    fn place_and_size_on_the_canvas_do_not_matter() {
        let shape = [[0.0, 0.0], [0.2, 0.05], [0.05, 0.3]];
        let at = |scale: f64, right: f64, down: f64| {
            let points: Vec<[f64; 2]> =
                shape.iter().map(|[x, y]| [scale * x + right, scale * y + down]).collect();
            drawing(&[&points], 0.03 * scale).image()
        };
        let one = at(1.0, 0.1, 0.1);
        for other in [at(1.0, 0.6, 0.5), at(2.5, 0.3, 0.1), at(0.5, 0.02, 0.8)] {
            let difference = one.iter().zip(&other).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(difference <= 4, "a sample on the edge of the ink may fall to either side: {difference}");
        }
    }

    #[test]
    fn the_centre_of_mass_is_where_it_is_in_mnist() {
        // a heavy head on a thin leg
        let image =
            drawing(&[&[[0.3, 0.1], [0.7, 0.1], [0.7, 0.2], [0.3, 0.2]], &[[0.5, 0.2], [0.5, 0.9]]], 0.08);
        let image = image.image();
        let mass: f64 = image.iter().map(|&level| f64::from(level)).sum();
        let mean = |coordinate: fn(usize) -> usize| {
            let moments = image.iter().enumerate();
            moments.map(|(at, &level)| (coordinate(at) as f64 + 0.5) * f64::from(level)).sum::<f64>() / mass
        };
        assert!((14.0..15.0).contains(&mean(|at| at / SIDE)) && (14.0..15.0).contains(&mean(|at| at % SIDE)));
    }

    #[test]
    fn digits_of_mnist_are_centred_already() {
        let folder = em_routing::shipped::mnist_folder();
        let images = em_routing::data::idx::ImageSet::load_test(folder, 10).unwrap();
        for number in 0..200 {
            let image = images.image(number);
            let [(left, right), (top, bottom)] = extent(image);
            assert_eq!((right - left).max(bottom - top) + 1, BOX, "image {number}");
            let level = |at: usize| {
                let (row, column) = (top + at / BOX, left + at % BOX);
                if row < SIDE && column < SIDE { image[row * SIDE + column] } else { 0 }
            };
            let levels: Vec<u8> = (0..BOX * BOX).map(level).collect();
            assert_eq!(centred(&levels), image, "image {number}");
        }
    }

    #[test]
    fn nothing_and_a_dot_are_images_too() {
        assert_eq!(drawing(&[], 0.08).image(), vec![0; SIDE * SIDE]);
        assert_eq!(drawing(&[&[]], 0.08).image(), vec![0; SIDE * SIDE]);
        let [(left, right), (top, bottom)] = extent(&drawing(&[&[[1.0, 1.0]]], 0.08).image());
        assert_eq!((right - left + 1, bottom - top + 1), (20, 20));
    }

    #[test]
    fn bad_drawings_are_errors() {
        for (strokes, pen) in
            [(vec![vec![[0.5, 1.2]]], 0.1), (vec![vec![[f64::NAN, 0.0]]], 0.1), (vec![], 0.0)]
        {
            assert!(Drawing { strokes, pen }.check().is_err());
        }
        assert!(Drawing { strokes: vec![vec![[0.5, 0.5]; MOST_POINTS + 1]], pen: 0.1 }.check().is_err());
        assert!(Drawing { strokes: vec![vec![[0.0, 1.0]]], pen: 0.1 }.check().is_ok());
    }

    #[test]
    fn an_image_turns_clockwise_and_moves_right_and_down() {
        let mut image = vec![0; SIDE * SIDE];
        image[4 * SIDE + 14] = 200; // at the top
        let bright = |image: Vec<u8>| {
            let at = (0..SIDE * SIDE).max_by_key(|&at| image[at]).unwrap();
            ((at / SIDE, at % SIDE), image[at])
        };
        assert_eq!(moved(&image, 0.0, [0.0, 0.0]), image);
        assert_eq!(bright(moved(&image, 90.0, [0.0, 0.0])), ((14, 23), 200));
        assert_eq!(bright(moved(&image, 0.0, [3.0, 5.0])), ((9, 17), 200));
        assert_eq!(bright(moved(&image, 0.0, [0.5, 0.0])).1, 100);
        assert_eq!(moved(&image, 0.0, [0.0, -9.0]), vec![0; SIDE * SIDE]);
    }
}
