//! The pictures of a digit in the network that no chapter has.

use em_routing::capsnet::training::most_active;
use em_routing::capsnet::{CapsNet, LayerSummary, Pass};
use em_routing::draw::{
    Chart, Figure, GREY, INK, Image, Ink, PALE, Pen, Side, VERMILION, component, extent, number,
};
use em_routing::error::Result;
use em_routing::ndarray::{Array, Axis};
use em_routing::routing::{CapsuleLayer, CapsuleLayerRun, Capsules, ELEMENTS, Reach};

/// Positions along each side of a neighbourhood of the layer `first`.
const NEAR: usize = 3;

/// Draws each kind of feature or capsule of a layer as a map of its positions, `what` in words. All maps share one scale. They are
/// one image, an empty row or column apart, because each image costs time.
pub fn tiles(what: &str, layer: LayerSummary, numbers: &[f32]) -> Result<Figure> {
    const ACROSS: usize = 8;
    const WIDE: f64 = 312.0;
    let LayerSummary { name, rows, columns, kinds, .. } = layer;
    let (low, high) = extent(numbers.iter().map(|&value| f64::from(value)));
    let range = if low < high { high - low } else { 1.0 };
    let lines = kinds.div_ceil(ACROSS);
    let (wide, tall) = (ACROSS * (columns + 1) - 1, lines * (rows + 1) - 1);
    let mut shares = vec![0.0; wide * tall];
    for (at, &value) in numbers.iter().enumerate() {
        let (place, kind) = (at / kinds, at % kinds);
        let row = kind / ACROSS * (rows + 1) + place / columns;
        let column = kind % ACROSS * (columns + 1) + place % columns;
        shares[row * wide + column] = (f64::from(value) - low) / range;
    }
    let unit = WIDE / wide as f64;
    let text = format!("{kinds} {what}, {} to {}", number(low, 2), number(high, 2));
    let size = (344.0, 56.0 + unit * tall as f64);
    let mut chart = Chart::canvas(&format!("digit-{name}"), &text, size);
    chart.note((16.0, 22.0), Ink::new(INK).plain().bold(), &text);
    let place = |row: f64, column: f64| (16.0 + unit * column, 40.0 + unit * row);
    let [from, to] = [place(tall as f64, 0.0), place(0.0, wide as f64)].map(|(x, y)| chart.at_pixel(x, y));
    chart.image(from, to, Image::new(wide, &shares, 256, true));
    for kind in 0..kinds {
        let (top, left) = ((kind / ACROSS * (rows + 1)) as f64, (kind % ACROSS * (columns + 1)) as f64);
        let (bottom, right) = (top + rows as f64, left + columns as f64);
        let corners = [(top, left), (top, right), (bottom, right), (bottom, left), (top, left)];
        let frame = corners.map(|(row, column)| place(row, column)).map(|(x, y)| chart.at_pixel(x, y));
        chart.line_anywhere(frame, Pen::new(PALE, 1.0));
    }
    chart.alt(format!("{text}: {kinds} maps with {rows} x {columns} cells each.")).finish()
}

/// Routes the votes for the position of the most active capsule in the layer `first` again, in f64. Returns the position and the
/// routing.
pub fn position_run(net: &CapsNet, pass: &Pass) -> Result<((usize, usize), CapsuleLayerRun)> {
    let (first, primary) = (net.layer("first")?, net.layer("primary")?);
    let position = most_active(&pass.layer("first")?.activations) / first.kinds;
    // the stride is 1, as in every network with deep features
    let (row, column) = (position / first.columns, position % first.columns);
    let below = pass.layer("primary")?;
    let (mut poses, mut activations) = (Vec::new(), Vec::new());
    for near in 0..NEAR {
        let start = ((row + near) * primary.columns + column) * primary.kinds;
        let range = start..start + NEAR * primary.kinds;
        activations.extend(below.activations[range.clone()].iter().map(|&a| f64::from(a)));
        let range = range.start * ELEMENTS..range.end * ELEMENTS;
        poses.extend(below.poses[range].iter().map(|&element| f64::from(element)));
    }
    let fits = "nine positions of the grid";
    let near = Capsules {
        poses: Array::from_shape_vec((1, NEAR, NEAR, primary.kinds, ELEMENTS), poses).expect(fits),
        activations: Array::from_shape_vec((1, NEAR, NEAR, primary.kinds), activations).expect(fits),
    };
    let part = |letter: &str| -> Result<Vec<f64>> {
        let numbers = net.parameters().part(&format!("first.{letter}"))?;
        Ok(numbers.iter().map(|&value| f64::from(value)).collect())
    };
    let shape = (NEAR * NEAR * primary.kinds, first.kinds, 4, 4);
    let layer = CapsuleLayer {
        reach: Reach::Neighbourhood { size: NEAR, stride: 1 },
        transforms: Array::from_shape_vec(shape, part("transforms")?).expect("the transforms of the layer"),
        beta_v: part("beta_v")?.into(),
        beta_a: part("beta_a")?.into(),
    };
    Ok(((row, column), layer.forward(&near, &net.architecture().routing)?))
}

/// Draws the responsibilities at a position, a table of children and parents for each iteration. Marks the parent with the most mass
/// in the end and, in another colour, the most active one.
pub fn responsibilities((row, column): (usize, usize), run: &CapsuleLayerRun) -> Result<Figure> {
    const TOP: f64 = 66.0;
    const LEFT: f64 = 34.0;
    const WIDE: f64 = 296.0;
    const TALL: f64 = 96.0;
    let trace = &run.routing.trace;
    let (_, children, parents) = run.routing.last().responsibilities.dim();
    let activations: Vec<f32> = run.routing.activations().row(0).iter().map(|&a| a as f32).collect();
    let most = most_active(&activations);
    let masses: Vec<f32> = run.routing.last().masses.row(0).iter().map(|&mass| mass as f32).collect();
    let heaviest = most_active(&masses);
    let largest = |t: usize| trace[t].responsibilities.iter().fold(1e-300, |most: f64, &r| most.max(r));
    let scale = (0..trace.len()).fold(1e-300, |most: f64, t| most.max(largest(t)));
    let size = (344.0, TOP + (TALL + 24.0) * trace.len() as f64);
    let mut chart = Chart::canvas("digit-responsibilities", "Responsibilities, iteration by iteration", size);
    let (bold, grey) = (Ink::new(INK).plain().bold(), Ink::new(GREY).plain().size(12.0));
    let place = format!("layer first, row {}, column {}: R_{{ij}}", row + 1, column + 1);
    chart.note((16.0, 22.0), bold, place);
    chart.note((16.0, 40.0), grey, format!("{children} children across, {parents} parents down"));
    let mut words = Vec::new();
    for (t, step) in trace.iter().enumerate() {
        let top = TOP + (TALL + 24.0) * t as f64;
        let table = step.responsibilities.index_axis(Axis(0), 0);
        let shares: Vec<f64> = table.t().iter().map(|share| share / scale).collect();
        let (strongest, own) = (number(largest(t), 3), number(step.activations[(0, most)], 3));
        let text = format!("iteration {}: largest R {strongest}, a of parent {} {own}", t + 1, most + 1);
        chart.note((16.0, top - 9.0), grey, &text);
        words.push(text);
        let [from, to] = [chart.at_pixel(LEFT, top + TALL), chart.at_pixel(LEFT + WIDE, top)];
        chart.image(from, to, Image::new(children, &shares, 128, true));
        for near in 0..=NEAR * NEAR {
            let x = LEFT + WIDE * near as f64 / (NEAR * NEAR) as f64;
            let line = [(x, top), (x, top + TALL)].map(|(x, y)| chart.at_pixel(x, y));
            chart.line_anywhere(line, Pen::new(PALE, 1.0));
        }
        for (parent, tint) in [(heaviest, component(0)), (most, VERMILION)] {
            let middle = top + TALL * (parent as f64 + 0.5) / parents as f64;
            let ink = Ink::new(tint).plain().bold().size(12.0);
            chart.write((LEFT - 5.0, middle), Side::Left, ink, (parent + 1).to_string());
        }
    }
    let words = words.join("; ");
    chart
        .alt(format!("Tables of responsibilities with {children} columns and {parents} rows. {words}."))
        .finish()
}
