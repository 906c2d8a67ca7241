//! Runs the program in a temporary folder as a user would.

use std::process::{Command, Output, Stdio};

use super::folder::Folder;

/// A command that runs in the folder.
pub fn em_routing(folder: &Folder, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_em-routing"));
    command.args(words.split_whitespace()).current_dir(&folder.0).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What the program has printed.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs the command, which must succeed, and returns what it prints.
pub fn succeeds(folder: &Folder, words: &str) -> String {
    let output = em_routing(folder, words).output().unwrap();
    assert!(output.status.success(), "{words}: {}", said(&output));
    said(&output)
}

/// Runs the command, which must fail with a message that has all of these words, and returns the message.
pub fn fails(folder: &Folder, words: &str, expected: &[&str]) -> String {
    let output = em_routing(folder, words).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{words}: {said}");
    for word in expected {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    said
}

/// Runs the command after `Next:` in the folder, as a shell would.
pub fn next(folder: &Folder, said: &str) -> String {
    let line = said.lines().find_map(|line| line.strip_prefix("Next: ")).unwrap();
    let output = Command::new("sh").args(["-c", line]).current_dir(&folder.0).output().unwrap();
    assert!(output.status.success(), "{line}: {}", self::said(&output));
    self::said(&output)
}
