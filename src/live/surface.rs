//! Chapter 2: EM's path over the log-likelihood of two coins, from a start that the reader chooses.

use super::form::Control;
use super::scene::{Handle, Number, Scene, idle};
use super::settings::Settings;
use super::{Event, Live, unknown};
use crate::coin::{CoinOptions, Coins, Experiments};
use crate::draw::number;
use crate::error::Result;
use crate::figures::chapter02;

pub(super) const LIVE: Live = Live {
    name: "surface",
    title: "EM’s path over the log-likelihood",
    hint: "Click anywhere, or drag the ring, to start EM there. Which starts lead to which maximum? Then put the start on the \
           dashed diagonal, where both coins are equal: EM stops at the saddle point between the maxima.",
    controls,
    settle,
    draw,
    changed: |_, _| Ok(()),
};

fn controls() -> Vec<Control> {
    vec![
        Control::range("theta_a", "start of θ_A", (0.01, 0.99), 0.01, 0.6),
        Control::range("theta_b", "start of θ_B", (0.01, 0.99), 0.01, 0.5),
        Control::press("swap", "Swap the coins"),
        Control::press("diagonal", "Start on the diagonal"),
    ]
}

fn settle(settings: &mut Settings, event: &Event) -> Result<()> {
    let (a, b) = match event {
        Event::Drag { at, .. } | Event::Place { at } => *at,
        Event::Press { name } if name == "swap" => (settings.number("theta_b"), settings.number("theta_a")),
        Event::Press { name } if name == "diagonal" => {
            let middle = (settings.number("theta_a") + settings.number("theta_b")) / 2.0;
            (middle, middle)
        }
        other => return Err(unknown(other)),
    };
    settings.put("theta_a", a, 3)?;
    settings.put("theta_b", b, 3)
}

fn draw(settings: &Settings) -> Result<Scene> {
    let experiments = Experiments::blog_hidden();
    let start = (settings.number("theta_a"), settings.number("theta_b"));
    let options =
        CoinOptions { start: Coins::even(&[start.0, start.1])?, keep_models: true, ..CoinOptions::default() };
    let fit = Coins::fit(&experiments, &options)?;
    let figure = chapter02::blog_surface(&fit)?;
    let frame = figure.frame(0);
    let end = &fit.model().thetas;
    // at the saddle point both coins are heads over tosses of all five experiments
    let tosses = experiments.tosses() * experiments.len() as u64;
    let theta = experiments.heads().iter().sum::<u64>() as f64 / tosses as f64;
    let saddle = experiments.expectation(&Coins::even(&[theta; 2])?)?.log_likelihood;
    let kind = match fit.objective() - saddle {
        _ if (end[0] - end[1]).abs() < 1e-6 => "the saddle point",
        gain if gain < 1e-3 => "a place near the saddle point, where the steps are tiny",
        _ => "a maximum",
    };
    let handle = |frame| Handle::only("start", "start of EM, θ_A and θ_B", start, frame);
    Ok(Scene {
        handles: frame.map(handle).into_iter().collect(),
        plane: frame,
        numbers: vec![
            Number::new("theta_a", "θ_A at the end", end[0], 4),
            Number::new("theta_b", "θ_B at the end", end[1], 4),
            Number::new("log_likelihood", "log-likelihood at the end (nats)", fit.objective(), 4),
            Number::new("iterations", "iterations", fit.iterations() as f64, 0),
        ],
        words: format!(
            "From ({}, {}) EM ends at {kind}, ({}, {}), {} nats, after {} {}.",
            number(start.0, 3),
            number(start.1, 3),
            number(end[0], 3),
            number(end[1], 3),
            number(fit.objective(), 3),
            fit.iterations(),
            if fit.iterations() == 1 { "iteration" } else { "iterations" }
        ),
        idle: idle(["swap", "diagonal"].map(|name| (name, start.0 == start.1))),
        figure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_on_the_diagonal_stays_there() {
        let mut settings = Settings::start(&controls());
        settle(&mut settings, &Event::Press { name: "diagonal".to_owned() }).unwrap();
        let scene = draw(&settings).unwrap();
        assert!((scene.numbers[0].value - 0.66).abs() <= 1e-9, "33 heads of 50");
        assert_eq!(scene.numbers[0].value, scene.numbers[1].value);
        assert!(scene.words.contains("saddle"));
    }
}
