//! A line for each step: a moving bar on a terminal, plain lines elsewhere, so that no log is silent for long.

use std::io::{ErrorKind, IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::failure::{Failure, Outcome};

/// Where there is no terminal, a line is printed at most this often.
const QUIET: Duration = Duration::from_secs(15);

/// The lines of all that goes on at once.
#[derive(Clone, Default)]
pub struct Board {
    bars: MultiProgress,
}

/// One step that takes its time.
pub struct Task {
    bar: Option<ProgressBar>,
    board: Board,
    name: String,
    started: Instant,
    spoken: Instant,
}

impl Board {
    /// Prints a line above the bars.
    pub fn say(&self, line: &str) {
        if std::io::stderr().is_terminal() {
            drop(self.bars.println(line));
        } else {
            say!("{line}");
        }
    }

    /// Begins a step.
    pub fn task(&self, name: &str) -> Task {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = self.bars.add(ProgressBar::new_spinner());
            bar.set_style(style("{spinner} {prefix:<34} {elapsed:>5} {wide_msg}"));
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            say!("{name} ...");
        }
        let now = Instant::now();
        Task { bar, board: self.clone(), name: name.to_owned(), started: now, spoken: now }
    }
}

impl Task {
    /// Tells how far it is, and what it is at.
    pub fn at(&mut self, position: usize, length: usize, message: &str) {
        match &self.bar {
            Some(bar) => {
                if bar.length() != Some(length as u64) {
                    bar.set_style(style(
                        "{spinner} {prefix:<34} {elapsed:>5} [{bar:24}] {pos}/{len} {wide_msg}",
                    ));
                    bar.set_length(length as u64);
                }
                bar.set_position(position as u64);
                bar.set_message(message.to_owned());
            }
            None => self.speak(&format!("{position}/{length} {message}")),
        }
    }

    /// Tells what it is at, where nobody knows how far that is.
    pub fn message(&mut self, message: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(message.to_owned()),
            None => self.speak(message),
        }
    }

    fn speak(&mut self, message: &str) {
        if self.spoken.elapsed() >= QUIET {
            self.spoken = Instant::now();
            say!("  {} ({}): {message}", self.name, seconds(self.started.elapsed()));
        }
    }

    /// Ends the step with what came of it.
    pub fn done(mut self, message: &str) {
        self.close();
        self.board.say(&format!("  {:<34} {:>8}   {message}", self.name, seconds(self.started.elapsed())));
    }

    fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            self.board.bars.remove(&bar);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.close();
    }
}

/// Whether a line could not be written.
static LOST: AtomicBool = AtomicBool::new(false);

/// Prints a line. A reader that has gone, as of `train | head`, does not end hours of work; nor does a full disk, of which
/// [`all_said`] tells at the end.
pub fn line(words: std::fmt::Arguments) {
    if let Err(error) = writeln!(std::io::stdout(), "{words}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        LOST.store(true, Ordering::Relaxed);
    }
}

/// A failure if a line is missing where the output goes.
pub fn all_said() -> Outcome<()> {
    match LOST.load(Ordering::Relaxed) {
        true => Err(Failure::new(
            "the work is done, but not all that was said of it could be written to the standard output",
        )),
        false => Ok(()),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// A duration as a person says it.
pub fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole >= 60 {
        format!("{} m {:02} s", whole / 60, whole % 60)
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}
