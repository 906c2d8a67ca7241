//! The network from the pixels to the classes, layer by layer.

use std::ops::Range;

use super::Figure;
use super::chart::{CARD, Chart, GREY, INK, Ink, Pen, Side, VERMILION};
use super::image::heat;
use crate::capsnet::CapsNet;
use crate::error::Result;

const LEFT: f64 = 66.0;
const WIDTH: f64 = 896.0;

/// A layer as it is drawn.
struct Drawn {
    title: &'static str,
    /// How it is made from the layer below, in two lines.
    step: [String; 2],
    rows: usize,
    columns: usize,
    /// What stands at each place.
    kinds: String,
    /// How many parameters it has; `None` for the pixels.
    parameters: Option<usize>,
    /// The rows and columns that one capsule of the layer below the classes depends on; `None` above it.
    seen: Option<[Range<usize>; 2]>,
}

/// The layers of a network: their places as grids, what stands at each place, and the number of parameters. Coloured is the receptive
/// field of one capsule in the layer below the classes.
///
/// # Errors
///
/// Returns an error if the drawing fails, for which a valid network gives no reason.
pub fn architecture(net: &CapsNet) -> Result<Figure> {
    let layers = layers(net)?;
    let pitch = (WIDTH - 2.0 * LEFT) / (layers.len() - 1) as f64;
    let mut chart = Chart::canvas("architecture", (WIDTH, 330.0));
    for (index, layer) in layers.iter().enumerate() {
        let centre = LEFT + pitch * index as f64;
        draw_places(&mut chart, layer, centre, index > 0);
        if index > 0 {
            draw_step(&mut chart, layer, centre - 0.5 * pitch);
        }
        draw_words(&mut chart, layer, centre);
    }
    let words: Vec<String> = layers
        .iter()
        .map(|Drawn { title, rows, columns, kinds, .. }| format!("{title} {rows} x {columns} with {kinds}"))
        .collect();
    let total = grouped(net.parameters().len());
    let title = format!("{total} parameters; in colour, what one capsule of the second layer sees");
    chart.text((24.0, -24.0), (0.0, 0.0), Side::Right, Ink::new(INK).plain().bold().size(14.0), title);
    chart.alt(format!("The network, {total} parameters: {}.", words.join("; "))).finish()
}

/// The grid of a layer, with sheets behind it where several kinds stand at each place.
fn draw_places(chart: &mut Chart, layer: &Drawn, centre: f64, sheets: bool) {
    const MIDDLE: f64 = 128.0;
    let (rows, columns) = (layer.rows, layer.columns);
    let longest = rows.max(columns) as f64;
    // a side grows as the logarithm of its places: from a dot for one place to 104 pixels for 28
    let side = 22.0 + 82.0 * longest.ln() / 28f64.ln();
    let unit = (side / longest).min(110.0 / longest);
    let (wide, tall) = (unit * columns as f64, unit * rows as f64);
    let (left, top) = (centre - wide / 2.0, MIDDLE - tall / 2.0);
    let corners = |shift: f64| {
        let (x, y) = (left + shift, top - shift);
        [(x, -y), (x + wide, -y), (x + wide, -(y + tall)), (x, -(y + tall)), (x, -y)]
    };
    let rim = Pen::new([150, 147, 138], 1.0);
    if sheets {
        for shift in [8.0, 4.0] {
            chart.area(corners(shift), [250, 248, 240], 1.0);
            chart.line_anywhere(corners(shift), rim);
        }
    }
    chart.area(corners(0.0), CARD, 1.0);
    let at = |row: usize, column: usize| (left + unit * column as f64, -(top + unit * row as f64));
    if let Some([rows, columns]) = &layer.seen {
        chart.block(at(rows.start, columns.start), at(rows.end, columns.end), heat(0.5));
    }
    if longest <= 32.0 {
        let line = Pen { opacity: 0.5, ..rim };
        for row in 1..rows {
            chart.line_anywhere([at(row, 0), at(row, columns)], line);
        }
        for column in 1..columns {
            chart.line_anywhere([at(0, column), at(rows, column)], line);
        }
    }
    chart.line_anywhere(corners(0.0), rim);
}

/// The arrow from the layer below, and what it does.
fn draw_step(chart: &mut Chart, layer: &Drawn, middle: f64) {
    for (line, text) in layer.step.iter().enumerate() {
        let down = 216.0 + 15.0 * line as f64;
        let ink = Ink::new(VERMILION).plain().size(11.5);
        chart.text((middle, -down), (0.0, 0.0), Side::Middle, ink, text.as_str());
    }
    let (from, to) = (middle - 9.0, middle + 9.0);
    let pen = Pen::new(VERMILION, 1.6);
    chart.line_anywhere([(from, -200.0), (to, -200.0)], pen);
    chart.line_anywhere([(to - 5.0, -196.0), (to, -200.0), (to - 5.0, -204.0)], pen);
}

/// The lines of text under a layer.
fn draw_words(chart: &mut Chart, layer: &Drawn, centre: f64) {
    let (ink, grey) = (Ink::new(INK).plain().size(12.5), Ink::new(GREY).plain().size(11.5));
    let (rows, columns) = (layer.rows, layer.columns);
    let shape =
        if rows * columns == 1 { "one place".to_owned() } else { format!("{rows} × {columns} places") };
    let count = layer.parameters.map_or(String::new(), |count| format!("{} parameters", grouped(count)));
    let lines =
        [(ink.bold(), layer.title.to_owned()), (ink, shape), (ink, layer.kinds.clone()), (grey, count)];
    for (line, (ink, text)) in lines.into_iter().enumerate() {
        chart.text((centre, -(258.0 + 17.0 * line as f64)), (0.0, 0.0), Side::Middle, ink, text);
    }
}

fn layers(net: &CapsNet) -> Result<Vec<Drawn>> {
    let architecture = net.architecture();
    let channels = architecture.channels;
    let pixels = Drawn {
        title: "pixels",
        step: [String::new(), String::new()],
        rows: architecture.height,
        columns: architecture.width,
        kinds: if channels == 1 { "1 grey level".to_owned() } else { format!("{channels} channels") },
        parameters: None,
        seen: None,
    };
    let layers = architecture.layers()?;
    let mut drawn = vec![pixels];
    for (layer, summary) in layers.iter().zip(net.layers()) {
        let caption = layer.caption();
        drawn.push(Drawn {
            title: caption.title,
            step: caption.step,
            rows: summary.rows,
            columns: summary.columns,
            kinds: format!("{} {}", summary.kinds, caption.kinds),
            parameters: Some(summary.parameters),
            seen: None,
        });
    }
    // backwards from a capsule in the middle of the layer below the classes
    let middle = |places: usize| (places - 1) / 2..(places - 1) / 2 + 1;
    let last = drawn.len() - 2;
    let mut seen = [middle(drawn[last].rows), middle(drawn[last].columns)];
    for (below, layer) in layers[..last].iter().enumerate().rev() {
        drawn[below + 1].seen = Some(seen.clone());
        let [rows, columns] = seen;
        seen = layer.receptive_field(rows, columns);
    }
    drawn[0].seen = Some(seen);
    Ok(drawn)
}

/// A whole number with a comma between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
