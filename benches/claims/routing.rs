//! What the routing of a trained network does: replaced shares, more iterations, spread over images, starved capsules, negatives.

use em_routing::capsnet::{CapsNet, Loss, Pass};
use em_routing::data::idx::Images;
use em_routing::routing::{CapsuleLayer, Capsules, ELEMENTS, Reach, RoutingInput, RoutingStep};
use ndarray::{Array1, Array3, Array4, Array5};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Outcome;
use crate::networks::{with_negatives, with_settings};

/// The routed layers, from below.
const LAYERS: [&str; 3] = ["first", "second", "class"];
/// The images of a batch.
const BATCH: usize = 50;

/// A measure and its value.
pub type Measures = Vec<(String, f64)>;

/// How the responsibilities of a trained network are replaced in f64.
const SHARES: [&str; 2] = ["random", "shuffled"];

/// Paik et al.: the error of a trained network if its responsibilities are replaced. `few` are digits that are routed in f64.
pub fn replaced_shares(net: &CapsNet, digits: &Images, few: &Images, seed: u64) -> Outcome<Measures> {
    let error = |net: &CapsNet| -> Outcome<f64> { Ok(net.evaluate(digits, 1, |_| {})?.error_rate()) };
    let mut measures = vec![
        ("error, routed".to_owned(), error(net)?),
        ("error, uniform".to_owned(), error(&with_settings(net, "iterations = 1")?)?),
        ("error of the few, routed".to_owned(), net.evaluate(few, 1, |_| {})?.error_rate()),
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut errors = [0.0; SHARES.len()];
    for image in 0..few.len() {
        let pass = net.forward(&net.pixels(few, &[image])?, 1)?;
        for (shares, errors) in SHARES.into_iter().zip(&mut errors) {
            let class = class_with(net, &pass, shares, &mut rng)?;
            *errors += f64::from(class != usize::from(few.labels[image]));
        }
    }
    for (shares, errors) in SHARES.into_iter().zip(errors) {
        measures.push((format!("error of the few, {shares}"), errors / few.len() as f64));
    }
    Ok(measures)
}

/// Returns the class of the one image of a pass if the responsibilities of all layers are replaced.
fn class_with(net: &CapsNet, pass: &Pass, shares: &str, rng: &mut ChaCha8Rng) -> Outcome<usize> {
    let options = &net.architecture().routing;
    let mut run = net.layer_routing(pass, LAYERS[0], 0)?;
    for next in &LAYERS[1..] {
        let own = &run.routing.last().responsibilities;
        let step = run.input.step_with(replaced(own, shares, rng), options)?;
        let (_, rows, columns, parents, _) = run.capsules.poses.dim();
        let capsules = Capsules {
            poses: Array5::from_shape_vec((1, rows, columns, parents, ELEMENTS), numbers(&step.means))?,
            activations: Array4::from_shape_vec((1, rows, columns, parents), numbers(&step.activations))?,
        };
        run = layer(net, next)?.forward(&capsules, options)?;
    }
    let own = &run.routing.last().responsibilities;
    let step = run.input.step_with(replaced(own, shares, rng), options)?;
    let activations: Vec<f32> = step.activations.iter().map(|&a| a as f32).collect();
    Ok(em_routing::capsnet::training::most_active(&activations))
}

fn numbers<D: ndarray::Dimension>(array: &ndarray::Array<f64, D>) -> Vec<f64> {
    array.iter().copied().collect()
}

/// Returns a routed layer of the network in f64.
fn layer(net: &CapsNet, name: &str) -> Outcome<CapsuleLayer> {
    let part = |letter: &str| -> Outcome<Vec<f64>> {
        Ok(net.parameters().part(&format!("{name}.{letter}"))?.iter().map(|&x| f64::from(x)).collect())
    };
    let (transforms, beta_v, beta_a) = (part("transforms")?, part("beta_v")?, part("beta_a")?);
    let parents = beta_v.len();
    let children = transforms.len() / parents / ELEMENTS;
    Ok(CapsuleLayer {
        reach: if name == "class" { Reach::Everywhere } else { Reach::Neighbourhood { size: 3, stride: 1 } },
        transforms: Array4::from_shape_vec((children, parents, 4, 4), transforms)?,
        beta_v: Array1::from(beta_v),
        beta_a: Array1::from(beta_a),
    })
}

/// Returns other responsibilities: drawn uniformly and divided by their sum, or the child's own, dealt to its parents anew.
fn replaced(own: &Array3<f64>, shares: &str, rng: &mut ChaCha8Rng) -> Array3<f64> {
    let mut new = own.clone();
    for mut child in new.rows_mut() {
        let mut dealt = child.to_vec();
        if shares == "random" {
            dealt.iter_mut().for_each(|share| *share = rng.r#gen());
            let sum: f64 = dealt.iter().sum();
            dealt.iter_mut().for_each(|share| *share = (*share / sum).min(1.0));
        } else {
            dealt.shuffle(rng);
        }
        child.assign(&Array1::from(dealt));
    }
    new
}

/// The entropy of the responsibilities by iteration, and the digits whose class changes with the number of iterations.
pub fn iterations(net: &CapsNet, digits: &Images, few: &Images) -> Outcome<Measures> {
    let trained = net.evaluate(digits, 1, |_| {})?;
    let mut measures = Measures::new();
    for iterations in 1..=5 {
        let other = with_settings(net, &format!("iterations = {iterations}"))?.evaluate(digits, 1, |_| {})?;
        let pairs = other.predictions.iter().zip(&trained.predictions);
        let changed = pairs.filter(|(other, own)| other != own).count() as f64 / digits.len() as f64;
        measures.push((format!("error, {iterations}"), other.error_rate()));
        measures.push((format!("changed, {iterations}"), changed));
    }
    let five = with_settings(net, "iterations = 5")?;
    let mut sums = [[[0.0; 2]; 5]; 3]; // by layer and iteration: weight times entropy, weight
    for image in 0..few.len() {
        let pass = five.forward(&five.pixels(few, &[image])?, 1)?;
        for (layer, sums) in LAYERS.into_iter().zip(&mut sums) {
            let run = five.layer_routing(&pass, layer, 0)?;
            for (step, sums) in run.routing.trace.iter().zip(sums) {
                let relative = 1.0 / (step.masses.ncols() as f64).ln();
                for (weight, entropy) in run.input.activations.iter().zip(&step.entropies()) {
                    sums[0] += weight * entropy * relative;
                    sums[1] += weight;
                }
            }
        }
    }
    for (layer, sums) in LAYERS.into_iter().zip(sums) {
        for (at, [sum, weight]) in sums.into_iter().enumerate() {
            measures.push((format!("entropy of {layer}, {}", at + 1), sum / weight));
        }
    }
    Ok(measures)
}

/// Sums over images of the responsibilities of one layer, each weighted by the child's activation.
struct Spread {
    shares: Array3<f64>,
    weights: ndarray::Array2<f64>,
    entropy: f64,
    masses: Array1<f64>,
}

impl Spread {
    fn new(input: &RoutingInput) -> Spread {
        let (positions, children, parents, _) = input.votes.dim();
        Spread {
            shares: Array3::zeros((positions, children, parents)),
            weights: ndarray::Array2::zeros((positions, children)),
            entropy: 0.0,
            masses: Array1::zeros(parents),
        }
    }

    fn add(&mut self, input: &RoutingInput, step: &RoutingStep) {
        for ((p, i), &weight) in input.activations.indexed_iter() {
            let own = step.responsibilities.slice(ndarray::s![p, i, ..]);
            self.shares.slice_mut(ndarray::s![p, i, ..]).scaled_add(weight, &own);
        }
        self.entropy += (&step.entropies() * &input.activations).sum();
        self.weights += &input.activations;
        self.masses += &step.masses.sum_axis(ndarray::Axis(0));
    }

    /// Returns ln(parents) minus the mean entropy, in two parts: what the mean responsibilities already have, and what depends on the
    /// image. Both are in units of ln(parents).
    fn parts(&self) -> [f64; 2] {
        let (log_parents, total) = ((self.masses.len() as f64).ln(), self.weights.sum());
        let mut entropy_of_mean = 0.0;
        for ((p, i), &weight) in self.weights.indexed_iter().filter(|(_, weight)| **weight > 0.0) {
            let shares = self.shares.slice(ndarray::s![p, i, ..]);
            let terms = shares.iter().map(|share| share / weight).filter(|&r| r > 0.0).map(|r| -r * r.ln());
            entropy_of_mean += weight * terms.sum::<f64>();
        }
        [(log_parents - entropy_of_mean / total), (entropy_of_mean - self.entropy) / total]
            .map(|part| part / log_parents)
    }
}

/// Mitterreiter et al.: whether the responsibilities depend on the image, how many capsules are starved, and the gradients that
/// reach the kinds of capsules.
pub fn starvation(net: &CapsNet, digits: &Images, few: &Images) -> Outcome<Measures> {
    let mut measures = Measures::new();
    for layer in LAYERS {
        let mut spread: Option<Spread> = None;
        for image in 0..few.len() {
            let run = net.layer_routing(&net.forward(&net.pixels(few, &[image])?, 1)?, layer, 0)?;
            spread.get_or_insert_with(|| Spread::new(&run.input)).add(&run.input, run.routing.last());
        }
        let spread = spread.ok_or("there are no images")?;
        let [fixed, moving] = spread.parts();
        measures.push((format!("{layer}: fixed part"), fixed));
        measures.push((format!("{layer}: part of the image"), moving));
        let fair = spread.masses.sum() / spread.masses.len() as f64;
        let without = spread.masses.iter().filter(|&&mass| mass < 0.01 * fair).count();
        measures.push((format!("{layer}: kinds without mass"), without as f64 / spread.masses.len() as f64));
    }
    let numbers: Vec<usize> = (0..digits.len()).collect();
    let mut largest: [Vec<f32>; 3] = Default::default();
    for batch in numbers.chunks(BATCH) {
        let pass = net.forward(&net.pixels(digits, batch)?, 1)?;
        for (layer, largest) in LAYERS.into_iter().zip(&mut largest) {
            let activations = &pass[layer].activations;
            largest.resize(activations.len() / batch.len(), 0.0);
            for image in activations.chunks_exact(largest.len()) {
                largest.iter_mut().zip(image).for_each(|(most, &a)| *most = most.max(a));
            }
        }
    }
    for (layer, largest) in LAYERS.into_iter().zip(largest) {
        let kinds = net.layer(layer)?.kinds;
        let capsules = largest.iter().filter(|&&a| a < 0.01).count();
        let is_silent = |kind: &usize| largest.iter().skip(*kind).step_by(kinds).all(|&a| a < 0.01);
        let without = (0..kinds).filter(is_silent).count();
        measures.push((format!("{layer}: silent capsules"), capsules as f64 / largest.len() as f64));
        measures.push((format!("{layer}: silent kinds"), without as f64 / kinds as f64));
    }
    measures.extend(gradients(net, few)?);
    Ok(measures)
}

/// Returns, for each layer, the root mean square of the gradient of its transforms, and the share of kinds whose gradient is shorter
/// than a hundredth of the mean length. The loss has a margin of 1, so that no digit has a gradient of 0.
fn gradients(net: &CapsNet, digits: &Images) -> Outcome<Measures> {
    let numbers: Vec<usize> = (0..digits.len()).collect();
    let pass = net.forward_keeping(&net.pixels(digits, &numbers)?, 1)?;
    let labels: Vec<usize> = digits.labels.iter().map(|&label| label.into()).collect();
    let (_, d) = Loss::Spread.of_batch(&pass.classes().activations, &labels, 1.0, true)?;
    let gradient = net.backward(&pass, &d, 1)?;
    let mut measures = Measures::new();
    for layer in LAYERS {
        let (kinds, numbers) = (net.layer(layer)?.kinds, gradient.part(&format!("{layer}.transforms"))?);
        let mut squares = vec![0.0; kinds];
        for (at, transform) in numbers.chunks_exact(ELEMENTS).enumerate() {
            squares[at % kinds] += transform.iter().map(|&d| f64::from(d).powi(2)).sum::<f64>();
        }
        let lengths: Vec<f64> = squares.iter().map(|square| square.sqrt()).collect();
        let mean = lengths.iter().sum::<f64>() / kinds as f64;
        let short = lengths.iter().filter(|&&length| length < 0.01 * mean).count();
        let root_mean = (squares.iter().sum::<f64>() / numbers.len() as f64).sqrt();
        measures.push((format!("{layer}: gradient"), root_mean));
        measures.push((format!("{layer}: kinds with a short gradient"), short as f64 / kinds as f64));
    }
    Ok(measures)
}

/// Peer et al.: what changes if all poses of the primary capsules are negated, with and without coordinate addition, and if the
/// image is.
pub fn negatives(net: &CapsNet, digits: &Images) -> Outcome<Measures> {
    let negated = |net: &CapsNet| -> Outcome<CapsNet> {
        let mut net = net.clone();
        // poses are a linear map of the features
        for part in ["poses.weights", "poses.bias"] {
            net.parameters_mut().part_mut(part)?.iter_mut().for_each(|number| *number = -*number);
        }
        Ok(net)
    };
    let mut measures = Measures::new();
    for (words, addition) in [("without coordinates", "false"), ("with coordinates", "true")] {
        let net = with_settings(net, &format!("coordinate-addition = {addition}"))?;
        let before = net.evaluate(digits, 1, |_| {})?;
        let after = negated(&net)?.evaluate(digits, 1, |_| {})?;
        let changes =
            before.activations.iter().zip(&after.activations).map(|(a, b)| f64::from((a - b).abs()));
        measures.push((format!("negated poses {words}: largest change"), changes.fold(0.0, f64::max)));
        measures.push((
            format!("negated poses {words}: same class"),
            same(&before.predictions, &after.predictions),
        ));
    }
    measures.push(("negated image: same class".to_owned(), negated_image(net, digits)?));
    Ok(measures)
}

/// Returns the share of digits whose negative has the same class.
pub fn negated_image(net: &CapsNet, digits: &Images) -> Outcome<f64> {
    let mut negative = digits.clone();
    negative.pixels.iter_mut().for_each(|pixel| *pixel = 255 - *pixel);
    let [before, after] = [digits, &negative].map(|images| net.evaluate(images, 1, |_| {}));
    Ok(same(&before?.predictions, &after?.predictions))
}

/// Returns the accuracy of a network that was trained to tell digits from negatives.
pub fn polarity(net: &CapsNet, digits: &Images) -> Outcome<Measures> {
    let error = net.evaluate(&with_negatives(digits), 1, |_| {})?.error_rate();
    Ok(vec![("accuracy".to_owned(), 1.0 - error)])
}

fn same(one: &[usize], other: &[usize]) -> f64 {
    one.iter().zip(other).filter(|(one, other)| one == other).count() as f64 / one.len() as f64
}
