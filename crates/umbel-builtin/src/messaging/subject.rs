//! Subjects: words joined by dots. A pattern may have `*` for one word, and `>` at its end for one or more.

use super::error::MessagingError;

/// The longest subject or pattern, in bytes.
pub(crate) const SUBJECT_BYTES_MAX: usize = 256;

/// What inboxes of requests begin with. They belong to who asked: no subscription sees them.
pub(crate) const INBOX_PREFIX: &str = "_INBOX.";

/// Checks a subject that is published to.
pub(crate) fn check(subject: &str) -> Result<(), MessagingError> {
    words(subject, |word, _| {
        (!word.contains(['*', '>'])).then_some(()).ok_or("it holds `*` or `>`, which only a subscription may")
    })
}

/// Checks a pattern that is subscribed to.
pub(crate) fn check_pattern(pattern: &str) -> Result<(), MessagingError> {
    if pattern.starts_with(INBOX_PREFIX) {
        return Err(bad(pattern, "inboxes belong to the requests that they were made for"));
    }
    words(pattern, |word, last| match word {
        "*" => Ok(()),
        ">" if last => Ok(()),
        ">" => Err("`>` stands for all words that follow, so it can only be the last"),
        word if word.contains(['*', '>']) => Err("`*` and `>` stand for whole words"),
        _ => Ok(()),
    })
}

/// Checks the name of a queue group.
pub(crate) fn check_group(name: &str) -> Result<(), MessagingError> {
    words(
        name,
        |word, _| if word.contains(['*', '>']) { Err("a queue group has no wildcards") } else { Ok(()) },
    )
}

fn words(
    subject: &str,
    check: impl Fn(&str, bool) -> Result<(), &'static str>,
) -> Result<(), MessagingError> {
    if subject.is_empty() {
        return Err(bad(subject, "it is empty"));
    }
    if subject.len() > SUBJECT_BYTES_MAX {
        return Err(bad(subject, "it is longer than 256 bytes"));
    }
    if subject.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(bad(subject, "it holds a space or a control character"));
    }
    let mut words = subject.split('.').peekable();
    while let Some(word) = words.next() {
        if word.is_empty() {
            return Err(bad(subject, "it has an empty word: a dot at an end, or two in a row"));
        }
        check(word, words.peek().is_none()).map_err(|reason| bad(subject, reason))?;
    }
    Ok(())
}

fn bad(subject: &str, reason: &'static str) -> MessagingError {
    let subject = subject.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    MessagingError::Subject { subject, reason }
}

#[cfg(test)]
mod tests;
