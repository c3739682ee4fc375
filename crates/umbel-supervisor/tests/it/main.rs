//! Real processes: every limit is hit, and nothing is left.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod census;
mod contain;
mod leftovers;
mod process;
mod programs;
