//! The pictures of a training: the network before it, and its curves.

use em_routing::capsnet::{CapsNet, Settings};
use em_routing::draw::{Axis, Chart, Figure, GREY, INK, Ink, PALE, Pen, Point, Side, component};
use em_routing::error::Result;

/// The number of points of the curve of the loss.
pub const POINTS: usize = 100;

/// The number of times that a training is checked, the last time on all held-out digits: every few hundred digits in a short
/// training.
pub fn checks(digits: usize, epochs: usize) -> usize {
    (digits * epochs / 1_000).clamp(2, 12)
}

/// Draws loss and error over the images that a training of `images` images has seen so far.
pub fn curves(images: f64, losses: &[Point], errors: &[Point]) -> Result<Figure> {
    const LEAST: f64 = 0.005;
    let last = |points: &[Point]| points.last().map(|point| point.1);
    let words = match (last(losses), last(errors)) {
        (Some(loss), Some(error)) => {
            format!(
                "The loss is now {loss:.4}, and {:.1} % of the held-out digits are misclassified.",
                100.0 * error
            )
        }
        _ => "The training has just begun.".to_owned(),
    };
    let most = losses.iter().map(|point| point.1).fold(1e-6, f64::max);
    let name = |share: f64| format!("{} %", 100.0 * share);
    let ticks = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0].map(|share| (f64::log10(share), name(share)));
    let x = Axis::new("digits seen", 0.0, images).most(6);
    let loss = Axis::new("", 0.0, 1.05 * most).most(4);
    let error = Axis::new("", LEAST.log10(), 0.0).ticks(ticks.to_vec());
    let mut figure = Chart::canvas("training", "A training", (640.0, 500.0)).alt(words);
    let at = |index: usize| (72.0, 50.0 + 218.0 * index as f64);
    let mut panel = figure.panel(at(0), (540.0, 140.0), x.clone().bare(), loss);
    panel.heading("Loss of the batches", "");
    panel.line(losses.iter().copied(), Pen::new(component(1), 2.0));
    figure.add(panel);
    let mut panel = figure.panel(at(1), (540.0, 170.0), x, error);
    panel.heading("Misclassified held-out digits", "");
    let errors: Vec<Point> = errors.iter().map(|&(seen, share)| (seen, share.max(LEAST).log10())).collect();
    panel.marked(&errors, component(0), 2.0, 3.5);
    figure.add(panel);
    figure.finish()
}

/// Draws the layers of a network with the number of their parameters, and how it is to be trained.
pub fn plan(net: &CapsNet, settings: &Settings, digits: usize) -> Result<Figure> {
    const ROW: f64 = 30.0;
    let (layers, routing) = (net.layers(), &net.architecture().routing);
    let most = layers.iter().map(|layer| layer.parameters).max().unwrap_or(1).max(1) as f64;
    let height = 96.0 + ROW * layers.len() as f64;
    let (ink, small) = (Ink::new(INK).plain().size(14.0), Ink::new(GREY).plain().size(12.5));
    let mut chart = Chart::canvas("plan", "The network to train", (640.0, height + 62.0));
    let heads = [
        (24.0, Side::Right, "layer"),
        (122.0, Side::Right, "positions x kinds"),
        (290.0, Side::Right, "parameters"),
    ];
    for (x, side, text) in heads {
        chart.write((x, 28.0), side, small, text);
    }
    let mut words = Vec::new();
    for (row, layer) in layers.iter().enumerate() {
        let y = 56.0 + ROW * row as f64;
        let grid = format!("{} x {} x {}", layer.rows, layer.columns, layer.kinds);
        words.push(format!("{} {grid}, {} parameters", layer.name, layer.parameters));
        let width = 220.0 * layer.parameters as f64 / most;
        let [from, to] = [(290.0, y + 10.0), (290.0 + width, y - 10.0)].map(|(x, y)| chart.at_pixel(x, y));
        chart.block(from, to, if layer.parameters == 0 { PALE } else { component(0) });
        chart.write((24.0, y), Side::Right, ink.bold(), layer.name);
        chart.write((122.0, y), Side::Right, ink, grid);
        chart.write((298.0 + width, y), Side::Right, ink, layer.parameters.to_string());
    }
    let recipe = &settings.recipe;
    let value = |name: &str| {
        let all = settings.settings();
        all.into_iter().find(|setting| setting.0 == name).map(|setting| setting.1).unwrap_or_default()
    };
    let costs = match routing.normalise_costs {
        true => "normalised".to_owned(),
        false => value("cost-scale"),
    };
    let lines = [
        format!(
            "routing: {} iterations, costs {costs}, lambda {}",
            routing.iterations,
            value("inverse-temperature")
        ),
        format!(
            "start: transforms {} I + normal(0, {}), beta_v {}, beta_a {}",
            value("transform-identity"),
            value("transform-deviation"),
            value("beta-v"),
            value("beta-a")
        ),
        format!(
            "training: {digits} digits x {}, batches of {}, learning rate {}",
            recipe.epochs, recipe.batch, recipe.learning_rate
        ),
    ];
    for (line, text) in lines.iter().enumerate() {
        chart.write((24.0, height - 18.0 + 24.0 * line as f64), Side::Right, ink, text);
    }
    chart.alt(format!("{}. {}.", words.join("; "), lines.join("; "))).finish()
}
