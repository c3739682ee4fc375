//! Failures as people see them.
//!
//! ```text
//! error[UM0412]: a field is not known: `image`
//!   --> umbel.yaml:9:7
//!    |
//!  9 |       image: ./hello.wasm
//!    |       ^
//!   cause: …
//!   help: …
//! ```

use super::{Style, Tone};
use crate::fail::Source;
use crate::text::neutral;
use umbel_api::problem::Problems;
use umbel_core::Problem;
use umbel_core::error::Span;

/// Problems that are shown in full; the rest is counted.
const SHOWN_MAX: usize = 20;
/// Characters of a source line that are shown.
const LINE_CHARS_MAX: usize = 160;

/// All problems, one after the other.
pub(crate) fn render(problems: &Problems, source: Option<&Source>, style: Style) -> String {
    let mut text = String::new();
    for problem in problems.iter().take(SHOWN_MAX) {
        one(problem, source, style, &mut text);
    }
    let more = problems.iter().count().saturating_sub(SHOWN_MAX);
    if more > 0 {
        text.push_str(&format!("{more} more problems are not shown; `-o json` has all\n"));
    }
    text
}

fn one(problem: &Problem, source: Option<&Source>, style: Style, text: &mut String) {
    let label = style.paint(Tone::Bad, &format!("error[{}]", problem.code));
    text.push_str(&format!("{label}: {}\n", style.paint(Tone::Strong, &neutral(&problem.message))));
    if let Some(span) = &problem.span {
        text.push_str(&place(span, source, style));
    }
    for cause in &problem.causes {
        text.push_str(&format!("  {} {}\n", style.paint(Tone::Faint, "cause:"), neutral(cause)));
    }
    for help in problem.help.lines() {
        text.push_str(&format!("  {} {}\n", style.paint(Tone::Good, "help:"), neutral(help)));
    }
}

/// The place, and the line itself if the text is at hand.
fn place(span: &Span, source: Option<&Source>, style: Style) -> String {
    let arrow = style.paint(Tone::Faint, "-->");
    let source = source.filter(|source| source.file == span.file);
    let file = source.map_or(&span.file, |source| &source.shown);
    let mut text = format!("  {arrow} {}:{}:{}\n", neutral(file), span.line, span.column);
    let line = source.and_then(|source| source.text.lines().nth(span.line.checked_sub(1)?));
    if let Some(line) = line {
        let number = span.line.to_string();
        let margin = " ".repeat(number.len());
        let bar = style.paint(Tone::Faint, "|");
        // The mark stands under the character even where neutralising made the text before it longer.
        let before: String = line.chars().take(span.column.saturating_sub(1)).collect();
        let indent = neutral(&before).chars().count().min(LINE_CHARS_MAX);
        let shown: String = neutral(line).chars().take(LINE_CHARS_MAX).collect();
        text.push_str(&format!("  {margin} {bar}\n"));
        text.push_str(&format!("  {} {bar} {shown}\n", style.paint(Tone::Faint, &number)));
        text.push_str(&format!("  {margin} {bar} {}{}\n", " ".repeat(indent), style.paint(Tone::Bad, "^")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use umbel_core::code::api;

    #[test]
    fn a_problem_shows_its_line_its_cause_and_its_help() {
        let source = Source {
            file: "/a/umbel.yaml".into(),
            shown: "umbel.yaml".into(),
            text: "apiVersion: x\nkind:\tApplication\x1b[2J\n".into(),
        };
        let span = Span { file: "/a/umbel.yaml".into(), line: 2, column: 7 };
        let problem = Problem::new(api::BAD_ARGUMENT, "it is wrong")
            .with_span(span)
            .with_cause("because")
            .with_help("do\nor do not");
        let problems = Problems { first: problem.clone(), others: vec![problem.with_help("")] };
        let expect = "error[UM1035]: it is wrong\n  --> umbel.yaml:2:7\n    |\n  2 | kind:    Application\\u{1b}[2J\n    |          ^\n  cause: because\n  help: do\n  help: or do not\n\
                      error[UM1035]: it is wrong\n  --> umbel.yaml:2:7\n    |\n  2 | kind:    Application\\u{1b}[2J\n    |          ^\n  cause: because\n";
        assert_eq!(render(&problems, Some(&source), Style::PLAIN), expect);
    }

    #[test]
    fn a_line_that_does_not_exist_is_left_out() {
        let source = Source { file: "a.yaml".into(), shown: "a.yaml".into(), text: "x".into() };
        for (file, line) in [("a.yaml", 0), ("a.yaml", 9), ("b.yaml", 1)] {
            let span = Span { file: file.into(), line, column: 99 };
            let problem = Problem::new(api::BAD_ARGUMENT, "m").with_span(span).with_help("");
            let text = render(&problem.into(), Some(&source), Style::PLAIN);
            assert_eq!(text, format!("error[UM1035]: m\n  --> {file}:{line}:99\n"));
        }
    }
}
