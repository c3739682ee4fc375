//! The bytes of messages that components hold. They are the host's memory, so each component may hold a bounded number of them.

use super::error::MessagingError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The most bytes that one component holds.
pub(crate) const HELD_BYTES_MAX: usize = 64 << 20;
/// What an empty message takes up.
const OVERHEAD: usize = 512;

/// What one component holds.
#[derive(Debug, Default)]
pub(crate) struct Meter(AtomicUsize);

/// A part of a meter, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Charge {
    meter: Arc<Meter>,
    bytes: usize,
}

impl Charge {
    /// Charges a message of that size.
    pub(crate) fn new(meter: &Arc<Meter>, size: usize) -> Result<Charge, MessagingError> {
        let mut charge = Charge { meter: meter.clone(), bytes: 0 };
        charge.resize(size)?;
        Ok(charge)
    }

    /// The message has another size now.
    pub(crate) fn resize(&mut self, size: usize) -> Result<(), MessagingError> {
        let bytes = size.saturating_add(OVERHEAD);
        let change = |held: usize| {
            let after = (held - self.bytes).checked_add(bytes)?;
            (after <= HELD_BYTES_MAX || bytes <= self.bytes).then_some(after)
        };
        if self.meter.0.fetch_update(Relaxed, Relaxed, change).is_err() {
            return Err(MessagingError::Limit {
                what: "bytes of messages held by this component",
                max: HELD_BYTES_MAX,
            });
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.meter.0.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests;
