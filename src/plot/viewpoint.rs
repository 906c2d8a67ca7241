//! Chapter 5: a whole seen from several sides.

use ndarray::Array2;

use super::chart::{CARD, Chart, GREY, INK, Ink, Pen, Point, Side, number};
use super::plane::{axes, check_samples, equal_units, padded};
use super::{Figure, colour};
use crate::error::{Error, Result};

/// A whole from one side, for [`viewpoint`].
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// What it is called, as short as a heading.
    pub title: &'a str,
    /// Poses of the parts, parts x 3: x, y and the angle in radians, anticlockwise from the x axis.
    pub poses: &'a Array2<f64>,
    /// The vote of each part for the pose of the whole, parts x 3 as well.
    pub votes: &'a Array2<f64>,
    /// The drawing behind: each part's strokes in its own frame, which are moved and turned with it.
    pub strokes: &'a [Vec<Vec<(f64, f64)>>],
}

/// A whole from several sides, side by side: the parts' poses as frames of two arrows, and each part's vote for the whole as an
/// arrow in its colour at the end of a dotted line. Under the title stands how far the votes lie apart.
///
/// `names` has a name for each part. The spread of the votes is the root mean square of their distance from their mean, and the
/// same of their angles, in degrees.
///
/// # Errors
///
/// Returns an error if there are no views or more than four, no parts or more than a figure holds, if poses, votes, strokes
/// and names do not belong together, and if a number is not finite or beyond 1e130.
pub fn viewpoint(views: &[View], names: &[&str]) -> Result<Figure> {
    if views.is_empty() {
        return Err(Error::Empty { what: "views" });
    }
    if views.len() > 4 {
        let (name, expected) = ("the number of views", "at most 4");
        return Err(Error::Setting { name, expected, value: views.len() as f64 });
    }
    let parts = names.len();
    let mut all: Vec<Point> = Vec::new();
    let mut drawings: Vec<Vec<Vec<Point>>> = Vec::new();
    for view in views {
        for (name, found) in [("the parts' poses", view.poses), ("the votes", view.votes)] {
            check_samples(found)?;
            if found.dim() != (parts, 3) {
                let (expected, found) = (vec![parts, 3], found.shape().to_vec());
                return Err(Error::Shape { name, expected, found });
            }
            all.extend(found.rows().into_iter().map(|row| (row[0], row[1])));
        }
        if view.strokes.len() != parts {
            let (expected, found) = (parts, view.strokes.len());
            return Err(Error::Length { name: "the parts' strokes", expected, found });
        }
        let drawing: Vec<Vec<Point>> = view
            .strokes
            .iter()
            .enumerate()
            .flat_map(|(i, strokes)| strokes.iter().map(move |stroke| (i, stroke)))
            .map(|(i, stroke)| stroke.iter().map(|&point| moved(pose(view.poses, i), point)).collect())
            .collect();
        let strokes = drawing.iter().flatten();
        if let Some(&(x, y)) = strokes.clone().find(|(x, y)| !(x.is_finite() && y.is_finite())) {
            let value = if x.is_finite() { y } else { x };
            return Err(Error::Setting { name: "a stroke", expected: "finite", value });
        }
        all.extend(strokes);
        drawings.push(drawing);
    }
    let x = padded(all.iter().map(|point| point.0), 0.08);
    let y = padded(all.iter().map(|point| point.1), 0.08);
    const LEFT: f64 = 60.0;
    const GAP: f64 = 18.0;
    const TOP: f64 = 64.0;
    let count = views.len() as f64;
    let room = ((880.0 - LEFT - GAP * count) / count).min(400.0);
    let (width, height) = equal_units(x, y, (room, 420.0));
    let size = ((LEFT + count * (width + GAP) + 6.0).max(300.0) as u32, (TOP + height + 114.0) as u32);
    let unit = (x.1 - x.0) / width; // of a pixel
    let mut panels = Vec::new();
    let mut words = Vec::new();
    for (index, (view, drawing)) in views.iter().zip(&drawings).enumerate() {
        let (x_axis, y_axis) = axes(x, y);
        let (mut x_axis, mut y_axis) = (x_axis.most(6), y_axis.most(7));
        x_axis.title = "x".to_string();
        y_axis.title = "y".to_string();
        let y_axis = if index == 0 { y_axis } else { y_axis.bare() };
        let place = (LEFT + index as f64 * (width + GAP), TOP);
        let mut panel = Chart::new("viewpoint", size, x_axis, y_axis).panel(place, (width, height));
        for stroke in drawing {
            panel.line(stroke.iter().copied(), Pen::new([196, 192, 180], 2.4));
        }
        for i in 0..parts {
            let (part, vote) = (pose(view.poses, i), pose(view.votes, i));
            panel.line([(part[0], part[1]), (vote[0], vote[1])], Pen::new(colour(i), 1.1).dashed(2.0, 4.0));
        }
        for i in 0..parts {
            arrow(&mut panel, pose(view.votes, i), 38.0 * unit, 0.0, colour(i), 2.0);
        }
        for i in 0..parts {
            panel.disc((view.votes[(i, 0)], view.votes[(i, 1)]), 3.4, colour(i));
        }
        for i in 0..parts {
            let part = pose(view.poses, i);
            arrow(&mut panel, part, 26.0 * unit, std::f64::consts::FRAC_PI_2, colour(i), 2.0);
            arrow(&mut panel, part, 26.0 * unit, 0.0, colour(i), 2.8);
            let at = (part[0], part[1]);
            panel.disc(at, 4.6, colour(i));
            panel.dot(at, 2.2, CARD);
        }
        let (apart, turned) = dispersion(view.votes);
        let ink = Ink::new(INK).plain();
        panel.text((x.0, y.1), (0.0, -40.0), Side::Right, ink.bold().size(14.0), view.title);
        let text = format!("votes {} and {}° apart", number(apart, 2), number(turned.to_degrees(), 0));
        panel.text((x.0, y.1), (0.0, -19.0), Side::Right, Ink::new(GREY).plain().size(12.5), text);
        words.push(format!(
            "{}: the votes lie {apart:.2} and {:.0} degrees apart",
            view.title,
            turned.to_degrees()
        ));
        panels.push(panel);
    }
    let alt = format!("Poses of {parts} parts and their votes for the whole. {}.", words.join("; "));
    let mut first = panels.remove(0).alt(alt);
    // The parts' names in their colours, under the panels.
    let mut left = LEFT;
    let low = TOP + height + 72.0;
    for (i, name) in names.iter().enumerate() {
        first.disc(first.at_pixel(left + 5.0, low), 4.6, colour(i));
        first.dot(first.at_pixel(left + 5.0, low), 2.2, CARD);
        let at = first.at_pixel(left + 15.0, low);
        first.text(at, (0.0, 0.0), Side::Right, Ink::new(colour(i)).plain().bold(), *name);
        left += 34.0 + 7.0 * name.chars().count() as f64;
    }
    let text = "two arrows: the pose of a part; one arrow at the dotted line's end: its vote for the whole";
    let at = first.at_pixel(LEFT, low + 22.0);
    first.text(at, (0.0, 0.0), Side::Right, Ink::new(GREY).plain().size(12.5), text);
    first.finish_with(&panels)
}

fn pose(poses: &Array2<f64>, i: usize) -> [f64; 3] {
    [poses[(i, 0)], poses[(i, 1)], poses[(i, 2)]]
}

/// A point of a frame, seen from outside of it.
fn moved([x, y, angle]: [f64; 3], (along, up): Point) -> Point {
    let (sine, cosine) = angle.sin_cos();
    (x + cosine * along - sine * up, y + sine * along + cosine * up)
}

/// An arrow of a frame, from its origin, turned by `turn` against its x axis.
pub(super) fn arrow(
    chart: &mut Chart,
    [x, y, angle]: [f64; 3],
    length: f64,
    turn: f64,
    tint: super::image::Rgb,
    width: f64,
) {
    let at = |along: f64, up: f64| moved([x, y, angle + turn], (along * length, up * length));
    let head = [at(0.74, 0.16), at(1.0, 0.0), at(0.74, -0.16)];
    let shaft = [(x, y), at(1.0, 0.0)];
    chart.line(shaft, Pen::new(CARD, width + 2.0));
    chart.line(shaft, Pen::new(tint, width));
    chart.line(head, Pen::new(tint, width));
}

/// How far poses lie apart: the root mean square of their distance from their mean, and of their angle from its.
fn dispersion(poses: &Array2<f64>) -> (f64, f64) {
    let n = poses.nrows() as f64;
    let mean = |h: usize| poses.column(h).sum() / n;
    let (x, y) = (mean(0), mean(1));
    let squares: f64 = poses.rows().into_iter().map(|row| (row[0] - x).powi(2) + (row[1] - y).powi(2)).sum();
    let (sine, cosine) = poses.column(2).iter().fold((0.0, 0.0), |(s, c), a| (s + a.sin(), c + a.cos()));
    let middle = sine.atan2(cosine);
    let turned = poses.column(2).into_iter().map(|angle| {
        let (sine, cosine) = (angle - middle).sin_cos();
        sine.atan2(cosine).powi(2)
    });
    ((squares / n).sqrt(), (turned.sum::<f64>() / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn angles_are_compared_around_the_circle() {
        let pi = std::f64::consts::PI;
        let (apart, turned) = dispersion(&array![[1.0, 0.0, pi - 0.1], [3.0, 0.0, 0.1 - pi]]);
        assert!((apart - 1.0).abs() < 1e-12 && (turned - 0.1).abs() < 1e-12);
    }
}
