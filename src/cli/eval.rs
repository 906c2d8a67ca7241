//! `em-routing eval`: measures a network's error and draws its confusion matrix and worst mistakes.

use std::path::{Path, PathBuf};

use em_routing::capsnet::{Evaluation, NetworkKind};
use em_routing::draw::{Figure, Palette, Table};
use em_routing::figures::chapter09;

use super::command;
use super::failure::{AtPath, Outcome};
use super::progress::Board;
use super::subject::Subject;

/// Number of misclassified images in the figure.
const SHOWN: usize = 32;
/// The largest number of values of a parameter for which the error is printed by value.
const MOST_VALUES: usize = 20;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    subject: Subject,
    /// Folder for the figures
    #[arg(long, value_name = "DIR", default_value = "target/eval")]
    out: PathBuf,
}

/// Evaluates the network. The last line printed is the error.
pub fn eval(arguments: &Arguments) -> Outcome<()> {
    let Arguments { subject, out } = arguments;
    let (net, images) = subject.read()?;
    let split = subject.split();
    let mut task = Board::default().task(&format!("{split} images"));
    let count = images.len();
    let evaluation = net.evaluate(&images, subject.threads(), |seen| task.at(seen, count, ""))?;
    task.done(&format!("{count} images"));

    let mut table = Table::new(&["class", "images", "errors", "error"]);
    for (class, row) in evaluation.confusion().iter().enumerate() {
        let images: usize = row.iter().sum();
        let errors = images - row[class];
        let share = if images == 0 { "-".to_owned() } else { percent(errors as f64 / images as f64) };
        table.row(&[&class, &images, &errors, &share])?;
    }
    say!("{table}");
    if let Some(path) = subject.viewpoints().filter(|path| path.is_file()) {
        say_by_viewpoint(&path, &evaluation)?;
    }
    let (errors, rate) = (evaluation.errors(), evaluation.error_rate());
    let figures = [chapter09::confusion(&evaluation), chapter09::mistakes(&evaluation, &images, SHOWN)];
    // the error is printed even if the figures cannot be saved
    let saved = save(figures, out);
    if net.architecture().network == NetworkKind::Capsules {
        say_how_to_show(subject, &evaluation);
    }
    say!("{split} error {} ({errors} of {count})", percent(rate));
    saved
}

/// Prints the error for each value of each parameter in a table that `render` wrote, if it has few values.
fn say_by_viewpoint(path: &Path, evaluation: &Evaluation) -> Outcome<()> {
    let text = std::fs::read_to_string(path).at(path)?;
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().unwrap_or_default();
    let rows: Vec<Vec<&str>> = lines.collect();
    let fits = |row: &[&str], label: usize| row.len() == names.len() && row[0].parse() == Ok(label);
    let labels = &evaluation.labels;
    if rows.len() != labels.len() || rows.iter().zip(labels).any(|(row, &label)| !fits(row, label)) {
        say!("  no error by viewpoint: {} has no line with the label of each image", path.display());
        return Ok(());
    }
    for (column, name) in names.iter().enumerate().skip(1) {
        let mut values: Vec<(f64, &str)> =
            rows.iter().map(|row| (row[column].parse().unwrap_or(f64::NAN), row[column])).collect();
        values.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(other.1)));
        values.dedup_by_key(|value| value.1);
        if values.len() > MOST_VALUES {
            continue;
        }
        let mut table = Table::new(&[*name, "images", "errors", "error"]);
        for (_, value) in values {
            let own = || (0..rows.len()).filter(|&image| rows[image][column] == value);
            let errors =
                own().filter(|&image| evaluation.predictions[image] != evaluation.labels[image]).count();
            let images = own().count();
            table.row(&[&value, &images, &errors, &percent(errors as f64 / images as f64)])?;
        }
        say!("{table}");
    }
    Ok(())
}

fn say_how_to_show(subject: &Subject, evaluation: &Evaluation) {
    let mistaken =
        evaluation.predictions.iter().zip(&evaluation.labels).position(|(said, label)| said != label);
    let mut show = vec!["show".into()];
    show.extend(subject.arguments());
    show.extend(["--image".into(), mistaken.unwrap_or(0).to_string().into()]);
    say!(
        "To see how {} image is routed:",
        if mistaken.is_some() { "the first misclassified" } else { "the first" }
    );
    say!("Next: {}", command::line(show));
}

/// Saves the figures. A figure that cannot be drawn, for example because of too many classes, is reported and skipped.
fn save(figures: [em_routing::error::Result<Figure>; 2], out: &Path) -> Outcome<()> {
    std::fs::create_dir_all(out).at(out)?;
    for figure in figures {
        let Ok(figure) = figure.inspect_err(|error| say!("  no figure: {error}")) else { continue };
        let path = out.join(format!("{}.svg", figure.name()));
        figure.save(&path, Palette::Light)?;
        say!("  {}", path.display());
    }
    Ok(())
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
