//! Who is there: asking every host, without waiting for those that are not there.
//!
//! On a lattice that others share nobody knows how many will answer, and waiting the whole time for them at every question would make each
//! as slow as that. So those that answered before are remembered: when all of them have, and for a moment nobody else has, the roll is
//! called. Every so often the whole time is waited, for hosts that are far away and new.

use crate::{Lattice, Message, Result};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long after the last answer another may come.
const QUIET: Duration = Duration::from_millis(30);

/// How often the whole time is waited.
const WHOLE_EVERY: Duration = Duration::from_secs(15);

/// Who answered before. Clients that share it, share what they learn.
#[derive(Debug, Default)]
pub(super) struct Roll(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    hosts: BTreeSet<String>,
    whole_at: Option<Instant>,
}

impl Roll {
    /// Asks all, at most for `wait`. `id_of` says who an answer is of; what it does not know is left out.
    pub(super) async fn call<T>(
        &self,
        lattice: &dyn Lattice,
        subject: &str,
        wait: Duration,
        id_of: impl Fn(&Message) -> Option<(String, T)>,
    ) -> Result<Vec<T>> {
        let inbox = lattice.inbox();
        let mut answers = lattice.subscribe(&inbox).await?;
        let begun = Instant::now();
        let (expected, is_whole) = {
            let mut known = self.lock();
            let is_whole = known.whole_at.is_none_or(|at| begun.duration_since(at) >= WHOLE_EVERY);
            if is_whole {
                // Whoever asks meanwhile need not wait as long.
                known.whole_at = Some(begun);
            }
            (known.hosts.clone(), is_whole)
        };
        lattice.publish(Message::new(subject, Bytes::new()).with_reply(inbox)).await?;
        let (end, mut answered, mut all) = (begun + wait, BTreeSet::new(), Vec::new());
        let mut last = begun;
        loop {
            let is_complete = !is_whole && !answered.is_empty() && expected.is_subset(&answered);
            let until = if is_complete { end.min(last + QUIET) } else { end };
            let Ok(Some(answer)) = tokio::time::timeout_at(until, answers.next()).await else { break };
            if answer.headers.get(crate::lattice::STATUS).is_some() {
                break;
            }
            if let Some((id, answer)) = id_of(&answer)
                && answered.insert(id)
            {
                last = Instant::now();
                all.push(answer);
            }
        }
        self.lock().hosts = answered;
        Ok(all)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
