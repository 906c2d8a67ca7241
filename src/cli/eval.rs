//! `em-routing eval`: measures a network's error and draws its confusion matrix and worst mistakes.

use std::path::{Path, PathBuf};

use em_routing::draw::{Figure, Palette, Table};
use em_routing::figures::chapter09;

use super::command;
use super::failure::{AtPath, Outcome};
use super::progress::Board;
use super::subject::Subject;

/// Number of misclassified images in the figure.
const SHOWN: usize = 32;

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
    let (errors, rate) = (evaluation.errors(), evaluation.error_rate());
    let figures = [chapter09::confusion(&evaluation), chapter09::mistakes(&evaluation, &images, SHOWN)];
    // the error is printed even if the figures cannot be saved
    let saved = save(figures, out);
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
    say!("{split} error {} ({errors} of {count})", percent(rate));
    saved
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
