//! How results and failures look.

pub(crate) mod problem;
pub(crate) mod table;
pub(crate) mod tree;
pub(crate) mod yaml;

use std::io::IsTerminal;
use std::os::fd::AsFd;

/// How text may look: what is printed says the same without colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) colour: bool,
    /// Characters on a line, of a terminal.
    pub(crate) columns: Option<usize>,
}

/// What a colour means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Busy,
    Bad,
    Strong,
    Faint,
}

impl Style {
    /// No colours.
    pub(crate) const PLAIN: Style = Style { colour: false, columns: None };

    pub(crate) fn of_stdout() -> Style {
        Style::of(&std::io::stdout())
    }

    pub(crate) fn of_stderr() -> Style {
        Style::of(&std::io::stderr())
    }

    fn of(output: &(impl IsTerminal + AsFd)) -> Style {
        let is_terminal = output.is_terminal();
        let size = if is_terminal { rustix::termios::tcgetwinsize(output).ok() } else { None };
        let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
        Style { colour: is_terminal && colours_wanted(), columns }
    }

    /// The text in its tone.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.into();
        }
        let sgr = match tone {
            Tone::Good => "32",
            Tone::Busy => "33",
            Tone::Bad => "31",
            Tone::Strong => "1",
            Tone::Faint => "2",
        };
        format!("\x1b[{sgr}m{text}\x1b[0m")
    }
}

/// By the NO_COLOR convention (any value that is not empty), and not for terminals that say they know none.
fn colours_wanted() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && !is_set("CI") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The tone of a state or status word.
pub(crate) fn tone_of(state: &str) -> Tone {
    match state {
        "running" | "deployed" | "ok" | "completed" => Tone::Good,
        "failed" | "crash-loop" | "unhealthy" | "error" | "critical" => Tone::Bad,
        "undeployed" | "stopped" | "unknown" | "trace" | "debug" => Tone::Faint,
        _ => Tone::Busy,
    }
}
