//! How a command ends when it does not succeed.

use crate::args::Output;
use crate::render::{Style, problem};
use std::io::Write;
use std::process::ExitCode;
use umbel_api::problem::Problems;
use umbel_core::code::{api, host, lattice};
use umbel_core::{Code, Kind, Problem};

/// The exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// A manifest as it was read, to show the lines that problems point at.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The name that problems carry.
    pub(crate) file: String,
    /// The name as it was typed.
    pub(crate) shown: String,
    pub(crate) text: String,
}

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong.
    Problems { problems: Box<Problems>, source: Option<Source> },
    /// Whoever read our output stopped reading: nothing is wrong, and nobody is left to tell.
    ReaderGone,
    /// Ctrl-C ended what would have gone on for ever: nothing is left undone, and nothing has to be said.
    Stopped,
}

impl Failure {
    /// The same failure with a change of the problem that decides.
    pub(crate) fn map(self, change: impl FnOnce(Problem) -> Problem) -> Failure {
        match self {
            Failure::Problems { problems, source } => {
                let Problems { first, others } = *problems;
                Failure::Problems { problems: Box::new(Problems { first: change(first), others }), source }
            }
            other => other,
        }
    }

    /// The same failure with the manifest it is about.
    pub(crate) fn in_source(self, source: Source) -> Failure {
        match self {
            Failure::Problems { problems, source: None } => {
                Failure::Problems { problems, source: Some(source) }
            }
            other => other,
        }
    }

    /// The code of the problem that decides.
    #[cfg(test)]
    pub(crate) fn code(&self) -> Option<umbel_core::Code> {
        match self {
            Failure::Problems { problems, .. } => Some(problems.first.code),
            Failure::ReaderGone | Failure::Stopped => None,
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Failure {
        Failure::Problems { problems: Box::new(problems), source: None }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        Problems::from(problem).into()
    }
}

impl From<std::io::Error> for Failure {
    /// Errors of writing the result; other input and output is translated where it happens.
    fn from(error: std::io::Error) -> Failure {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Failure::ReaderGone;
        }
        Problem::new(api::OUTPUT_FAILED, "the result cannot be written").with_cause(error.to_string()).into()
    }
}

/// The codes that say that the platform, or what it needs itself, cannot be reached.
const AWAY: [Code; 10] = [
    api::NOT_RUNNING,
    api::NO_HOST,
    api::NO_MANAGER,
    api::CONNECTION_LOST,
    lattice::NO_RESPONDERS,
    lattice::LATTICE_CLOSED,
    lattice::NATS_UNREACHABLE,
    lattice::NATS_NO_JETSTREAM,
    lattice::DISCONNECTED,
    host::HOST_STOPPING,
];

/// Two codes mean something only to a terminal and have an exit code of their own. What cannot serve is mostly a part: of one that
/// was stopped by hand the state does not allow the command, and any other is a failure like others. A code that this build does not know
/// is taken for what its kind says.
pub(crate) fn exit_code(problems: &Problems) -> u8 {
    let code = problems.first.code;
    if code == api::NEEDS_CONFIRMATION {
        9
    } else if code == api::INTERRUPTED {
        INTERRUPTED
    } else {
        let kind = match problems.first.kind {
            Kind::Unavailable if code == host::PROVIDER_STOPPED => Kind::Conflict,
            Kind::Unavailable if code != api::UNKNOWN_CODE && !AWAY.contains(&code) => Kind::Guest,
            kind => kind,
        };
        kind.exit_code()
    }
}

/// Tells the failure on stderr and gives the exit code.
pub(crate) fn end(failure: Failure, output: Output) -> ExitCode {
    let (problems, source) = match failure {
        Failure::Problems { problems, source } => (problems, source),
        Failure::ReaderGone => return ExitCode::SUCCESS,
        Failure::Stopped => return ExitCode::from(INTERRUPTED),
    };
    let text = match output {
        Output::Json | Output::Jsonl | Output::Yaml => {
            format!("{}\n", crate::text::json_line(&problems.to_json()))
        }
        Output::Table | Output::Name => problem::render(&problems, source.as_ref(), Style::of_stderr()),
    };
    // Nobody can be told that stderr is closed.
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
    ExitCode::from(exit_code(&problems))
}

#[cfg(test)]
mod tests {
    use super::*;
    use umbel_core::code::{guest, wire};

    #[test]
    fn only_a_platform_that_does_not_answer_is_69() {
        let of = |code| exit_code(&Problems::from(Problem::new(code, "no")));
        for code in AWAY {
            assert_eq!((of(code), code.kind()), (69, Kind::Unavailable), "{code:?}");
        }
        for code in [guest::UNLINKED, wire::CONNECTION_LOST, host::PROVIDER_EXITED, host::PROVIDER_MOVES] {
            assert_eq!(of(code), 1, "{code:?}");
        }
        assert_eq!((of(host::PROVIDER_STOPPED), of(host::SWAP_REFUSED)), (4, 4));
        let newer = Problem { kind: Kind::Unavailable, ..Problem::new(api::UNKNOWN_CODE, "no") };
        assert_eq!(exit_code(&Problems::from(newer)), 69);
    }
}
