//! One module for each group of figures.

pub mod binary;
pub mod cpu;
pub mod latency;
pub mod launch;
pub mod neighbours;
pub mod scale;
pub mod update;
