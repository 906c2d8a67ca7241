//! Chapter 2: the log-likelihood and its lower bound over one theta, step by step.

use ndarray::Array2;

use super::form::{Control, Kind};
use super::scene::{Handle, Number, Scene, idle};
use super::settings::Settings;
use super::{Event, Live, restart, unknown};
use crate::coin::{Coins, Experiments, Mixing};
use crate::draw::{Axis, BLUE, Chart, GREY, INK, Ink, Pen, VERMILION, number};
use crate::error::Result;

pub(super) const LIVE: Live = Live {
    name: "bound",
    title: "The log-likelihood and its lower bound",
    hint: "Drag the blue point to another start θ<sub>A</sub>, then press “Next step” again and again: E-steps and M-steps take \
           turns. Which step moves which curve? Can any step lower the log-likelihood?",
    controls,
    settle,
    draw,
    changed: |settings, name| {
        restart(settings, name, &["theta_a", "theta_b", "heads1", "heads2", "heads3", "heads4", "heads5"])
    },
};

/// The number of tosses of each experiment.
const TOSSES: u64 = 10;

/// The most steps, of which each iteration has two.
const MOST_STEPS: usize = 60;

/// The names of the counts of heads.
const HEADS: [&str; 5] = ["heads1", "heads2", "heads3", "heads4", "heads5"];

fn controls() -> Vec<Control> {
    let mut controls = vec![
        Control::range("theta_a", "start of θ_A", (0.01, 0.99), 0.01, 0.3),
        Control::range("theta_b", "θ_B, kept", (0.01, 0.99), 0.01, 0.52),
        Control::range("steps", "steps made", (0.0, MOST_STEPS as f64), 1.0, 0.0),
        Control::press("step", "Next step"),
        Control::press("end", "Run to the end"),
    ];
    let labels = [
        "heads in experiment 1",
        "heads in experiment 2",
        "heads in experiment 3",
        "heads in experiment 4",
        "heads in experiment 5",
    ];
    for ((name, label), heads) in HEADS.into_iter().zip(labels).zip([5, 9, 8, 4, 7]) {
        controls.push(Control::new(name, label, Kind::Number { low: 0.0, high: TOSSES as f64 }, heads));
    }
    controls
}

fn settle(settings: &mut Settings, event: &Event) -> Result<()> {
    match event {
        Event::Drag { at, .. } | Event::Place { at } => {
            settings.put("theta_a", at.0, 3)?;
            settings.put("steps", 0.0, 0)
        }
        Event::Press { name } if name == "step" => settings.put("steps", settings.number("steps") + 1.0, 0),
        Event::Press { name } if name == "end" => settings.put("steps", MOST_STEPS as f64, 0),
        other => Err(unknown(other)),
    }
}

/// The state after some steps: the model, q, and the thetas that were left.
struct State {
    coins: Coins,
    q: Array2<f64>,
    before: Vec<f64>,
}

/// Makes E-steps and M-steps in turns, as EM does with every parameter but theta_A kept. At the start q is even: nothing is known
/// about the labels.
fn state(experiments: &Experiments, settings: &Settings) -> Result<State> {
    let coins = Coins::even(&[settings.number("theta_a"), settings.number("theta_b")])?;
    let mut state = State { coins, q: Array2::from_elem((HEADS.len(), 2), 0.5), before: Vec::new() };
    for step in 0..settings.count("steps") {
        if step % 2 == 0 {
            state.q = experiments.expectation(&state.coins)?.responsibilities;
        } else {
            let next = experiments.maximisation(&state.q, &state.coins, Mixing::Given)?;
            state.before.push(state.coins.thetas[0]);
            state.coins.thetas[0] = next.thetas[0];
        }
    }
    Ok(state)
}

fn draw(settings: &Settings) -> Result<Scene> {
    let heads = HEADS.map(|name| settings.count(name) as u64);
    let experiments = Experiments::new(&heads, TOSSES)?;
    let State { coins, q, before } = state(&experiments, settings)?;
    let along = |theta: f64| Coins { thetas: vec![theta, coins.thetas[1]], weights: coins.weights.clone() };
    // Both are minus infinity where an experiment is impossible.
    let log_likelihood = |theta: f64| {
        experiments.expectation(&along(theta)).map_or(f64::NEG_INFINITY, |found| found.log_likelihood)
    };
    let bound = |theta: f64| experiments.lower_bound(&q, &along(theta)).unwrap_or(f64::NEG_INFINITY);
    let now = coins.thetas[0];
    let (level, below) = (log_likelihood(now), bound(now));
    let top = (1..200).map(|i| log_likelihood(f64::from(i) / 200.0)).fold(level, f64::max);
    let low = (top - 16.0).min(below - 3.0);
    let steps = settings.count("steps");
    let said = match steps {
        0 => "start: q is even".to_owned(),
        _ if steps % 2 == 1 => format!("step {steps}, an E-step: the bound touches"),
        _ => format!("step {steps}, an M-step: θ_{{A}} moved to the bound's top"),
    };
    let alt = format!(
        "Over theta of coin A a blue curve, the log-likelihood, lies above an orange one, the lower bound. At theta {} the \
         log-likelihood is {}, the bound {}.",
        number(now, 3),
        number(level, 3),
        number(below, 3)
    );
    let (x, y) = (Axis::new("θ_{A}, probability of heads", 0.0, 1.0), Axis::new("nats", low, top + 2.0));
    let mut chart = Chart::new("bound", LIVE.title, (760, 460), x, y).margins(72, 24, 44, 56).alt(alt);
    chart.curve(0.0, 1.0, 200, Pen::new(BLUE, 2.6), log_likelihood);
    chart.curve(0.0, 1.0, 200, Pen::new(VERMILION, 2.2), bound);
    chart.line([(now, low), (now, below)], Pen::new(GREY, 1.2).dashed(3.0, 4.0));
    chart.line([(now, below), (now, level)], Pen::new(INK, 2.4));
    before.iter().for_each(|&theta| chart.dot((theta, low), 3.0, GREY));
    chart.disc((now, below), 4.5, VERMILION);
    chart.disc((now, level), 7.0, BLUE);
    if level - below > 0.05 * (top - low) {
        let offset = if now > 0.8 { -10.0 } else { 10.0 };
        chart.label((now, (level + below) / 2.0), (offset, 0.0), Ink::new(INK).bold(), "divergence");
    }
    let ink = |tint| Ink::new(tint).plain().size(14.0);
    chart.note((72.0, 22.0), ink(INK).bold(), said);
    chart.note((470.0, 22.0), ink(BLUE), "log-likelihood");
    chart.note((590.0, 22.0), ink(VERMILION), "lower bound");
    let figure = chart.finish()?;
    let frame = figure.frame(0);
    let handle = |frame| Handle::only("start", "start of θ_A", (now, level), frame);
    let next = match steps {
        MOST_STEPS => "the figure makes no more",
        _ if steps.is_multiple_of(2) => "the next is an E-step",
        _ => "the next is an M-step",
    };
    Ok(Scene {
        handles: frame.map(handle).into_iter().collect(),
        plane: frame,
        numbers: vec![
            Number::new("theta_a", "θ_A now", now, 4),
            Number::new("log_likelihood", "log-likelihood LL (nats)", level, 4),
            Number::new("bound", "lower bound (nats)", below, 4),
            Number::new("divergence", "divergence KL = LL − bound (nats)", level - below, 4),
        ],
        words: format!(
            "{steps} {}; {next}. Log-likelihood {}, bound {}, divergence {} nats.",
            if steps == 1 { "step" } else { "steps" },
            number(level, 3),
            number(below, 3),
            number(level - below, 3)
        ),
        idle: idle(["step", "end"].map(|name| (name, steps == MOST_STEPS))),
        figure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(steps: usize) -> Scene {
        let mut settings = Settings::start(&controls());
        settings.put("steps", steps as f64, 0).unwrap();
        draw(&settings).unwrap()
    }

    #[test]
    fn steps_are_those_of_em_and_the_numbers_are_the_librarys() {
        let value = |scene: &Scene, at: usize| scene.numbers[at].value;
        let experiments = Experiments::blog_hidden();
        let mut last = f64::NEG_INFINITY;
        let mut theta = 0.3;
        for t in 0..6 {
            let found = experiments.expectation(&Coins::even(&[theta, 0.52]).unwrap()).unwrap();
            let (touching, moved) = (after(2 * t + 1), after(2 * t + 2));
            assert!((value(&touching, 0) - theta).abs() <= 1e-12);
            assert!((value(&touching, 1) - found.log_likelihood).abs() <= 1e-12);
            assert!(value(&touching, 3).abs() <= 1e-9, "after an E-step the divergence is 0");
            assert!(value(&moved, 3) >= 0.0);
            assert!(value(&moved, 1) >= last);
            last = value(&moved, 1);
            theta = experiments
                .maximisation(&found.responsibilities, &Coins::even(&[theta, 0.52]).unwrap(), Mixing::Given)
                .unwrap()
                .thetas[0];
        }
        assert!(value(&after(0), 3) > 0.1, "an even q leaves a gap");
    }
}
