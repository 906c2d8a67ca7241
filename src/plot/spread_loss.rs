//! The spread loss over what it looks at: how much more active the true class is than another.

use super::chart::{Axis, Chart, INK, Ink, Pen, Side, number};
use super::{Figure, colour};
use crate::capsnet::loss;
use crate::error::{Error, Result};
use ndarray::array;

/// What one other class adds to the spread loss, over a_t - a_i, for these margins. A dot stands where a margin is kept.
///
/// # Errors
///
/// Returns an error if there are no margins or more than six, and if one is not from 0 to 1.
pub fn spread_loss(margins: &[f64]) -> Result<Figure> {
    if margins.is_empty() {
        return Err(Error::Empty { what: "margins" });
    }
    if margins.len() > 6 {
        let (name, expected) = ("the number of margins", "at most 6");
        return Err(Error::Setting { name, expected, value: margins.len() as f64 });
    }
    if let Some(&value) = margins.iter().find(|margin| !(0.0..=1.0).contains(*margin)) {
        return Err(Error::Setting { name: "a margin", expected: "from 0 to 1", value });
    }
    let of = |margin: f64, ahead: f64| {
        // the true class is ahead of one other by so much
        let activations = array![[0.5 + ahead / 2.0, 0.5 - ahead / 2.0]];
        loss::spread_loss(&activations, &[0], margin).map_or(f64::NAN, |(loss, _)| loss)
    };
    let largest = margins.iter().fold(0.0, |most: f64, &margin| most.max(of(margin, -1.0)));
    let words: Vec<String> = margins.iter().map(|margin| number(*margin, 1)).collect();
    let x = Axis::new("a_t − a_i: how far the true class is ahead", -1.0, 1.0);
    let y = Axis::new("loss of one other class", -0.03 * largest, 1.04 * largest);
    let mut chart = Chart::new("spread-loss", (720, 380), x, y).alt(format!(
        "The spread loss for margins {}: a parabola up to the margin, then 0.",
        words.join(", ")
    ));
    for (index, &margin) in margins.iter().enumerate() {
        chart.curve(-1.0, 1.0, 160, Pen::new(colour(index), 2.4), |ahead| of(margin, ahead));
        chart.disc((margin, 0.0), 4.6, colour(index));
        let place = chart.at_pixel(430.0, 46.0 + 22.0 * index as f64);
        let end = chart.at_pixel(458.0, 46.0 + 22.0 * index as f64);
        chart.line_anywhere([place, end], Pen::new(colour(index), 2.4));
        let text = format!("margin {}", number(margin, 1));
        chart.text(end, (10.0, 0.0), Side::Right, Ink::new(INK).plain(), text);
    }
    chart.finish()
}
