//! Other programs: started, listened to, and understood when they fail.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use super::failure::{Failure, Outcome};

/// What a program prints, if it can be started and succeeds.
pub fn capture(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program and hands over each line that it prints, of both streams, as it comes.
///
/// If it fails, its last lines are told, and what they are known to mean.
pub fn follow(command: &mut Command, mut line: impl FnMut(&str)) -> Outcome<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::new(format!("{program} cannot be started: {error}")))?;
    let (sender, receiver) = mpsc::channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stream| Box::new(stream) as _),
        child.stderr.take().map(|stream| Box::new(stream) as _),
    ];
    let readers: Vec<_> = streams
        .into_iter()
        .flatten()
        .map(|stream| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for bytes in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                    drop(sender.send(String::from_utf8_lossy(&bytes).trim_end().to_owned()));
                }
            })
        })
        .collect();
    drop(sender);
    let mut last = VecDeque::new();
    for text in receiver {
        line(&text);
        if last.len() == 40 {
            last.pop_front();
        }
        last.push_back(text);
    }
    readers.into_iter().for_each(|reader| drop(reader.join()));
    let status = child.wait().map_err(|error| Failure::new(format!("{program}: {error}")))?;
    if status.success() {
        return Ok(());
    }
    let said: Vec<String> = last.into_iter().filter(|line| !line.is_empty()).collect();
    let tail: Vec<String> =
        said[said.len().saturating_sub(12)..].iter().map(|line| format!("  {line}")).collect();
    let failure = Failure::new(format!("{program} failed ({status}); its last words:\n{}", tail.join("\n")));
    Err(match meaning(&said.join("\n")) {
        Some(mend) => failure.mend(mend),
        None => failure,
    })
}

/// What the last words of cargo, rustup or pip are known to mean.
pub fn meaning(words: &str) -> Option<&'static str> {
    let words = words.to_lowercase();
    let says = |patterns: &[&str]| patterns.iter().any(|pattern| words.contains(pattern));
    if says(&["no space left", "os error 28", "disk quota"]) {
        Some("free some space on the disk and start again: what is done is kept")
    } else if says(&["linker `cc` not found", "linker `link.exe` not found", "linker `cc` failed to start"]) {
        Some(
            "install a C compiler for the linker (Debian, Ubuntu: apt install build-essential; Fedora: dnf install gcc; macOS: xcode-select --install)",
        )
    } else if says(&["requires rustc", "requires a newer", "rustup update"]) {
        Some("rustup update stable, then start again")
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
            "the network or a package registry does not answer: connect and start again; what is done is kept",
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
    fn last_words_are_understood() {
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
    fn a_failure_tells_the_last_words_and_lines_arrive() {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo no space left on device >&2; exit 3"]);
        let failure = follow(&mut command, |line| lines.push(line.to_owned())).unwrap_err().to_string();
        lines.sort();
        assert_eq!(lines, ["no space left on device", "one"]);
        assert!(failure.contains("no space left") && failure.contains("free some space"), "{failure}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let failure = follow(&mut Command::new("no-such-program-here"), |_| ()).unwrap_err().to_string();
        assert!(failure.contains("no-such-program-here"), "{failure}");
    }
}
