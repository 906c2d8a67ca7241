//! Axes: ranges, titles and ticks.

use plotters::coord::ranged1d::{BoldPoints, Ranged};
use plotters::coord::types::RangedCoordf64;

use super::chart::plain;
use super::number::in_steps;

/// The largest distance of an axis's ends from 0. The limit leaves room around numbers up to 1e130, whose squares do not overflow.
const FARTHEST: f64 = 1e140;

/// The minimum length of an axis, absolute and relative to its ends. On a shorter one an f64 runs out of digits.
const SHORTEST: (f64, f64) = (1e-140, 1e-12);

/// An axis: its range, its title, and optional custom ticks.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub(super) range: (f64, f64),
    pub(super) title: String,
    ticks: Option<Vec<(f64, String)>>,
    pub(super) grid: bool,
    /// The maximum number of automatic ticks; if `None`, the chart decides.
    most: Option<usize>,
}

impl Axis {
    /// Creates an axis from `low` to `high`, with a grid and ticks at round numbers.
    pub fn new(title: impl Into<String>, low: f64, high: f64) -> Axis {
        Axis { range: (low, high), title: title.into(), ticks: None, grid: true, most: None }
    }

    /// Sets custom ticks: positions and labels.
    pub fn ticks(self, ticks: Vec<(f64, String)>) -> Axis {
        Axis { ticks: Some(ticks), ..self }
    }

    /// Removes the grid lines.
    pub fn no_grid(self) -> Axis {
        Axis { grid: false, ..self }
    }

    /// Limits the number of automatic ticks.
    pub fn most(self, most: usize) -> Axis {
        Axis { most: Some(most), ..self }
    }

    /// Removes numbers and title but keeps the grid, for a panel whose neighbour shows them.
    pub fn bare(self) -> Axis {
        let ticks = self.chosen_ticks(9).into_iter().map(|(place, _)| (place, String::new())).collect();
        Axis { title: String::new(), ticks: Some(ticks), ..self }
    }

    pub(super) fn chosen_ticks(&self, most: usize) -> Vec<(f64, String)> {
        if let Some(ticks) = &self.ticks {
            return ticks.clone();
        }
        if self.fault().is_some() {
            return Vec::new(); // plotters would search for ticks forever; `Chart::finish` reports the fault
        }
        let (low, high) = self.range;
        // plotters compares with f64::EPSILON, so very short and very long ranges are rescaled before it sees them.
        let usual = (1e-9..1e12).contains(&(high - low));
        let unit = if usual { 1.0 } else { 10f64.powf((high - low).log10().floor()) };
        let coordinate: RangedCoordf64 = (low / unit..high / unit).into();
        let mut places = coordinate.key_points(BoldPoints(self.most.unwrap_or(most)));
        if !usual {
            places.iter_mut().for_each(|place| *place *= unit);
            places.retain(|place| (low..=high).contains(place));
        }
        let step = if places.len() > 1 { places[1] - places[0] } else { high - low };
        places.into_iter().map(|place| (place, in_steps(place, step))).collect()
    }

    /// Returns the reason why the axis cannot be drawn, if there is one.
    pub(super) fn fault(&self) -> Option<String> {
        let (low, high) = self.range;
        let largest = low.abs().max(high.abs());
        let why = if !(low.is_finite() && high.is_finite()) {
            "which is not finite".to_string()
        } else if low >= high {
            "so its end is not above its start".to_string()
        } else if largest > FARTHEST {
            format!("but at most {FARTHEST:e} from 0 can be drawn")
        } else if high - low < SHORTEST.0.max(SHORTEST.1 * largest) {
            "which is too short for the precision of f64".to_string()
        } else {
            return None;
        };
        let name =
            if self.title.is_empty() { String::new() } else { format!(" of \"{}\"", plain(&self.title)) };
        Some(format!("the axis{name} runs from {low:e} to {high:e}, {why}"))
    }
}
