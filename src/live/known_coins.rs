//! Chapter 1: the likelihood of a coin with known label, dragged along theta.

use super::form::{Control, Kind};
use super::scene::{Handle, Number, Scene, idle};
use super::settings::Settings;
use super::{Event, Live, unknown};
use crate::coin::Experiments;
use crate::draw::{Axis, BLUE, Chart, GREY, INK, Ink, Pen, VERMILION, number};
use crate::error::Result;

pub(super) const LIVE: Live = Live {
    name: "known-coins",
    title: "The likelihood of one coin",
    hint: "Drag the orange point along the curve. At which θ is the log-likelihood largest? Then change the counts: the \
           maximum is always at heads over tosses, and more tosses make the curve steeper.",
    controls,
    settle,
    draw,
    changed: |_, _| Ok(()),
};

fn controls() -> Vec<Control> {
    vec![
        Control::range("theta", "θ, probability of heads", (0.01, 0.99), 0.01, 0.3),
        Control::new("heads", "heads", Kind::Number { low: 0.0, high: 1000.0 }, 24),
        Control::new("tails", "tails", Kind::Number { low: 0.0, high: 1000.0 }, 6),
        Control::press("maximum", "Go to the maximum"),
    ]
}

fn settle(settings: &mut Settings, event: &Event) -> Result<()> {
    match event {
        Event::Drag { at, .. } | Event::Place { at } => settings.put("theta", at.0, 3),
        Event::Press { name } if name == "maximum" => {
            let (heads, tails) = (settings.number("heads"), settings.number("tails"));
            settings.put("theta", if heads + tails > 0.0 { heads / (heads + tails) } else { 0.5 }, 3)
        }
        other => Err(unknown(other)),
    }
}

fn draw(settings: &Settings) -> Result<Scene> {
    let (theta, heads, tails) = (settings.number("theta"), settings.count("heads"), settings.count("tails"));
    let experiments = Experiments::new(&[heads as u64], (heads + tails) as u64)?;
    let log_likelihood =
        |theta: f64| experiments.known_log_likelihood(&[0], &[theta]).unwrap_or(f64::NEG_INFINITY);
    let now = log_likelihood(theta);
    let best = if heads + tails > 0 { heads as f64 / (heads + tails) as f64 } else { 0.5 };
    let top = log_likelihood(best);
    // theta = d/dtheta log p: heads / theta - tails / (1 - theta)
    let slope = heads as f64 / theta - tails as f64 / (1.0 - theta);
    let (x, y) = (
        Axis::new("θ, probability of heads", 0.0, 1.0),
        Axis::new("log-likelihood (nats)", (top - 40.0).min(now - 4.0), top + 6.0),
    );
    let alt = format!(
        "A curve over theta with its maximum {} at {}. A point on it at {} is {} high.",
        number(top, 3),
        number(best, 3),
        number(theta, 3),
        number(now, 3)
    );
    let low = (top - 40.0).min(now - 4.0);
    let mut chart = Chart::new("known-coins", LIVE.title, (760, 420), x, y).alt(alt);
    chart.line([(best, low), (best, top)], Pen::new(GREY, 1.2).dashed(3.0, 4.0));
    chart.curve(0.0, 1.0, 400, Pen::new(BLUE, 2.6), log_likelihood);
    let reach = 0.12;
    chart.line(
        [(theta - reach, now - slope * reach), (theta + reach, now + slope * reach)],
        Pen::new(VERMILION, 1.8),
    );
    chart.disc((best, top), 5.0, BLUE);
    chart.disc((theta, now), 7.0, VERMILION);
    chart.label((best, top), (0.0, -16.0), Ink::new(BLUE).bold(), format!("maximum at {}", number(best, 3)));
    chart.label((theta, now), (12.0, 18.0), Ink::new(INK).bold(), format!("θ = {}", number(theta, 3)));
    let figure = chart.finish()?;
    let frame = figure.frame(0);
    let handle = |frame| Handle::only("theta", "θ, probability of heads", (theta, now), frame);
    Ok(Scene {
        handles: frame.map(handle).into_iter().collect(),
        plane: frame,
        numbers: vec![
            Number::new("theta", "θ", theta, 3),
            Number::new("log_likelihood", "log-likelihood (nats)", now, 4),
            Number::new("slope", "slope (nats per unit of θ)", slope, 3),
            Number::new("maximum", "θ of the maximum: heads / tosses", best, 4),
        ],
        words: format!(
            "θ {}, log-likelihood {} nats, slope {}.",
            number(theta, 3),
            number(now, 3),
            number(slope, 2)
        ),
        idle: idle([("maximum", (theta - best.clamp(0.01, 0.99)).abs() < 5e-4)]),
        figure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_librarys() {
        let mut settings = Settings::start(&controls());
        settings.put("theta", 0.45, 3).unwrap();
        let scene = draw(&settings).unwrap();
        let ln_binomial = statrs::function::factorial::ln_binomial(30, 24);
        let exact = ln_binomial + 24.0 * 0.45f64.ln() + 6.0 * 0.55f64.ln();
        assert!((scene.numbers[1].value - exact).abs() <= 1e-10);
        settle(&mut settings, &Event::Press { name: "maximum".to_owned() }).unwrap();
        let scene = draw(&settings).unwrap();
        assert!(scene.numbers[2].value.abs() <= 1e-9, "the slope at the maximum");
    }
}
