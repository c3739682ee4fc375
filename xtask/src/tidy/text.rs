//! What must not be in any file: forgotten notes, and traces of the machine it was written on.

use super::{Finding, Source};
use std::path::Path;

/// Notes that are either done or an issue. They are put together here so that this file passes.
const NOTES: &[&str] = &[concat!("FIX", "ME"), concat!("TO", "DO"), concat!("X", "XX")];

/// Where an ordinary checkout never is, and registries that only some machines reach.
const TRACES: &[&str] = &[
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("arti", "factory"),
    concat!("index.", "crates.io"),
];

/// The only source of crates that a lock file may name.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub fn check(root: &Path, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let checkout = root.to_string_lossy();
    let home = std::env::var("HOME").unwrap_or_default();
    let ours: Vec<&str> =
        [checkout.as_ref(), home.as_str()].into_iter().filter(|path| path.len() > 1).collect();
    for source in sources {
        match source.text() {
            Some(text) => check_text(&source.path, text, &ours, &mut findings),
            None => check_bytes(source, &mut findings),
        }
    }
    findings
}

fn check_text(path: &str, text: &str, ours: &[&str], findings: &mut Vec<Finding>) {
    let is_lock = path.ends_with("Cargo.lock");
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        // In Rust a note stands in a comment; in a string it may be what the program is about.
        let prose = if path.ends_with(".rs") {
            line.split_once("//").map_or("", |(_, comment)| comment)
        } else {
            line
        };
        if !is_lock && let Some(note) = NOTES.iter().find(|note| has_word(prose, note)) {
            findings.push(Finding::new(path, number, format!("`{note}`: do it, or open an issue")));
        }
        if is_lock && line.starts_with("source = ") && !line.contains(REGISTRY) {
            findings.push(Finding::new(path, number, "a crate comes from the public registry alone"));
        }
        if let Some(trace) = TRACES.iter().chain(ours).find(|trace| line.contains(**trace)) {
            findings.push(Finding::new(path, number, format!("`{trace}` exists on one machine only")));
        }
    }
}

/// Compiled files carry paths in their panic messages.
fn check_bytes(source: &Source, findings: &mut Vec<Finding>) {
    for trace in TRACES {
        if source.bytes.windows(trace.len()).any(|window| window == trace.as_bytes()) {
            findings.push(Finding::new(
                &source.path,
                0,
                format!("`{trace}` is in it and exists on one machine only"),
            ));
        }
    }
}

fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !part_of_word(line[..at].chars().next_back()) && !part_of_word(line[at + word.len()..].chars().next())
    })
}
