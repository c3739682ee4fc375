//! What every crate has in common: a `lib.rs` that says what the crate must not know, and one integration binary.

use super::{Finding, Source};

const BOUNDARY: &str = "must not know";

pub fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let parts: Vec<&str> = source.path.split('/').collect();
        match parts.as_slice() {
            ["crates", _, "src", "lib.rs"] => findings.extend(first_comment(source)),
            ["crates", _, "tests", rest @ ..] | ["e2e" | "xtask", "tests", rest @ ..]
                if is_other_binary(rest) =>
            {
                let message =
                    "a crate has one integration binary, tests/it/main.rs; make this a module of it";
                findings.push(Finding::new(&source.path, 1, message));
            }
            _ => {}
        }
    }
    findings
}

/// Cargo makes a binary of `tests/NAME.rs` and of `tests/NAME/main.rs`.
fn is_other_binary(below_tests: &[&str]) -> bool {
    match below_tests {
        [file] => file.ends_with(".rs"),
        [folder, "main.rs"] => *folder != "it",
        _ => false,
    }
}

fn first_comment(source: &Source) -> Option<Finding> {
    let text = source.text().unwrap_or_default();
    let words: Vec<&str> =
        text.lines().map_while(|line| line.strip_prefix("//!")).flat_map(str::split_whitespace).collect();
    let message = match words.join(" ") {
        comment if comment.is_empty() => "starts with a comment that says what the crate is".to_owned(),
        comment if !comment.contains(BOUNDARY) => {
            format!("says what the crate \"{BOUNDARY}\", in these words")
        }
        _ => return None,
    };
    Some(Finding::new(&source.path, 1, message))
}
