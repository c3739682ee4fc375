//! Real processes: every limit is hit, and nothing is left.

mod census;
mod contain;
mod leftovers;
mod process;
mod programs;
