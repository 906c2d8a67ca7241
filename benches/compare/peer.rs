//! A peer's program: it prints its name, then waits for a line on its standard input before each round.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::Outcome;

pub struct Peer {
    pub name: String,
    process: Child,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a script of benches/peers in a Python environment.
    pub fn start(
        environment: &Path,
        script: &str,
        arguments: &[String],
        variables: &[(&str, &str)],
    ) -> Outcome<Peer> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(script);
        let mut process = Command::new(environment.join("bin/python"))
            .arg(script)
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", environment.join("bin/python").display()))?;
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut peer = Peer { name: String::new(), process, answers };
        peer.name = peer.answer()?["peer"].as_str().unwrap_or("?").to_string();
        Ok(peer)
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Runs one round and returns the answer.
    pub fn round(&mut self) -> Outcome<Value> {
        self.process.stdin.as_mut().expect("it is piped").write_all(b"\n")?;
        self.answer()
    }

    fn answer(&mut self) -> Outcome<Value> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err("the peer has ended unexpectedly".into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.process.stdin.take()); // the peer ends at the end of its input
        let _ = self.process.wait();
    }
}

/// Returns a number in an answer.
pub fn number(answer: &Value, key: &str) -> Outcome<f64> {
    Ok(answer[key].as_f64().ok_or(format!("the peer's answer has no number {key}"))?)
}
