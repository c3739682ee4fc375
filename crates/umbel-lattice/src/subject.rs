//! Subjects and patterns: tokens with dots between; `*` stands for one token, a final `>` for one or more.

use crate::error::shown;
use crate::{LatticeError, Result};

/// Longest subject, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 1_024;

/// Most tokens of a subject.
pub const TOKENS_MAX: usize = 32;

/// Checks a subject to publish to: no wildcards.
pub fn check(subject: &str) -> Result<()> {
    check_tokens(subject)?;
    if tokens(subject).any(|t| t == "*" || t == ">") {
        return fail(subject, "wildcards are for subscribing");
    }
    Ok(())
}

/// Checks a subject to subscribe to.
pub fn check_pattern(pattern: &str) -> Result<()> {
    check_tokens(pattern)?;
    let count = tokens(pattern).count();
    if tokens(pattern).take(count - 1).any(|t| t == ">") {
        return fail(pattern, "`>` can only be the last token");
    }
    Ok(())
}

/// Whether the pattern covers the subject. Both must be valid.
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut subject = tokens(subject);
    for wanted in tokens(pattern) {
        match (wanted, subject.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}

/// The parts between the dots.
pub fn tokens(subject: &str) -> impl Iterator<Item = &str> {
    subject.split('.')
}

fn check_tokens(subject: &str) -> Result<()> {
    if subject.is_empty() || subject.len() > SUBJECT_BYTES_MAX {
        return fail(subject, "it must have 1 to 1,024 characters");
    }
    if subject.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return fail(subject, "spaces and control characters are not allowed");
    }
    if tokens(subject).any(str::is_empty) {
        return fail(subject, "the tokens between the dots must not be empty");
    }
    if tokens(subject).count() > TOKENS_MAX {
        return fail(subject, "it may have 32 tokens at most");
    }
    Ok(())
}

fn fail<T>(subject: &str, reason: &'static str) -> Result<T> {
    Err(LatticeError::InvalidSubject { subject: shown(subject), reason })
}

#[cfg(test)]
mod tests;
