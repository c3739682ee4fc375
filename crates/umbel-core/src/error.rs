//! What every error of Umbel has: a code, a kind, a cause and help.
//!
//! Libraries declare `thiserror` enums and implement [`Coded`]; whoever shows an error to a person or sends it over a wire
//! turns it into a [`Problem`]. [`Kind`] decides HTTP status, exit code, retry and log level in one place.

use crate::code::Code;
use serde::{Deserialize, Serialize};

/// The class of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The input is wrong; the same input will fail again.
    Invalid,
    /// The named thing does not exist.
    NotFound,
    /// The state of the world is not what the request assumes.
    Conflict,
    /// The caller did not prove who it is.
    Unauthenticated,
    /// The caller, or a component, may not do this.
    Denied,
    /// A limit is reached; later may be better.
    Exhausted,
    /// No answer within the deadline; the outcome may be unknown.
    Timeout,
    /// The thing exists but cannot serve now.
    Unavailable,
    /// The work was done, but what runs is not healthy.
    Unhealthy,
    /// The two sides are of versions that do not fit.
    Version,
    /// A component failed by its own fault: a trap, or rubbish as an answer.
    Guest,
    /// A fault of ours, or of the machine.
    Internal,
}

impl Kind {
    /// The status that an HTTP answer carries for this kind.
    pub const fn http_status(self) -> u16 {
        match self {
            Kind::Invalid => 400,
            Kind::Unauthenticated => 401,
            Kind::Denied => 403,
            Kind::NotFound => 404,
            Kind::Conflict | Kind::Version => 409,
            Kind::Exhausted | Kind::Unavailable | Kind::Unhealthy => 503,
            Kind::Guest => 502,
            Kind::Timeout => 504,
            Kind::Internal => 500,
        }
    }

    /// The exit code of a command that ends with this kind (documented in `umbel help exit-codes`).
    pub const fn exit_code(self) -> u8 {
        match self {
            Kind::Internal | Kind::Invalid | Kind::Exhausted | Kind::Guest => 1,
            Kind::NotFound => 3,
            Kind::Conflict => 4,
            Kind::Unauthenticated => 5,
            Kind::Denied => 6,
            Kind::Timeout => 7,
            Kind::Unhealthy => 8,
            Kind::Version => 10,
            Kind::Unavailable => 69,
        }
    }

    /// Whether trying the same again later can help.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Kind::Exhausted | Kind::Timeout | Kind::Unavailable)
    }

    /// Whether it deserves a line of level ERROR in the host's log; the rest is the caller's business.
    pub const fn is_ours(self) -> bool {
        matches!(self, Kind::Internal)
    }
}

/// An error that can be shown to a user.
pub trait Coded: std::error::Error {
    /// The code that names this failure.
    fn code(&self) -> Code;

    /// What to do about this very case; by default the help of the code.
    fn help(&self) -> String {
        self.code().entry().help.to_string()
    }

    /// The class of failure.
    fn kind(&self) -> Kind {
        self.code().kind()
    }
}

/// Where in a text a problem is. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The name of the text, usually a path.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A failure as it crosses a boundary: to a terminal, into an event, over the API.
///
/// JSON: `{"code":"UM0401","kind":"invalid","message":"…","causes":["…"],"help":"…","span":{"file","line","column"}?}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The code.
    pub code: Code,
    /// Its class, repeated so that a reader of JSON needs no catalogue.
    pub kind: Kind,
    /// What happened, one line.
    pub message: String,
    /// Why, from the nearest cause to the root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do: a command or the manifest line to write.
    pub help: String,
    /// Where in the manifest, if it is about a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
}

impl Problem {
    /// A problem of the given code with its own message and the catalogue's help.
    pub fn new(code: Code, message: impl Into<String>) -> Problem {
        Problem {
            code,
            kind: code.kind(),
            message: message.into(),
            causes: Vec::new(),
            help: code.entry().help.to_string(),
            span: None,
        }
    }

    /// The same problem with another help.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Problem {
        self.help = help.into();
        self
    }

    /// The same problem with the provider's id where the catalogue's help can only say PROVIDER.
    #[must_use]
    pub fn of_provider(mut self, id: &str) -> Problem {
        self.help = self.help.replace(" PROVIDER`", &format!(" {id}`"));
        self
    }

    /// The same problem with one more cause behind the ones it has.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<String>) -> Problem {
        self.causes.push(cause.into());
        self
    }

    /// The same problem with its place in a text.
    #[must_use]
    pub fn with_span(mut self, span: Span) -> Problem {
        self.span = Some(span);
        self
    }
}

impl<E: Coded + ?Sized> From<&E> for Problem {
    fn from(error: &E) -> Problem {
        let mut problem = Problem::new(error.code(), error.to_string()).with_help(error.help());
        let mut source = error.source();
        while let Some(cause) = source {
            problem.causes.push(cause.to_string());
            source = cause.source();
        }
        problem
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Problem {}

impl Coded for Problem {
    fn code(&self) -> Code {
        self.code
    }

    fn help(&self) -> String {
        self.help.clone()
    }
}

#[cfg(test)]
mod tests;
