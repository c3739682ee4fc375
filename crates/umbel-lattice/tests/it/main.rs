//! The embedded lattice against the contract, against damage, against `kill -9`, and against the wire of wasmCloud 1.x.

mod contract;
mod crash;
mod damage;
mod wire;
