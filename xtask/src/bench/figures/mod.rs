//! One module for each group of figures.

pub mod binary;
pub mod calls;
pub mod cpu;
pub mod latency;
pub mod lattice;
pub mod launch;
pub mod many;
pub mod neighbours;
pub mod relink;
pub mod scale;
pub mod swap;
pub mod update;
