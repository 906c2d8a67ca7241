//! Figures of hostile input: every drawing function quickly returns a figure of bounded size or an error.

mod cases;
mod large;
#[path = "../support/svg.rs"]
mod svg;
mod values;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use em_routing::prelude::*;

use cases::DRAWN;
use values::Hostile;

/// The time limit per figure. The slowest takes 0.7 s; the margin is for busy machines.
const LIMIT: Duration = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 10 });

/// The number of inputs per function.
const CASES: u64 = 300;

/// A figure, or why it was not drawn.
pub type Drawn = Result<Figure, Error>;

/// Draws from hostile arguments.
pub type Draw = fn(&mut Hostile) -> Drawn;

/// Draws in a separate thread within the time limit. A figure must have finite numbers and a bounded size.
pub fn drawn_in_time(name: &str, draw: impl FnOnce() -> Drawn + Send + 'static) -> Drawn {
    let (sender, receiver) = mpsc::channel();
    let started = Instant::now();
    let thread = std::thread::spawn(move || {
        let drawn = draw();
        let _ = sender.send(started.elapsed());
        drawn
    });
    match receiver.recv_timeout(LIMIT) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{name} has not returned after {LIMIT:?}"),
        _ => {
            let drawn = thread.join().unwrap_or_else(|_| panic!("{name} panicked"));
            match &drawn {
                Ok(figure) => {
                    svg::assert_numbers(figure);
                    let most =
                        if figure.svg(Palette::Light).contains("@keyframes") { 4_200_000 } else { 1_100_000 };
                    assert!(
                        figure.svg(Palette::Light).len() <= most,
                        "{name} has {} bytes",
                        figure.svg(Palette::Light).len()
                    );
                    assert!(figure.alt().chars().count() <= 3_001 && figure.name().len() <= 100, "{name}");
                }
                Err(error) => assert!(error.to_string().len() < 100_000, "{name}"),
            }
            drawn
        }
    }
}

#[test]
fn hostile_input_gives_a_bounded_figure_or_an_error() {
    let mut rest: Vec<_> = DRAWN.to_vec();
    let halves = [rest.split_off(DRAWN.len() / 2), rest];
    std::thread::scope(|scope| {
        for half in halves {
            scope.spawn(move || half.into_iter().for_each(hostile_input_is_bounded));
        }
    });
}

fn hostile_input_is_bounded((name, draw): (&str, Draw)) {
    let mut figures = 0;
    for seed in 1..=CASES {
        let case = format!("{name}, seed {seed}");
        figures += usize::from(drawn_in_time(&case, move || draw(&mut Hostile::new(seed))).is_ok());
    }
    assert!(figures > 0, "{name} rejected every input, so its figures are untested");
}

#[test]
fn every_function_that_returns_a_figure_is_tested_here() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in sources(&root.join("draw")).into_iter().chain(sources(&root.join("figures"))) {
        found.extend(functions_of_figures(&std::fs::read_to_string(path).unwrap()));
    }
    found.sort();
    let tested: Vec<&str> = DRAWN.iter().map(|entry| entry.0).collect();
    assert_eq!(found, tested, "left: found in the sources; right: tested here");
}

/// The Rust files of a folder and its subfolders.
fn sources(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The names of the public functions (not methods) whose signatures return a figure.
fn functions_of_figures(source: &str) -> Vec<String> {
    let of = |signature: &str| {
        let signature = signature.split('{').next().unwrap();
        let returns = ["-> Result<Figure>", "-> Figure"].iter().any(|returned| signature.contains(returned));
        let method = signature.contains("self)") || signature.contains("self,");
        let name = signature.split(['(', '<']).next().unwrap();
        (returns && !method).then(|| name.to_string())
    };
    source.split("pub fn ").skip(1).filter_map(of).collect()
}
