//! Figures of short trainings with changed settings: one change at a time, and all combinations.

use super::checks;
use super::records::Trial;
use crate::draw::{
    Axis, Chart, Figure, GREEN, GREY, Grid, INK, Ink, Mark, PALE, Pen, Side, VERMILION, extent, heat,
    legend_row, number, trimmed,
};
use crate::error::Result;

/// The name of an error rate in error messages.
pub(super) const ERROR: &str = "a share of misclassified images";

/// The mean of some values.
pub(super) fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Draws the effect of settings on the error: one row per setting, one dot per run, on a logarithmic axis. The first row is
/// the baseline: the band from its best run to its worst crosses all rows.
///
/// Each row has a name and the errors of its runs, from 0 to 1; `None` is a run that diverged.
///
/// # Errors
///
/// Returns an error if there are no rows or more than forty, if a row has no runs, if all runs of the first row diverged,
/// if an error is outside [0, 1], or if there are more runs than a figure can hold.
pub fn ablation<N: AsRef<str>, R: AsRef<[Option<f64>]>>(rows: &[(N, R)]) -> Result<Figure> {
    const ROW: f64 = 21.0;
    checks::not_empty("rows", rows)?;
    checks::at_most("the number of rows", rows.len(), 40, "at most 40")?;
    rows.iter().try_for_each(|row| checks::not_empty("runs of a row", row.1.as_ref()))?;
    let of = |row: &(N, R)| -> Vec<f64> { row.1.as_ref().iter().flatten().copied().collect() };
    let errors: Vec<Vec<f64>> = rows.iter().map(of).collect();
    checks::shares(ERROR, errors.iter().flatten().copied())?;
    checks::not_empty("runs of the first row that did not diverge", &errors[0])?;
    let (best, worst) = extent(errors[0].iter().copied());

    let letters = rows.iter().map(|row| row.0.as_ref().chars().count()).max().unwrap_or(0);
    let left = (6.8 * letters as f64 + 26.0).clamp(90.0, 340.0);
    let tall = ROW * rows.len() as f64;
    let (x, range) = error_axis(errors.iter().flatten().copied(), "misclassified validation images");
    let place = |error: f64| on_error_axis(error, range);
    let mut chart = Chart::canvas("ablation", "What each setting does to the error", (820.0, tall + 106.0));
    let level = |index: usize| tall - ROW * (index as f64 + 0.5);
    let names = rows.iter().enumerate().map(|(index, row)| (level(index), row.0.as_ref().to_owned()));
    let y = Axis::new("", 0.0, tall).no_grid().ticks(names.collect());
    let mut panel = chart.panel((left, 44.0), (820.0 - left - 118.0, tall), x, y);
    panel.block((place(best), 0.0), (place(worst), tall), PALE);
    let middle = place(mean(errors[0].iter().copied()));
    panel.line([(middle, 0.0), (middle, tall)], Pen::new(INK, 1.2).dashed(4.0, 4.0));
    let verdicts = [(GREEN, "better"), (GREY, "within the spread"), (VERMILION, "worse")];
    let key = verdicts.map(|(tint, word)| (Mark::Dot(tint), word.to_owned()));
    let first = [(Pen::new(INK, 1.2).dashed(4.0, 4.0), "mean"), (Pen::new(PALE, 5.0), "runs")];
    let first = first.map(|(pen, word)| (Mark::Line(pen), format!("{word} of the first row")));
    legend_row(&mut chart, (24.0, 22.0), 810.0, key.into_iter().chain(first));
    let mut words = Vec::new();
    for (index, (row, errors)) in rows.iter().zip(&errors).enumerate() {
        let (name, runs, level) = (row.0.as_ref(), row.1.as_ref().len(), level(index));
        let average = mean(errors.iter().copied());
        let (tint, verdict) = match average {
            _ if index == 0 => (INK, "the reference"),
            _ if errors.is_empty() => (VERMILION, "diverged"),
            average if average > worst => (VERMILION, "worse"),
            average if average < best => (GREEN, "better"),
            _ => (GREY, "within the spread"),
        };
        if !errors.is_empty() {
            panel.line([(middle, level), (place(average), level)], Pen::new(tint, 1.6));
        }
        errors.iter().for_each(|&error| panel.disc((place(error), level), 4.0, tint));
        let text = match runs - errors.len() {
            0 => percent(average),
            1 if runs == 1 => "diverged".to_owned(),
            gone if gone == runs => format!("{gone} diverged"),
            gone => format!("{}, {gone} diverged", percent(average)),
        };
        words.push(format!("{name} {text}, {verdict}"));
        let ink = Ink::new(tint).plain().size(12.5);
        let ink = if tint == GREY { ink } else { ink.bold() };
        panel.text((range.1, level), (14.0, 0.0), Side::Right, ink, text);
    }
    chart.add(panel);
    if words.len() > 10 {
        let counts = verdicts.map(|(_, verdict)| {
            format!("{} rows {verdict}", words.iter().filter(|words| words.ends_with(verdict)).count())
        });
        words.splice(3..words.len() - 2, [format!("in all {}", counts.join(", "))]);
    }
    chart.alt(format!("Rows of dots on a logarithmic axis of errors: {}.", words.join("; "))).finish()
}

/// The rows of the [`grid`]: values of the setting `inverse-temperature`, and their names.
const LAMBDAS: [(&str, &str); 4] = [
    ("linear", "the blog's, 1 to 3"),
    ("constant:1", "1"),
    ("constant:0.5", "0.5"),
    ("saturating:0.01", "the paper's"),
];

/// Returns the error of each run with these four choices. A run that diverged has an error of 1.
pub fn grid_errors(
    trials: &[Trial],
    standardised: bool,
    blogs_start: bool,
    lambda: &str,
    iterations: usize,
) -> Vec<f64> {
    let start = if blogs_start { "blog-start " } else { "" };
    let name =
        format!("normalise-costs={standardised} inverse-temperature={lambda} {start}iterations={iterations}");
    trials.iter().filter(|trial| trial.setting == name).map(|trial| trial.error.unwrap_or(1.0)).collect()
}

/// Draws the errors of the grid of `cargo bench --bench ablation -- --grid`: a block for each kind of costs and start, in it a
/// row for each lambda and a column for each number of iterations. A cell has the mean error of its runs and, if there are
/// several, the lowest and the highest. Colours are logarithmic in the error, from 2 to 90 %. A run that diverged counts as an
/// error of 1; a combination without runs stays empty.
///
/// # Errors
///
/// Returns an error if there are no trials of the grid, or if an error is outside [0, 1].
pub fn grid(trials: &[Trial]) -> Result<Figure> {
    const CELL: (f64, f64) = (72.0, 44.0);
    let blocks =
        [(true, true), (true, false), (false, true), (false, false)].map(|(standardised, blogs_start)| {
            let costs = if standardised { "standardised costs" } else { "costs as they are" };
            let name = format!("{costs}, {} start", if blogs_start { "the blog's" } else { "our" });
            let cells = LAMBDAS.map(|(lambda, _)| {
                [1, 2, 3].map(|count| grid_errors(trials, standardised, blogs_start, lambda, count))
            });
            let costs = if standardised { "standardised" } else { "as they are" };
            let heading = format!("{costs}, {} start", if blogs_start { "blog's" } else { "our" });
            (name, heading, cells)
        });
    let runs: Vec<f64> =
        blocks.iter().flat_map(|block| block.2.iter().flatten().flatten()).copied().collect();
    checks::not_empty("trials of the grid", &runs)?;
    checks::shares(ERROR, runs)?;

    let grid =
        Grid { columns: 2, panel: (3.0 * CELL.0, 4.0 * CELL.1), gap: (40.0, 60.0), origin: (142.0, 40.0) };
    let size = (142.0 + 6.0 * CELL.0 + 40.0 + 20.0, 40.0 + 8.0 * CELL.1 + 60.0 + 58.0);
    let mut figure = Chart::canvas("grid", "Costs, start, lambda and iterations together", size);
    let mut words = Vec::new();
    for (index, (name, heading, cells)) in blocks.iter().enumerate() {
        let (left, top) = grid.corner(index);
        let x = Axis::new(if index < 2 { "" } else { "iterations of routing" }, 0.0, 3.0).no_grid();
        let x = x.ticks([1, 2, 3].map(|count| (f64::from(count) - 0.5, count.to_string())).to_vec());
        let y = Axis::new("", 0.0, 4.0).no_grid();
        let rows = LAMBDAS.iter().enumerate().map(|(row, (_, name))| (3.5 - row as f64, (*name).to_owned()));
        let y = y.ticks(if index % 2 == 0 { rows.collect() } else { Vec::new() });
        let mut panel = figure.panel((left, top), grid.panel, x, y);
        figure.note((left, top - 14.0), Ink::new(INK).plain().bold().size(13.5), heading);
        if index % 2 == 0 {
            let ink = Ink::new(GREY).plain().size(13.0);
            figure.note((left - 124.0, top - 14.0), ink, "lambda");
        }
        for (row, cells) in cells.iter().enumerate() {
            for (column, errors) in cells.iter().enumerate() {
                let corner = (column as f64, 3.0 - row as f64);
                draw_cell(&mut panel, corner, errors);
                if let Some(average) = (!errors.is_empty()).then(|| mean(errors.iter().copied())) {
                    let lambda = LAMBDAS[row].1;
                    let iterations = column + 1;
                    words.push((average, format!("{name}, lambda {lambda}, iterations {iterations}")));
                }
            }
        }
        figure.add(panel);
    }
    words.sort_by(|a, b| a.0.total_cmp(&b.0));
    let near_chance = words.iter().filter(|word| word.0 > 0.5).count();
    let [best, worst] = [&words[0], &words[words.len() - 1]];
    figure
        .alt(format!(
            "Four blocks of cells coloured by their error, {} cells with runs: {near_chance} misclassify more than half. Lowest: \
             {} of {}. Highest: {} of {}.",
            words.len(),
            percent(best.0),
            best.1,
            percent(worst.0),
            worst.1
        ))
        .finish()
}

/// Draws a cell of the [`grid`]: the mean of these errors and their range.
fn draw_cell(panel: &mut Chart, (left, bottom): (f64, f64), errors: &[f64]) {
    let at = |x: f64, y: f64| (left + x, bottom + y);
    let short = |error: f64| number(100.0 * error, usize::from(error < 0.0995));
    if errors.is_empty() {
        return panel.block(at(0.02, 0.03), at(0.98, 0.97), PALE);
    }
    let average = mean(errors.iter().copied());
    let shade = ((average / 0.02).ln() / (0.9f64 / 0.02).ln()).clamp(0.0, 1.0);
    let shade = 0.1 + 0.9 * shade;
    panel.block(at(0.02, 0.03), at(0.98, 0.97), heat(shade));
    let ink = Ink::on_heat(shade);
    let (low, high) = extent(errors.iter().copied());
    let up = if errors.len() > 1 { 0.63 } else { 0.5 };
    let words = format!("{} %", short(average));
    panel.text(at(0.5, up), (0.0, 0.0), Side::Middle, ink.bold().size(13.5), words);
    if errors.len() > 1 {
        let words = format!("{} to {}", short(low), short(high));
        panel.text(at(0.5, 0.27), (0.0, 0.0), Side::Middle, ink.size(11.0), words);
    }
}

/// The position of an error on an [`error_axis`] with this range; 0, which has no logarithm, is at the lower end.
pub(super) fn on_error_axis(error: f64, (low, high): (f64, f64)) -> f64 {
    error.max(1e-300).log10().clamp(low, high)
}

/// A logarithmic axis for error rates with ticks in percent, and its range in base-10 logarithms. It runs from a round
/// value below the smallest error above 0 to a round value above the largest error.
pub(super) fn error_axis(errors: impl Iterator<Item = f64>, title: &str) -> (Axis, (f64, f64)) {
    let (least, greatest) = extent(errors.filter(|&error| error > 0.0).map(|error| error.max(1e-6)));
    let (least, greatest) = if least <= greatest { (least, greatest) } else { (0.01, 0.01) };
    // 1e-7, 2e-7, 5e-7, …, 1: about equally spaced on a logarithmic scale
    let rounds: Vec<f64> =
        (0..22).map(|step| [1.0, 2.0, 5.0][step % 3] * 10f64.powi(step as i32 / 3 - 7)).collect();
    let below = rounds.iter().rposition(|&round| round < least * 0.97).unwrap_or(0);
    let above = rounds.iter().position(|&round| round > greatest * 1.03).unwrap_or(rounds.len() - 1);
    let tick = |&round: &f64| (round.log10(), format!("{} %", trimmed(100.0 * round, 5)));
    let range = (rounds[below].log10(), rounds[above].log10());
    (Axis::new(title, range.0, range.1).ticks(rounds[below..=above].iter().map(tick).collect()), range)
}

/// Formats a share in percent: two decimals below ten, otherwise one.
pub(super) fn percent(share: f64) -> String {
    let value = 100.0 * share;
    format!("{} %", number(value, if value < 9.995 { 2 } else { 1 }))
}
