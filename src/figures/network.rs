//! The figures of the network itself: its layers, and the maps of what a layer computes.

use std::ops::Range;

use ndarray::{Array2, Axis as Along};

use super::checks;
use crate::capsnet::{Architecture, CapsNet};
use crate::data::idx::Images;
use crate::draw::{
    CARD, Chart, FRAME, Figure, GREY, INK, Ink, PALE, Pen, Side, Tint, VERMILION, component, extent, heat,
};
use crate::error::{Error, Result};

/// The vertical centre of all layers in [`architecture`], in pixels from the top.
const MIDDLE: f64 = 100.0;

/// Returns the name of the last layer before the primary capsules.
pub fn deepest(net: &CapsNet) -> &'static str {
    let layers = net.layers();
    layers.iter().take_while(|layer| layer.name != "primary").last().map_or("features", |layer| layer.name)
}

/// Draws the layers of a network: positions as grids, the features or capsules at each position, and the number of
/// parameters. The receptive field of one capsule in the layer below the classes is coloured.
///
/// # Errors
///
/// Returns an error if the network has no capsules.
pub fn architecture(net: &CapsNet) -> Result<Figure> {
    const LEFT: f64 = 66.0;
    const WIDTH: f64 = 896.0;
    net.layer("first")?;
    let Architecture { channels, height, width, .. } = *net.architecture();
    let layers = net.architecture().layers()?;
    // the text below a layer, and the numbers of rows and columns of positions
    let levels = if channels == 1 { "1 grey level".into() } else { format!("{channels} channels") };
    let mut columns = vec![(["pixels".to_owned(), levels, "parameters:".to_owned()], (height, width))];
    columns.extend(layers.iter().zip(net.layers()).map(|(layer, summary)| {
        let caption = layer.caption();
        let kinds = format!("{} {}", summary.kinds, caption.kinds);
        let parameters = grouped(summary.parameters);
        ([caption.title.to_owned(), kinds, parameters], (summary.rows, summary.columns))
    }));
    let (total, mut words) = (grouped(net.parameters().len()), Vec::new());
    let (pitch, seen) = ((WIDTH - 2.0 * LEFT) / layers.len() as f64, seen(net)?);
    let mut chart = Chart::canvas("architecture", "The network, layer by layer", (WIDTH, 456.0));
    let (ink, small) = (Ink::new(INK).plain().size(12.5), |tint| Ink::new(tint).plain().size(11.5));
    for (index, ([title, kinds, parameters], size)) in columns.into_iter().enumerate() {
        let centre = LEFT + pitch * index as f64;
        draw_places(&mut chart, size, seen.get(index), centre, index > 0);
        let places =
            if size == (1, 1) { "1 position".into() } else { format!("{} × {} positions", size.0, size.1) };
        words.push(format!("{title} {places}, {kinds}"));
        let lines = [(title, ink.bold()), (places, ink), (kinds, ink), (parameters, small(GREY))];
        for (line, (text, ink)) in lines.into_iter().enumerate() {
            chart.write((centre, 224.0 + 17.0 * line as f64), Side::Middle, ink, text);
        }
        let Some(below) = index.checked_sub(1) else { continue };
        let middle = centre - 0.5 * pitch;
        for (line, text) in layers[below].caption().step.into_iter().enumerate() {
            chart.write((middle, 176.0 + 15.0 * line as f64), Side::Middle, small(VERMILION), text);
        }
        chart.arrow((middle - 4.0, -MIDDLE), 0.0, 16.0, Pen::new(VERMILION, 1.6));
    }
    let title =
        format!("{total} parameters; in colour, the receptive field of one capsule of the second layer");
    chart.note((24.0, 24.0), Ink::new(INK).plain().bold().size(14.0), title);
    let parts = net.parameters().parts();
    let transforms = parts.iter().find(|part| part.name == "first.transforms").map(|part| part.shape.clone());
    let anatomy = draw_anatomy(&mut chart, 312.0, transforms.as_deref().unwrap_or(&[0, 0]));
    chart
        .alt(format!(
            "Square grids in a row, joined by arrows, {total} parameters in all: {}. Below: {anatomy}.",
            words.join("; ")
        ))
        .finish()
}

/// Draws what a capsule is, how it votes, and how the votes at one position are routed. `transforms` is the shape of the
/// first routing layer's transforms: children, parents. Returns the drawing in words.
fn draw_anatomy(chart: &mut Chart, top: f64, transforms: &[usize]) -> String {
    let (bold, small) = (Ink::new(INK).plain().bold().size(12.5), Ink::new(GREY).plain().size(12.0));
    let rule = [24.0, 872.0].map(|x| chart.at_pixel(x, top - 10.0));
    chart.line_anywhere(rule, Pen::new(PALE, 1.0));
    for (left, text) in
        [(24.0, "one capsule"), (222.0, "one vote"), (580.0, "one position of the first routing layer")]
    {
        chart.note((left, top + 10.0), bold, text);
    }
    // a capsule
    draw_matrix(chart, (32.0, top + 30.0), heat(0.4));
    chart.disc(chart.at_pixel(152.0, top + 58.0), 11.0, VERMILION);
    chart.write((60.0, top + 104.0), Side::Middle, small, "pose P: 4 × 4");
    chart.write((152.0, top + 104.0), Side::Middle, small, "activation a");
    // a vote
    for (left, tint, sign, text) in [
        (232.0, heat(0.4), "×", "pose P_i"),
        (340.0, component(4), "=", "transform W_{ij}"),
        (448.0, component(0), "", "vote V_{ij}"),
    ] {
        draw_matrix(chart, (left, top + 30.0), tint);
        chart.write((left + 82.0, top + 58.0), Side::Middle, bold.size(16.0), sign);
        chart.write((left + 28.0, top + 104.0), Side::Middle, small, text);
    }
    // a position: the tiles of a patch, and some of the parents
    let parents: Vec<f64> = (0..5).map(|row| top + 34.0 + 13.0 * f64::from(row)).collect();
    for (row, column) in (0..9).map(|tile| (tile / 3, tile % 3)) {
        let corner = (590.0 + 22.0 * f64::from(column), top + 28.0 + 22.0 * f64::from(row));
        for shift in [4.0, 2.0, 0.0] {
            let ends =
                [(corner.0 + shift, corner.1 + shift), (corner.0 + shift + 17.0, corner.1 + shift + 17.0)];
            let [from, to] = ends.map(|(x, y)| chart.at_pixel(x, y));
            chart.block(from, to, CARD);
            chart.line_anywhere([from, (to.0, from.1), to, (from.0, to.1), from], Pen::new(FRAME, 1.0));
        }
    }
    for from in [top + 37.0, top + 59.0, top + 81.0] {
        for &to in &parents {
            let ends = [chart.at_pixel(664.0, from), chart.at_pixel(756.0, to)];
            chart.line_anywhere(ends, Pen::new(FRAME, 0.8).faded(0.7));
        }
    }
    for &parent in &parents {
        chart.disc(chart.at_pixel(764.0, parent), 5.0, VERMILION);
    }
    let [children, parents] = [transforms[0], transforms[1]];
    chart.write((625.0, top + 104.0), Side::Middle, small, format!("patch: {children} children"));
    chart.write((764.0, top + 104.0), Side::Middle, small, format!("{parents} parents"));
    chart.note((784.0, top + 52.0), small, "EM routing:");
    chart.note((784.0, top + 68.0), small, "R_{ij}, μ_j, σ_j, a_j");
    format!(
        "a capsule, which is a 4 × 4 pose and an activation; a vote, which is a pose times a transform; a patch of {children} \
         children, joined to {parents} parents by lines"
    )
}

/// Draws a 4 x 4 matrix of 56 pixels.
fn draw_matrix(chart: &mut Chart, (left, top): (f64, f64), tint: Tint) {
    let [from, to] = [chart.at_pixel(left, top), chart.at_pixel(left + 56.0, top + 56.0)];
    chart.block(from, to, tint.mixed(CARD, 0.45));
    for step in 0..5 {
        let at = 14.0 * f64::from(step);
        let lines =
            [[(left + at, top), (left + at, top + 56.0)], [(left, top + at), (left + 56.0, top + at)]];
        for line in lines {
            let ends = line.map(|(x, y)| chart.at_pixel(x, y));
            chart.line_anywhere(ends, Pen::new(FRAME, 0.9));
        }
    }
}

/// Returns the receptive field of a capsule in the middle of the layer below the classes: rows and columns of pixels,
/// then of positions in each layer up to the capsule's own.
fn seen(net: &CapsNet) -> Result<Vec<[Range<usize>; 2]>> {
    let (layers, grids) = (net.architecture().layers()?, net.layers());
    let last = layers.len() - 2;
    let mut seen = vec![[grids[last].rows, grids[last].columns].map(|n| (n - 1) / 2..(n - 1) / 2 + 1)];
    for layer in layers[..=last].iter().rev() {
        let [rows, columns] = seen[seen.len() - 1].clone();
        seen.push(layer.receptive_field(rows, columns));
    }
    seen.reverse();
    Ok(seen)
}

/// Draws a layer's grid with its coloured positions. Sheets lie behind the grid if a position has several kinds of
/// feature or capsule.
fn draw_places(
    chart: &mut Chart,
    (rows, columns): (usize, usize),
    seen: Option<&[Range<usize>; 2]>,
    centre: f64,
    sheets: bool,
) {
    let longest = rows.max(columns) as f64;
    // the side grows with the logarithm of the number of positions: from a dot for one to 104 pixels for 28
    let side = 22.0 + 82.0 * longest.ln() / 28f64.ln();
    let unit = (side / longest).min(110.0 / longest);
    let (left, top) = (centre - 0.5 * unit * columns as f64, MIDDLE - 0.5 * unit * rows as f64);
    let at = |row: usize, column: usize| (left + unit * column as f64, -(top + unit * row as f64));
    let rim = Pen::new(FRAME, 1.0);
    for shift in if sheets { &[8.0, 4.0, 0.0][..] } else { &[0.0] } {
        let corners = [(0, 0), (0, columns), (rows, columns), (rows, 0), (0, 0)];
        let corners = corners.map(|(row, column)| (at(row, column).0 + shift, at(row, column).1 + shift));
        chart.area(corners, CARD, 1.0);
        chart.line_anywhere(corners, rim);
    }
    if let Some([rows, columns]) = seen {
        chart.block(at(rows.start, columns.start), at(rows.end, columns.end), heat(0.5));
    }
    if longest <= 32.0 {
        (1..rows).for_each(|row| chart.line_anywhere([at(row, 0), at(row, columns)], rim.faded(0.5)));
        (1..columns)
            .for_each(|column| chart.line_anywhere([at(0, column), at(rows, column)], rim.faded(0.5)));
    }
}

/// Formats a whole number with commas between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    groups.iter().map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

/// Draws what a layer computes for some images, one row per image: the image, and the nine kinds of feature or capsule with
/// the largest variance over all positions of these images.
///
/// `shown` are the images' indices, `numbers` is shown x rows x `columns` x `kinds`. All maps share one scale, from the
/// minimum to the maximum.
///
/// # Errors
///
/// Returns an error if there are no images or more than eight, if images do not exist or have no pixels, if `columns` or
/// `kinds` is 0, or if the count of numbers does not match the images or a number is not finite.
pub fn maps(
    title: &str,
    images: &Images,
    shown: &[usize],
    numbers: &[f32],
    (columns, kinds): (usize, usize),
) -> Result<Figure> {
    const PITCH: f64 = 86.0;
    const ROW: f64 = 132.0;
    checks::not_empty("images", shown)?;
    checks::at_most("the number of images", shown.len(), 8, "at most 8")?;
    checks::images(images)?;
    if let Some(&image) = shown.iter().find(|&&image| image >= images.len()) {
        let (name, expected) = ("the number of an image", "the index of an image, from 0");
        return Err(Error::Setting { name, expected, value: image as f64 });
    }
    let row = shown.len().saturating_mul(columns).saturating_mul(kinds);
    if numbers.is_empty() || row == 0 || !numbers.len().is_multiple_of(row) {
        return Err(Error::Length { name: "the numbers of a layer", expected: row, found: numbers.len() });
    }
    checks::finite("a number of a layer", numbers.iter().map(|&number| f64::from(number)))?;
    let number = |(place, kind): (usize, usize)| f64::from(numbers[place * kinds + kind]);
    let table = Array2::from_shape_fn((numbers.len() / kinds, kinds), number);
    let variances = table.var_axis(Along(0), 0.0);
    let mut liveliest: Vec<usize> = (0..kinds).collect();
    liveliest.sort_by(|&one, &other| variances[other].total_cmp(&variances[one]));
    let table = table.select(Along(1), &liveliest[..kinds.min(9)]);
    let (low, high) = extent(table.iter().copied());
    let range = if low < high { high - low } else { 1.0 };
    let width = (PITCH * (table.ncols() + 1) as f64 + 28.0).max(500.0);
    let mut chart = Chart::canvas("maps", title, (width, 8.0 + ROW * shown.len() as f64));
    let (ink, grey) = (Ink::new(INK).plain().bold(), Ink::new(GREY).plain().size(12.0));
    let mut words = Vec::new();
    for (row, (&image, places)) in
        shown.iter().zip(table.axis_chunks_iter(Along(0), table.nrows() / shown.len())).enumerate()
    {
        let top = 40.0 + ROW * row as f64;
        words.push(format!("a handwritten {}", images.labels[image]));
        let label = images.labels[image];
        let mut heading = format!("{} {label}", if label == 8 { "an" } else { "a" });
        if row == 0 {
            heading += &format!(
                ", and {} of its {kinds} maps: values from {low:.2} (weak) to {high:.2} (strong)",
                table.ncols()
            );
        }
        chart.note((20.0, top - 18.0), ink, heading);
        let digit = (format!("image no. {image}"), images.width, grey_levels(images.image(image)));
        let kind = |(column, &kind): (usize, &usize)| {
            let shares = places.column(column).mapv(|number| (number - low) / range).to_vec();
            (format!("map {}", kind + 1), columns, shares)
        };
        let maps = liveliest.iter().take(9).enumerate().map(kind);
        for (place, (name, columns, shares)) in std::iter::once(digit).chain(maps).enumerate() {
            let left = 20.0 + PITCH * place as f64;
            chart.picture((left, top), 74.0, columns, &shares);
            chart.write((left + 37.0, top + 87.0), Side::Middle, grey, name);
        }
    }
    let numbers: Vec<String> = liveliest.iter().take(9).map(|kind| (kind + 1).to_string()).collect();
    let alt = format!(
        "{}; beside each, heat maps with {columns} columns of cells, numbered {}",
        words.join(", "),
        numbers.join(", ")
    );
    chart.alt(format!("{alt}. Values run from {low:.2} to {high:.2}.")).finish()
}

/// Divides grey levels by 255, the maximum.
pub(super) fn grey_levels(pixels: &[u8]) -> Vec<f64> {
    pixels.iter().map(|&level| f64::from(level) / 255.0).collect()
}
