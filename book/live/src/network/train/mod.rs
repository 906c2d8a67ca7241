//! The figure `train`: trains a network slice by slice, so that the page's worker can answer between two slices.
//!
//! A request's `do` is one of `plan` (the network of the settings), `trial` (a step whose time is measured), `start`, `step`, `check`
//! (classifies some more held-out digits), `evaluate` (begins a classification of all of them), `picture`, `save`, `load`, `read` (classifies a
//! drawing), `resume` (before the training goes on) and `forget` (drops the training and the file's network).

mod choice;
mod picture;

use std::cell::RefCell;
use std::io::BufRead;
use std::path::Path;
use std::rc::Rc;

use em_routing::capsnet::{CapsNet, Evaluation, Training};
use em_routing::data::idx::Images;
use em_routing::draw::{Figure, Palette};
use em_routing::figures::chapter09;
use serde_json::{Value, json};

use super::drawing::{SIDE, image};
use super::{FILES, Outcome, reading};
use choice::Choice;

/// The names of the files that the script gives, and of the one that it takes.
const IMAGES: &str = "digits-images.gz";
const LABELS: &str = "digits-labels.gz";
const LOADED: &str = "loaded.safetensors";
const SAVED: &str = "network.safetensors";

/// The number of digits at the end of the files that are held out.
const HELD_OUT: usize = 2_000;
/// The number of held-out digits in each point of the curve.
const CURVE: usize = 500;

/// What the figure keeps between two requests.
#[derive(Default)]
struct State {
    digits: Option<Rc<Digits>>,
    run: Option<Run>,
    /// The network of a file, which is evaluated and read with instead of the training's until the training goes on.
    loaded: Option<CapsNet>,
    check: Option<Check>,
    /// The last finished classification of all held-out digits.
    last: Option<Evaluation>,
    trial: Option<(Choice, Training, Images)>,
}

/// The digits of the files.
struct Digits {
    train: Images,
    held_out: Images,
}

/// A training, and what has been measured.
struct Run {
    training: Training,
    digits: Images,
    /// The mean loss of each few steps.
    losses: Vec<(f64, f64)>,
    /// The losses since the last point.
    recent: Vec<f64>,
    /// The share of misclassified digits among those of the curve.
    errors: Vec<(f64, f64)>,
}

/// A classification of held-out digits that is under way.
struct Check {
    net: CapsNet,
    images: Images,
    found: Evaluation,
    /// The number of images that the training has seen; none for a network from a file.
    seen: Option<f64>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Answers a request of the worker.
pub fn answer(request: &Value) -> Outcome<Value> {
    STATE.with_borrow_mut(|state| match request["do"].as_str() {
        Some("plan") => plan(request),
        Some("trial") => state.trial(request),
        Some("start") => state.start(request),
        Some("step") => state.step(whole(request, "steps")?),
        Some("check") => state.check(request),
        Some("picture") => state.picture(palette(request)),
        Some("save") => state.save(),
        Some("load") => state.load(),
        Some("resume") => state.resume(),
        Some("forget") => state.forget(),
        Some("evaluate") => state.evaluate(),
        Some("read") => state.read(request),
        _ => Err("the request does not say what to do".to_owned()),
    })
}

fn words(error: em_routing::error::Error) -> String {
    error.to_string()
}

fn whole(request: &Value, name: &str) -> Outcome<usize> {
    request[name].as_u64().map(|value| value as usize).ok_or_else(|| format!("{name} is not a whole number"))
}

fn palette(request: &Value) -> Palette {
    if request["dark"] == true { Palette::Dark } else { Palette::Light }
}

fn drawn(figure: em_routing::error::Result<Figure>, palette: Palette) -> Outcome<Value> {
    let figure = figure.map_err(words)?;
    Ok(json!({ "svg": figure.svg(palette), "alt": figure.alt(), "dark": palette == Palette::Dark }))
}

/// The network and the length of the training that the settings ask for.
fn plan(request: &Value) -> Outcome<Value> {
    let choice = Choice::of(&request["settings"], request["changed"].as_str())?;
    let settings = choice.settings()?;
    let net = CapsNet::zeros(settings.architecture.clone()).map_err(words)?;
    let images = choice.digits * choice.epochs;
    Ok(json!({
        "settings": choice.texts(),
        "picture": drawn(picture::plan(&net, &settings, choice.digits), palette(request))?,
        "parameters": net.parameters().len(),
        "images": images,
        "steps": choice.digits / settings.recipe.batch * choice.epochs,
        "checks": picture::checks(choice.digits, choice.epochs),
        "curve": CURVE,
        "heldOut": HELD_OUT,
    }))
}

impl State {
    /// Trains a new network on noise for one step, whose time tells the page how long the training will take.
    fn trial(&mut self, request: &Value) -> Outcome<Value> {
        let choice = Choice::of(&request["settings"], None)?;
        if self.trial.as_ref().is_none_or(|trial| trial.0 != choice) {
            let settings = choice.settings()?;
            let (batch, [height, width]) = (settings.recipe.batch, [28, 28]);
            let pixels =
                (0..batch * height * width).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
            let labels = (0..batch).map(|image| (image % 10) as u8).collect();
            let images = Images { pixels, labels, height, width, classes: 10 };
            self.trial = Some((choice, Training::new(settings, 1, 1).map_err(words)?, images));
        }
        let (_, training, images) = self.trial.as_mut().expect("just made");
        let report = training.step(images).map_err(words)?;
        Ok(json!({ "images": report.images }))
    }

    /// Reads the digits once.
    fn digits(&mut self) -> Outcome<Rc<Digits>> {
        if self.digits.is_none() {
            let digits = FILES.with_borrow(|files| {
                let file = |name: &'static str| {
                    let bytes = files.get(name).ok_or_else(|| format!("the file {name} is missing"))?;
                    Ok::<(&Path, &[u8]), String>((Path::new(name), bytes))
                };
                read(file(IMAGES)?, file(LABELS)?)
            })?;
            FILES.with_borrow_mut(|files| [IMAGES, LABELS].map(|name| files.remove(name)));
            self.digits = Some(Rc::new(digits));
        }
        Ok(Rc::clone(self.digits.as_ref().expect("just read")))
    }

    /// Draws a network and forgets the last training.
    fn start(&mut self, request: &Value) -> Outcome<Value> {
        let choice = Choice::of(&request["settings"], None)?;
        let (settings, digits) = (choice.settings()?, self.digits()?);
        if choice.digits > digits.train.len() {
            return Err(format!("the file holds only {} digits to train on", digits.train.len()));
        }
        let training = Training::new(settings, whole(request, "seed")? as u64, 1).map_err(words)?;
        let digits = digits.train.slice(0..choice.digits);
        let steps = training.steps(digits.len());
        self.run = Some(Run { training, digits, losses: Vec::new(), recent: Vec::new(), errors: Vec::new() });
        (self.loaded, self.check, self.last, self.trial) = (None, None, None, None);
        Ok(json!({ "steps": steps }))
    }

    fn run(&mut self) -> Outcome<&mut Run> {
        self.run.as_mut().ok_or_else(|| "no training has been started".to_owned())
    }

    /// Goes back from a file's network to the training's, and drops a classification that was stopped.
    fn resume(&mut self) -> Outcome<Value> {
        if self.loaded.take().is_some() {
            self.last = None; // it was the file's
        }
        self.check = None;
        Ok(json!({}))
    }

    fn forget(&mut self) -> Outcome<Value> {
        *self = State { digits: self.digits.take(), trial: self.trial.take(), ..State::default() };
        Ok(json!({}))
    }

    /// The network that is evaluated and read with: that of the file that was loaded last, or that of the training.
    fn net(&self) -> Outcome<CapsNet> {
        let trained = self.run.as_ref().map(|run| run.training.result());
        self.loaded.clone().or(trained).ok_or_else(|| "there is no network yet".to_owned())
    }

    /// The number of images that this network has seen; none for a network from a file.
    fn seen(&self) -> Option<f64> {
        self.run.as_ref().filter(|_| self.loaded.is_none()).map(Run::seen)
    }

    /// Trains for some steps, but not beyond the last one.
    fn step(&mut self, count: usize) -> Outcome<Value> {
        let run = self.run()?;
        let steps = run.training.steps(run.digits.len());
        let every = (steps / picture::POINTS).max(1);
        for _ in 0..count.min(steps - run.training.step) {
            let report = run.training.step(&run.digits).map_err(words)?;
            run.recent.push(report.loss);
            if run.recent.len() == every {
                let mean = run.recent.drain(..).sum::<f64>() / every as f64;
                run.losses.push((run.seen(), mean));
            }
        }
        let (seen, step) = (run.seen(), run.training.step);
        Ok(
            json!({ "step": step, "steps": steps, "seen": seen, "loss": run.losses.last().map(|point| point.1) }),
        )
    }

    /// Classifies `count` more held-out digits with the network as it was at the first of these requests: those of the curve, or
    /// with `all` all of them.
    fn check(&mut self, request: &Value) -> Outcome<Value> {
        let count = whole(request, "count")?;
        if self.check.is_none() {
            let held_out = self.digits()?;
            let of = if request["all"] == true { HELD_OUT } else { CURVE };
            self.check = Some(Check::new(self.net()?, held_out.held_out.slice(0..of), self.seen()));
        }
        let check = self.check.as_mut().expect("just made");
        let (done, of) = (check.go_on(count)?, check.images.len());
        let errors = check.found.errors();
        if done == of {
            let check = self.check.take().expect("just used");
            if let (Some(run), Some(seen)) = (&mut self.run, check.seen) {
                let share = check.found.error_rate();
                run.errors.retain(|point| point.0 < seen);
                run.errors.push((seen, share));
            }
            if of == HELD_OUT {
                self.last = Some(check.found);
            }
        }
        Ok(json!({ "done": done, "of": of, "errors": errors }))
    }

    /// Draws the curves of the training, and the confusions of the last classification of all held-out digits.
    fn picture(&mut self, palette: Palette) -> Outcome<Value> {
        let curves = match &self.run {
            Some(run) => {
                let images = (run.training.steps(run.digits.len()) * run.training.recipe.batch) as f64;
                drawn(picture::curves(images, &run.losses, &run.errors), palette)?
            }
            None => Value::Null,
        };
        let confusion = match &self.last {
            Some(found) => drawn(chapter09::confusion(found), palette)?,
            None => Value::Null,
        };
        Ok(json!({ "curves": curves, "confusion": confusion }))
    }

    /// Writes the trained network as a file of safetensors for the script to take.
    fn save(&mut self) -> Outcome<Value> {
        let bytes = self.run()?.training.result_bytes(Path::new(SAVED)).map_err(words)?;
        let length = bytes.len();
        super::give(SAVED, &bytes);
        Ok(json!({ "file": SAVED, "bytes": length }))
    }

    /// Reads a network from the file that the reader chose.
    fn load(&mut self) -> Outcome<Value> {
        let bytes = FILES.with_borrow_mut(|files| files.remove(LOADED));
        let bytes = bytes.ok_or_else(|| format!("the file {LOADED} is missing"))?;
        let net = CapsNet::from_bytes(Path::new("the file"), &bytes).map_err(words)?;
        let form = net.architecture();
        if [form.height, form.width, form.channels, form.classes] != [SIDE, SIDE, 1, 10] {
            return Err(format!(
                "the network is for {} x {} images with {} channels and {} classes, but digits have 28 x 28 pixels, 1 channel and 10 classes",
                form.height, form.width, form.channels, form.classes
            ));
        }
        let parameters = net.parameters().len();
        (self.loaded, self.check, self.last) = (Some(net), None, None);
        Ok(json!({ "parameters": parameters }))
    }

    /// Begins a classification of all held-out digits, which [`State::check`] goes on with.
    fn evaluate(&mut self) -> Outcome<Value> {
        let held_out = self.digits()?.held_out.clone();
        self.check = Some(Check::new(self.net()?, held_out, self.seen()));
        Ok(json!({}))
    }

    /// Classifies a drawing or an image.
    fn read(&self, request: &Value) -> Outcome<Value> {
        Ok(reading::read(&self.net()?, image(request)?, palette(request))?.1)
    }
}

impl Run {
    /// The number of images that the training has seen, each as often as it came.
    fn seen(&self) -> f64 {
        (self.training.step * self.training.recipe.batch) as f64
    }
}

impl Check {
    fn new(net: CapsNet, images: Images, seen: Option<f64>) -> Check {
        let classes = net.architecture().classes;
        let found =
            Evaluation { activations: Vec::new(), predictions: Vec::new(), labels: Vec::new(), classes };
        Check { net, images, found, seen }
    }

    /// Classifies some more images. Returns the number of those that are done.
    fn go_on(&mut self, count: usize) -> Outcome<usize> {
        let done = self.found.labels.len();
        let next = done..(done + count).min(self.images.len());
        if !next.is_empty() {
            let more = self.net.evaluate(&self.images.slice(next), 1, |_| {}).map_err(words)?;
            self.found.activations.extend(more.activations);
            self.found.predictions.extend(more.predictions);
            self.found.labels.extend(more.labels);
        }
        Ok(self.found.labels.len())
    }
}

/// Reads the digits of a pair of files.
fn read(images: (&Path, impl BufRead), labels: (&Path, impl BufRead)) -> Outcome<Digits> {
    let all = Images::from_streams(images, labels, 10).map_err(words)?;
    let train = all.len().checked_sub(HELD_OUT).filter(|&train| train > 0);
    let train = train.ok_or_else(|| format!("there are only {} digits", all.len()))?;
    Ok(Digits { train: all.slice(0..train), held_out: all.slice(train..all.len()) })
}
