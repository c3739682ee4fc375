//! Collects what is wrong, up to a limit, so that one reading tells everything.

use crate::read::PROBLEMS_MAX;
use umbel_core::Problem;
use umbel_core::code::{Code, manifest};
use umbel_core::error::Span;

/// A place in the text: line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Mark {
    pub(crate) const START: Mark = Mark { line: 1, column: 1 };
}

/// The problems found so far.
pub(crate) struct Report<'f> {
    file: &'f str,
    problems: Vec<Problem>,
    left_out: usize,
}

impl<'f> Report<'f> {
    pub(crate) fn new(file: &'f str) -> Report<'f> {
        Report { file, problems: Vec::new(), left_out: 0 }
    }

    /// Adds a problem with the help of its code.
    pub(crate) fn add(&mut self, code: Code, at: Mark, message: impl Into<String>) {
        self.push(Problem::new(code, message), at);
    }

    /// Adds a problem with a help of its own.
    pub(crate) fn add_with_help(
        &mut self,
        code: Code,
        at: Mark,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Problem::new(code, message).with_help(help), at);
    }

    fn push(&mut self, problem: Problem, at: Mark) {
        if self.problems.len() >= PROBLEMS_MAX {
            self.left_out += 1;
            return;
        }
        let span = Span { file: self.file.to_owned(), line: at.line, column: at.column };
        self.problems.push(problem.with_span(span));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The problems in the order of the text.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|p| p.span.as_ref().map(|s| (s.line, s.column)));
        if self.left_out > 0 {
            let message = format!("and {} more problems, which are not listed", self.left_out);
            self.problems.push(Problem::new(manifest::TOO_MANY_PROBLEMS, message));
        }
        self.problems
    }
}

/// At most 60 characters of `text`, printable, for use in a message.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(60) {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown
}
