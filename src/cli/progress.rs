//! Progress of long tasks: a bar for each on a terminal, a line now and then in a log.

use std::io::{ErrorKind, IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::failure::{Failure, Outcome};

/// Minimum time between two progress lines of a task when there is no terminal.
const QUIET: Duration = Duration::from_secs(15);

/// Whether this process prints nothing, because another one does.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Prints nothing from here on, except errors.
pub fn be_silent() {
    SILENT.store(true, Ordering::Relaxed);
}

/// Whether this process prints nothing.
pub fn is_silent() -> bool {
    SILENT.load(Ordering::Relaxed)
}

fn shows_bars() -> bool {
    !is_silent() && std::io::stderr().is_terminal()
}

/// The progress bars of all running tasks.
#[derive(Clone, Default)]
pub struct Board {
    bars: MultiProgress,
}

/// A running task and its progress bar.
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
        if shows_bars() {
            drop(self.bars.println(line));
        } else {
            say!("{line}");
        }
    }

    /// Starts a task and shows its progress bar.
    pub fn task(&self, name: &str) -> Task {
        let bar = shows_bars().then(|| {
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
    /// Shows how much is done (`position` of `length`) and a message.
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

    /// Shows a message, for tasks of unknown length.
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

    /// Ends the task and prints its name, its time and a message.
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

/// Whether a line of output could not be written.
static LOST: AtomicBool = AtomicBool::new(false);

/// Prints a line to the standard output. A closed pipe, as in `train | head`, is ignored, so that it does not end hours of work.
/// Other errors, such as a full disk, are reported by [`all_said`] at the end.
pub fn line(words: std::fmt::Arguments) {
    if !is_silent()
        && let Err(error) = writeln!(std::io::stdout(), "{words}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        LOST.store(true, Ordering::Relaxed);
    }
}

/// Returns an error if a line of output could not be written.
pub fn all_said() -> Outcome<()> {
    match LOST.load(Ordering::Relaxed) {
        true => Err(Failure::new(
            "the work is done, but some messages could not be written to the standard output",
        )),
        false => Ok(()),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// Formats a duration: `2.5 s`, or `3 m 05 s` from a minute on.
pub fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole >= 60 {
        format!("{} m {:02} s", whole / 60, whole % 60)
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}
