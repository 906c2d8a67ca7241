//! The figure `digit`: a drawing, or a digit of MNIST, on its way through the shipped network.

mod pictures;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use em_routing::capsnet::{CapsNet, Pass};
use em_routing::draw::{Figure, Palette};
use em_routing::error::{Error, Result};
use em_routing::figures::chapter08;
use serde_json::Value;

use super::drawing::{SIDE, image, moved};
use super::{FILES, Outcome, reading};

/// The name of the network's file, which the script gives.
const WEIGHTS: &str = "digit-network.safetensors";
/// The most routing iterations.
const MOST_ITERATIONS: usize = 3;

/// What the figure keeps between two requests.
#[derive(Default)]
struct State {
    /// The network with each number of iterations that was asked for, and, under 0, as it was trained.
    nets: BTreeMap<usize, CapsNet>,
    /// The number of iterations and the pass of the last image.
    last: Option<(usize, Pass)>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Answers a request of the script. Its `do` says what:
///
/// - `classify`: runs the network on `pixels` (784 grey levels) or on `strokes` (lists of x, y, x, y, …, the canvas has a side of 1)
///   of a `pen`, after it was turned by `turn` degrees and moved by `right` and `down` pixels, with `iterations` of routing. Returns
///   the image, the activations, numbers, words and a picture.
/// - `layers`: the pictures of the layers for the same image.
pub fn answer(request: &Value) -> Outcome<Value> {
    let palette = if request["dark"] == true { Palette::Dark } else { Palette::Light };
    STATE.with_borrow_mut(|state| match request["do"].as_str() {
        Some("classify") => state.classify(request, palette),
        Some("layers") => state.layers(palette),
        _ => Err("the request does not say what to do: classify or layers".to_owned()),
    })
}

fn words_of(error: Error) -> String {
    error.to_string()
}

/// Reads a number of the request, within a range.
fn setting(request: &Value, name: &str, most: f64) -> Outcome<f64> {
    let value = request[name].as_f64().unwrap_or(f64::NAN);
    if value.abs() <= most { Ok(value) } else { Err(format!("{name} is not a number within {most} of 0")) }
}

impl State {
    /// Returns the network with this number of iterations; 0 for the number with which it was trained.
    fn net(&mut self, iterations: usize) -> Outcome<&CapsNet> {
        if !self.nets.contains_key(&iterations) {
            let net = if iterations == 0 {
                FILES.with_borrow(|files| {
                    let file = files.get(WEIGHTS).ok_or_else(|| format!("the file {WEIGHTS} is missing"))?;
                    let net = CapsNet::from_bytes(Path::new(WEIGHTS), file).map_err(words_of)?;
                    // the pictures rely on this
                    let form = net.architecture();
                    let fits =
                        [form.height, form.width, form.channels] == [SIDE, SIDE, 1] && form.deep_features > 0;
                    fits.then_some(net).ok_or_else(|| format!("{WEIGHTS} is not the shipped network"))
                })?
            } else {
                let trained = self.net(0)?;
                with_iterations(trained, iterations).map_err(words_of)?
            };
            self.nets.insert(iterations, net);
        }
        Ok(&self.nets[&iterations])
    }

    fn classify(&mut self, request: &Value, palette: Palette) -> Outcome<Value> {
        let iterations = setting(request, "iterations", MOST_ITERATIONS as f64)? as usize;
        if iterations == 0 {
            return Err("the number of iterations is not at least 1".to_owned());
        }
        let turn = setting(request, "turn", 360.0)?;
        let by = [setting(request, "right", SIDE as f64)?, setting(request, "down", SIDE as f64)?];
        let pixels = moved(&image(request)?, turn, by);
        let trained = self.net(0)?.architecture().routing.iterations;
        let net = self.net(iterations)?;
        let (pass, mut answer) = reading::read(net, pixels, palette)?;
        self.last = Some((iterations, pass));
        if iterations != trained {
            let words = answer["words"].as_str().unwrap_or_default();
            answer["words"] = format!(
                "{words} The network was trained with {trained} iterations of routing; with {iterations} it misreads most digits."
            )
            .into();
        }
        Ok(answer)
    }

    fn layers(&mut self, palette: Palette) -> Outcome<Value> {
        let (iterations, pass) = self.last.take().ok_or("no image was classified")?;
        let drawn = self.net(iterations).and_then(|net| drawn(net, &pass).map_err(words_of));
        self.last = Some((iterations, pass));
        Ok(drawn?.iter().map(|figure| figure.svg(palette)).collect())
    }
}

/// Returns the same network with another number of routing iterations.
fn with_iterations(net: &CapsNet, iterations: usize) -> Result<CapsNet> {
    let mut architecture = net.architecture().clone();
    architecture.routing.iterations = iterations;
    let mut other = CapsNet::zeros(architecture)?;
    other.parameters_mut().numbers_mut().copy_from_slice(net.parameters().numbers());
    Ok(other)
}

/// Draws the layers of a pass: features, primary capsules, responsibilities, and what the classes receive.
fn drawn(net: &CapsNet, pass: &Pass) -> Result<[Figure; 4]> {
    let (position, run) = pictures::position_run(net, pass)?;
    let activations = |layer: &str| pass.layer(layer).map(|output| &output.activations);
    Ok([
        pictures::tiles("features", net.layer("features")?, activations("features")?)?,
        pictures::tiles("primary capsules' activations", net.layer("primary")?, activations("primary")?)?,
        pictures::responsibilities(position, &run)?,
        chapter08::class_masses(&net.layer_routing(pass, "class", 0)?)?,
    ])
}

#[cfg(test)]
mod tests;
