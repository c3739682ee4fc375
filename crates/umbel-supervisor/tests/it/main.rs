//! Real processes: every limit is hit, and nothing is left.

mod process;
