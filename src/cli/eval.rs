//! `em-routing eval`: how well a network tells images apart, and which it does not.

use std::path::PathBuf;

use em_routing::plot::{self, Table};

use super::failure::{AtPath, Outcome};
use super::progress::Board;
use super::subject::Subject;

/// Mistakes in the picture.
const SHOWN: usize = 32;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    subject: Subject,
    /// Where the figures go
    #[arg(long, value_name = "DIR", default_value = "target/eval")]
    out: PathBuf,
}

/// Evaluates; the last line that it prints is the error.
pub fn eval(arguments: &Arguments) -> Outcome<()> {
    let Arguments { subject, out } = arguments;
    let (net, images) = subject.read()?;
    std::fs::create_dir_all(out).at(out)?;
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
    for figure in [plot::confusion(&evaluation), plot::mistakes(&evaluation, &images, SHOWN)] {
        // the error is told whether or not there is a picture of it: one of very many classes there is not
        let Ok(figure) = figure.inspect_err(|error| say!("  no figure: {error}")) else { continue };
        let path = out.join(format!("{}.svg", figure.name()));
        figure.save(&path)?;
        say!("  {}", path.display());
    }
    let (errors, rate) = (evaluation.errors(), evaluation.error_rate());
    say!("Next: em-routing show --split {split} --image N, for how one of them is routed.");
    say!("{split} error {} ({errors} of {count})", percent(rate));
    Ok(())
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
