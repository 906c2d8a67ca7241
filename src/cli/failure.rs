//! What stops a command: one clear sentence, and what mends it.

use em_routing::error::Error;

/// A result whose error is for a person to read.
pub type Outcome<T> = std::result::Result<T, Failure>;

/// What went wrong, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    message: String,
    mend: Option<String>,
    next: Option<String>,
}

impl Failure {
    /// What went wrong, in one sentence.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), mend: None, next: None }
    }

    /// And what mends it.
    pub fn mend(mut self, mend: impl Into<String>) -> Failure {
        self.mend = Some(mend.into());
        self
    }

    /// The command that mends it, by [`super::command`]: it works as it is printed.
    pub fn next(mut self, command: impl Into<String>) -> Failure {
        self.next = Some(command.into());
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error: {}", self.message)?;
        if let Some(mend) = &self.mend {
            write!(f, "\nto mend it: {mend}")?;
        }
        match &self.next {
            Some(command) => write!(f, "\nNext: {command}"),
            None => Ok(()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let failure = Failure::new(error.to_string());
        match error {
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                failure.mend("free some space on that disk and start again: what is done is kept")
            }
            _ => failure,
        }
    }
}

/// Names the path that a system error is about.
pub trait AtPath<T> {
    /// Names the path that a system error is about.
    fn at(self, path: &std::path::Path) -> Outcome<T>;
}

impl<T> AtPath<T> for std::io::Result<T> {
    fn at(self, path: &std::path::Path) -> Outcome<T> {
        self.map_err(|source| Error::Io { path: path.to_path_buf(), source }.into())
    }
}
