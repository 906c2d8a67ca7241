//! Runs other programs, reads their output and explains their failures.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::cli::failure::{Failure, Outcome};
use crate::cli::progress::seconds;

/// Number of characters that are kept of an output line for an error message.
const MOST_OF_A_LINE: usize = 500;

/// Returns the standard output of a program, or `None` if it cannot be started or fails.
pub fn capture(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A child process that ends with this process, even if this process is killed.
///
/// On Unix the child leads its own process group, in which a guard (a shell) reads from a pipe. This process holds the other end.
/// When it ends, even by SIGKILL, the system closes that end, and the guard kills the group: the child and everything it has
/// started. On other systems it is an ordinary child process.
pub struct Guarded {
    child: Child,
    pipe: Option<ChildStdin>,
}

/// The guard's script. If it reads a line, the child has ended; if it reads the end of the pipe, this process is gone.
#[cfg(unix)]
const GUARD: &str = r#"exec 3<&0 </dev/null
(trap '' TERM; read -r line <&3 && exit; kill -TERM 0; sleep 2; kill -KILL 0) >/dev/null 2>&1 &
exec "$@" 3<&-"#;

impl Guarded {
    /// Starts the program without standard input.
    #[cfg(unix)]
    pub fn start(command: &Command, output: fn() -> Stdio) -> Outcome<Guarded> {
        use std::os::unix::process::CommandExt as _;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", GUARD, "sh"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            shell.current_dir(folder);
        }
        shell.process_group(0).stdin(Stdio::piped()).stdout(output()).stderr(output());
        Guarded::of(shell.spawn(), command)
    }

    /// Starts the program without standard input.
    #[cfg(not(unix))]
    pub fn start(command: &mut Command, output: fn() -> Stdio) -> Outcome<Guarded> {
        command.stdin(Stdio::null()).stdout(output()).stderr(output());
        Guarded::of(command.spawn(), command)
    }

    fn of(child: std::io::Result<Child>, command: &Command) -> Outcome<Guarded> {
        let program = command.get_program().to_string_lossy();
        let mut child =
            child.map_err(|error| Failure::new(format!("{program} cannot be started: {error}")))?;
        Ok(Guarded { pipe: child.stdin.take(), child })
    }

    /// Waits until the child ends.
    pub fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait();
        self.release();
        status
    }

    /// Returns the exit status if the child has ended.
    pub fn try_wait(&mut self) -> std::io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.release();
        }
        Ok(status)
    }

    /// Tells the guard, which may be gone already, that the child has ended.
    fn release(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            drop(pipe.write_all(b"\n"));
        }
    }

    /// Kills the child and everything it has started.
    pub fn end(&mut self) {
        if self.pipe.take().is_none() {
            drop(self.child.kill());
        }
    }
}

/// Runs a program and passes each line of its output and error streams to `line` as it arrives.
///
/// If the program fails, the error shows its last lines and, if they are known, a remedy. The program ends when this process
/// does.
pub fn follow(command: &mut Command, line: impl FnMut(&str)) -> Outcome<()> {
    follow_until(command, None, line)
}

/// Like [`follow`], but kills the program after the time `most` and returns an error.
pub fn follow_within(command: &mut Command, most: Duration, line: impl FnMut(&str)) -> Outcome<()> {
    follow_until(command, Some(most), line)
}

fn follow_until(command: &mut Command, most: Option<Duration>, mut line: impl FnMut(&str)) -> Outcome<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let started = Instant::now();
    let mut guarded = Guarded::start(command, Stdio::piped)?;
    let receiver = lines_of(&mut guarded.child);
    let mut last = VecDeque::new();
    loop {
        let text = match most {
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(most) => receiver.recv_timeout(most.saturating_sub(started.elapsed())),
        };
        let text = match text {
            Ok(text) => text,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                guarded.end();
                drop(guarded.wait());
                let most = seconds(most.unwrap_or_default());
                return Err(Failure::new(format!("{program} was stopped: it did not finish within {most}")));
            }
        };
        line(&text);
        if last.len() == 40 {
            last.pop_front();
        }
        last.push_back(text.chars().take(MOST_OF_A_LINE).collect::<String>());
    }
    let status = guarded.wait().map_err(|error| Failure::new(format!("{program}: {error}")))?;
    if status.success() { Ok(()) } else { Err(failure_of(&program, status, last)) }
}

/// Returns the lines of both streams as they arrive.
fn lines_of(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stream| Box::new(stream) as _),
        child.stderr.take().map(|stream| Box::new(stream) as _),
    ];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for bytes in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                drop(sender.send(String::from_utf8_lossy(&bytes).trim_end().to_owned()));
            }
        });
    }
    receiver
}

/// Builds the error of a failed program: its last lines, and the remedy if they are known.
fn failure_of(program: &str, status: ExitStatus, last: VecDeque<String>) -> Failure {
    // the exit code and message of a shell that cannot find the program
    if cfg!(unix) && status.code() == Some(127) && last.iter().all(|line| line.contains("not found")) {
        return Failure::new(format!("{program} cannot be started: there is no such program"));
    }
    let said: Vec<String> = last.into_iter().filter(|line| !line.is_empty()).collect();
    let tail: Vec<String> =
        said[said.len().saturating_sub(12)..].iter().map(|line| format!("  {line}")).collect();
    let words = match tail.is_empty() {
        true => "it printed nothing".to_owned(),
        false => format!("its last lines:\n{}", tail.join("\n")),
    };
    let failure = Failure::new(format!("{program} failed ({status}); {words}"));
    match meaning(&said.join("\n")) {
        Some(mend) => failure.mend(mend),
        None => failure,
    }
}

/// Returns the remedy for a known error message of cargo, rustup or pip.
pub fn meaning(words: &str) -> Option<&'static str> {
    let words = words.to_lowercase();
    let says = |patterns: &[&str]| patterns.iter().any(|pattern| words.contains(pattern));
    if says(&["no space left", "os error 28", "disk quota"]) {
        Some("free some space on the disk and start again; finished work is kept")
    } else if says(&["linker `cc` not found", "linker `link.exe` not found", "linker `cc` failed to start"]) {
        Some(
            "install a C compiler for the linker (Debian, Ubuntu: apt install build-essential; Fedora: dnf install gcc; macOS: xcode-select --install)",
        )
    } else if says(&["requires rustc", "requires a newer", "rustup update"]) {
        Some("run rustup update stable, then start again")
    } else if says(&[
        "could not resolve",
        "failed to resolve",
        "name resolution",
        "network is unreachable",
        "connection refused",
        "connection reset",
        "timed out",
        "spurious network error",
        "failed to download",
        "failed to establish a new connection",
        "no matching distribution",
        "unable to update registry",
    ]) {
        Some(
            "the network or a package registry does not respond: check the connection and start again; finished work is kept",
        )
    } else if says(&["ensurepip", "no module named venv"]) {
        Some("install Python's venv module (Debian, Ubuntu: apt install python3-venv) and start again")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meaning_suggests_a_remedy_for_known_error_messages() {
        for (words, part) in [
            ("error: failed to write: No space left on device (os error 28)", "free some space"),
            ("error: linker `cc` not found", "C compiler"),
            ("warning: spurious network error (3 tries remaining)", "network"),
            (
                "ERROR: Could not find a version\nERROR: No matching distribution found for jupyterlab",
                "network",
            ),
            ("The virtual environment was not created because ensurepip is not available", "python3-venv"),
            ("error: package requires rustc 1.99 or newer", "rustup update"),
        ] {
            assert!(meaning(words).is_some_and(|mend| mend.contains(part)), "{words}");
        }
        assert_eq!(meaning("something else"), None);
    }

    #[cfg(unix)]
    #[test]
    fn follow_passes_on_each_line_of_output_and_explains_a_failure() {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo no space left on device >&2; exit 3"]);
        let failure = follow(&mut command, |line| lines.push(line.to_owned())).unwrap_err().to_string();
        lines.sort();
        assert_eq!(lines, ["no space left on device", "one"]);
        assert!(failure.contains("no space left") && failure.contains("free some space"), "{failure}");
    }

    /// A program that starts another one and writes both process numbers to a file.
    #[cfg(target_os = "linux")]
    fn family(file: &std::path::Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 100 & echo $! $$ > \"$1\"; wait", "sh"]).arg(file);
        command
    }

    #[cfg(target_os = "linux")]
    fn alive(file: &std::path::Path) -> bool {
        let numbers = std::fs::read_to_string(file).unwrap();
        let alive = |number: &str| {
            let state = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
            state.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
        };
        numbers.split_whitespace().any(alive)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn follow_within_kills_the_program_and_its_children_after_the_time_limit() {
        let file = std::env::temp_dir().join(format!("em-routing-family-{}", std::process::id()));
        let started = Instant::now();
        let failure = follow_within(&mut family(&file), Duration::from_millis(500), |_| ()).unwrap_err();
        assert!(failure.to_string().contains("within 0.5 s"), "{failure}");
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(200));
        assert!(!alive(&file));
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn follow_names_a_missing_program() {
        let failure = follow(&mut Command::new("no-such-program-here"), |_| ()).unwrap_err().to_string();
        assert!(failure.contains("no-such-program-here"), "{failure}");
    }
}
