//! The error that stops a command: one sentence that says what is wrong, and the remedy.

use em_routing::error::Error;

/// A result whose error is a message to the user.
pub type Outcome<T> = std::result::Result<T, Failure>;

/// An error message with an optional remedy, in words and as a command.
#[derive(Debug)]
pub struct Failure {
    message: String,
    mend: Option<String>,
    next: Option<String>,
    elsewhere: bool,
}

impl Failure {
    /// Creates a failure from one sentence that says what is wrong.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), mend: None, next: None, elsewhere: false }
    }

    /// Creates the failure of a process that ends because another one has failed or was stopped.
    pub fn elsewhere() -> Failure {
        Failure { elsewhere: true, ..Failure::new("another process of this command has failed") }
    }

    /// Whether another process has the message for the user.
    pub fn is_elsewhere(&self) -> bool {
        self.elsewhere
    }

    /// Adds the remedy in words.
    pub fn mend(mut self, mend: impl Into<String>) -> Failure {
        self.mend = Some(mend.into());
        self
    }

    /// Adds the command that applies the remedy, built by [`super::command`] so that it works as printed.
    pub fn next(mut self, command: impl Into<String>) -> Failure {
        self.next = Some(command.into());
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error: {}", self.message)?;
        if let Some(mend) = &self.mend {
            write!(f, "\nto fix it: {mend}")?;
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
            Error::OtherRank { .. } => Failure::elsewhere(),
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                failure.mend("free some space on that disk and start again; finished work is kept")
            }
            _ => failure,
        }
    }
}

/// Adds the path to a system error.
pub trait AtPath<T> {
    /// Adds this path to the error.
    fn at(self, path: &std::path::Path) -> Outcome<T>;
}

impl<T> AtPath<T> for std::io::Result<T> {
    fn at(self, path: &std::path::Path) -> Outcome<T> {
        self.map_err(|source| Error::Io { path: path.to_path_buf(), source }.into())
    }
}
