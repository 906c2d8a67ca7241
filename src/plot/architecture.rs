//! The network from the pixels to the classes, layer by layer.

use std::ops::Range;

use super::Figure;
use super::chart::{CARD, Chart, GREY, INK, Ink, Pen, Side, VERMILION};
use super::image::heat;
use crate::capsnet::{CapsNet, CapsNetConfig, DEEP_WINDOW, Pooling, WINDOW};
use crate::error::Result;
use crate::routing::Reach;
use crate::routing::fused::LayerShape;

/// A layer as it is drawn.
struct Layer {
    name: &'static str,
    /// What makes it of the layer before.
    step: [&'static str; 2],
    /// Rows and columns of its places.
    grid: (usize, usize),
    /// What stands at each place.
    kinds: String,
    /// The names of its parameters begin with one of these.
    parts: &'static [&'static str],
    /// The rows and columns that one capsule of the second routed layer sees; none of what lies above it.
    seen: Option<(Range<usize>, Range<usize>)>,
}

/// The layers of a network: their places as grids, what stands at each place, and how many parameters make it. In colour: what one
/// capsule of the second layer that routes sees of each layer before it.
///
/// # Errors
///
/// Returns an error if the drawing fails, for which a valid network gives no reason.
pub fn architecture(net: &CapsNet) -> Result<Figure> {
    let layers = layers(net);
    const MIDDLE: f64 = 128.0;
    const LEFT: f64 = 66.0;
    const WIDTH: f64 = 896.0;
    let pitch = (WIDTH - 2.0 * LEFT) / (layers.len() - 1) as f64;
    let mut chart = Chart::canvas("architecture", (WIDTH, 330.0));
    let (ink, grey) = (Ink::new(INK).plain().size(12.5), Ink::new(GREY).plain().size(11.5));
    // a side grows as the logarithm of its places: from a dot for one place to 104 pixels for 28
    let side = |places: usize| 22.0 + 82.0 * (places as f64).ln() / 28f64.ln();
    let mut words = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let (rows, columns) = layer.grid;
        let unit = (side(rows.max(columns)) / rows.max(columns) as f64).min(110.0 / rows.max(columns) as f64);
        let (wide, tall) = (unit * columns as f64, unit * rows as f64);
        let centre = LEFT + pitch * index as f64;
        let (left, top) = (centre - wide / 2.0, MIDDLE - tall / 2.0);
        let corners = |shift: f64| {
            let (x, y) = (left + shift, top - shift);
            [(x, -y), (x + wide, -y), (x + wide, -(y + tall)), (x, -(y + tall)), (x, -y)]
        };
        let rim = Pen::new([150, 147, 138], 1.0);
        if index > 0 {
            // several kinds at each place: sheets behind the first
            for shift in [8.0, 4.0] {
                chart.area(corners(shift), [250, 248, 240], 1.0);
                chart.line_anywhere(corners(shift), rim);
            }
        }
        chart.area(corners(0.0), CARD, 1.0);
        let at = |row: usize, column: usize| (left + unit * column as f64, -(top + unit * row as f64));
        if let Some((rows, columns)) = &layer.seen {
            chart.block(at(rows.start, columns.start), at(rows.end, columns.end), heat(0.5));
        }
        if rows.max(columns) <= 32 {
            let line = Pen { opacity: 0.5, ..rim };
            for row in 1..rows {
                chart.line_anywhere([at(row, 0), at(row, columns)], line);
            }
            for column in 1..columns {
                chart.line_anywhere([at(0, column), at(rows, column)], line);
            }
        }
        chart.line_anywhere(corners(0.0), rim);
        if index > 0 {
            // the way from the layer before
            let before = LEFT + pitch * (index as f64 - 0.5);
            for (line, text) in layer.step.iter().enumerate() {
                let down = 216.0 + 15.0 * line as f64;
                chart.text(
                    (before, -down),
                    (0.0, 0.0),
                    Side::Middle,
                    Ink::new(VERMILION).plain().size(11.5),
                    *text,
                );
            }
            let (from, to) = (before - 9.0, before + 9.0);
            let pen = Pen::new(VERMILION, 1.6);
            chart.line_anywhere([(from, -200.0), (to, -200.0)], pen);
            chart.line_anywhere([(to - 5.0, -196.0), (to, -200.0), (to - 5.0, -204.0)], pen);
        }
        let parameters: usize = net
            .parameters()
            .parts()
            .iter()
            .filter(|part| {
                let layer_of = part.name.split('.').next().unwrap_or_default();
                layer.parts.contains(&layer_of)
            })
            .map(|part| part.range.len())
            .sum();
        let shape =
            if rows * columns == 1 { "one place".to_owned() } else { format!("{rows} × {columns} places") };
        let count = if index == 0 { String::new() } else { format!("{} parameters", grouped(parameters)) };
        let lines =
            [(ink.bold(), layer.name.to_owned()), (ink, shape), (ink, layer.kinds.clone()), (grey, count)];
        for (line, (ink, text)) in lines.into_iter().enumerate() {
            chart.text((centre, -(258.0 + 17.0 * line as f64)), (0.0, 0.0), Side::Middle, ink, text);
        }
        words.push(format!("{} {rows} x {columns} with {}", layer.name, layer.kinds));
    }
    let total = grouped(net.parameters().len());
    let title = format!("{total} parameters; in colour, what one capsule of the second layer sees");
    chart.text((24.0, -24.0), (0.0, 0.0), Side::Right, Ink::new(INK).plain().bold().size(14.0), title);
    chart.alt(format!("The network, {total} parameters: {}.", words.join("; "))).finish()
}

fn layers(net: &CapsNet) -> Vec<Layer> {
    let [first, second, class] = net.layer_shapes(1);
    let CapsNetConfig { height, width, channels, features, deep_features, pooling, .. } = *net.config();
    let is_deep = deep_features > 0;
    let stride = match first.reach {
        Reach::Neighbourhood { stride, .. } => stride,
        Reach::Everywhere => 1,
    };
    // what a range of features sees of a side of what is below: windows two apart, or two side by side, padded as in TensorFlow
    let seen_by = |features: Range<usize>, size: usize, length: usize| {
        let (window, padding) = match pooling {
            Pooling::None => (size, ((length.div_ceil(2) - 1) * 2 + size).saturating_sub(length) / 2),
            Pooling::Max => (size + 1, (size - 1) / 2),
        };
        let first = (2 * features.start).saturating_sub(padding);
        first..(2 * (features.end - 1) + window - padding).min(length)
    };
    // backwards from a capsule in the middle: 3 x 3, twice, then the windows of the features
    let axis = |length: usize, places_of_second: usize| {
        let middle = (places_of_second - 1) / 2;
        let of_second = middle..middle + 1;
        let of_first = middle..middle + 3;
        let of_primary = stride * of_first.start..stride * (of_first.end - 1) + 3;
        let of_features = match is_deep {
            true => seen_by(of_primary.clone(), DEEP_WINDOW, length.div_ceil(2)),
            false => of_primary.clone(),
        };
        let of_pixels = seen_by(of_features.clone(), WINDOW, length);
        [of_pixels, of_features, of_primary, of_first, of_second]
    };
    let rows = axis(height, class.height);
    let columns = axis(width, class.width);
    let layer = |name, step, grid, kinds, parts, at: usize| {
        let seen = rows.get(at).cloned().zip(columns.get(at).cloned());
        Layer { name, step, grid, kinds, parts, seen }
    };
    let pixel = if channels == 1 { "1 grey level".to_owned() } else { format!("{channels} channels") };
    let places = |shape: LayerShape| (shape.height, shape.width);
    let capsules = |count: usize| format!("{count} capsules");
    let mut layers = vec![layer("pixels", ["", ""], (height, width), pixel, &[], 0)];
    let (near, deep) = match pooling {
        Pooling::None => (["5 × 5, stride 2,", "ReLU"], ["3 × 3, stride 2,", "ReLU"]),
        Pooling::Max => (["5 × 5, greatest", "of 2 × 2, ReLU"], ["3 × 3, greatest", "of 2 × 2, ReLU"]),
    };
    let halved = (height.div_ceil(2), width.div_ceil(2));
    layers.push(layer("features", near, halved, format!("{features} numbers"), &["features"], 1));
    if is_deep {
        layers.push(layer(
            "deep features",
            deep,
            places(first),
            format!("{deep_features} numbers"),
            &["deep"],
            2,
        ));
    }
    let route = if stride == 1 { ["3 × 3,", "routed"] } else { ["3 × 3, stride 2,", "routed"] };
    layers.extend([
        layer(
            "primary",
            ["1 × 1, linear;", "sigmoid"],
            places(first),
            capsules(first.capsules),
            &["poses", "activations"],
            2,
        ),
        layer("first", route, places(second), capsules(second.capsules), &["first"], 3),
        layer("second", ["3 × 3,", "routed"], places(class), capsules(class.capsules), &["second"], 4),
        layer("class", ["all places,", "routed"], (1, 1), capsules(class.parents), &["class"], 5),
    ]);
    layers
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
