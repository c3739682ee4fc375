//! How long it is waited for somebody who serves application requests, when nobody does.
//!
//! Whoever leads has an entry in the lattice's state and writes it anew all the time. Is there one, then its writer may just have been
//! lost, and another takes over. Is there none, then there is no manager; or one gives it to the next at this very moment, which is quick.

use crate::{Lattice, Result};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The bucket with the state of our managers.
pub const STATE_BUCKET: &str = "umbel_applications";
/// The entry of the one that leads; it is deleted when it ends in order.
pub const LEADER_KEY: &str = "leader";

/// How long nobody may answer until another manager has taken over.
const TAKEOVER_MAX: Duration = Duration::from_secs(12);
/// How long one that ends in order and the one after it take to change.
const HANDOVER_MAX: Duration = Duration::from_secs(2);
/// How often it is looked whether one has.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What is known of the one that leads.
#[derive(Debug, Default)]
pub(super) struct Takeover {
    // The revision of the entry that was seen last while nobody answered, and since when.
    silent: Mutex<Option<(u64, Instant)>>,
}

impl Takeover {
    /// How long a request may wait from its beginning until somebody serves it. Asked when nobody does.
    pub(super) async fn wait_max(&self, lattice: &dyn Lattice) -> Duration {
        self.decide(revision(lattice).await, Instant::now())
    }

    fn decide(&self, leader: Result<Option<u64>>, now: Instant) -> Duration {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        match leader {
            // A lattice whose state cannot be read says nothing.
            Err(_) => TAKEOVER_MAX,
            Ok(None) => {
                *silent = None;
                HANDOVER_MAX
            }
            Ok(Some(revision)) => match *silent {
                // It led once, and nobody is there who could take over.
                Some((seen, since)) if seen == revision && now.duration_since(since) >= TAKEOVER_MAX => {
                    HANDOVER_MAX
                }
                Some((seen, _)) if seen == revision => TAKEOVER_MAX,
                _ => {
                    *silent = Some((revision, now));
                    TAKEOVER_MAX
                }
            },
        }
    }
}

async fn revision(lattice: &dyn Lattice) -> Result<Option<u64>> {
    let entry = lattice.bucket(STATE_BUCKET).await?.get(LEADER_KEY).await?;
    Ok(entry.map(|entry| entry.revision))
}

#[cfg(test)]
mod tests;
