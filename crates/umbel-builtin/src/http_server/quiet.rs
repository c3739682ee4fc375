//! Warnings that would come many times a second are said once in a while, with their number.

use std::time::{Duration, Instant};

/// Between two warnings about the same thing.
const EVERY: Duration = Duration::from_secs(10);

/// What was said, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    last: Option<Instant>,
    count: u64,
}

impl Quiet {
    /// It happened once more. When it is time to say so: how often, since it was said last.
    pub(crate) fn note(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        let is_due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= EVERY);
        is_due.then(|| {
            self.last = Some(now);
            std::mem::take(&mut self.count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_at_once_and_the_others_are_counted() {
        let (start, mut quiet) = (Instant::now(), Quiet::default());
        let said: Vec<(u64, u64)> = (0..250)
            .filter_map(|tenth| Some((tenth, quiet.note(start + Duration::from_millis(tenth * 100))?)))
            .collect();
        assert_eq!(said, [(0, 1), (100, 100), (200, 100)]);
    }
}
