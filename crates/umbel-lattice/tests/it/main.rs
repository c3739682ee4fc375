//! The embedded lattice against the contract, against damage and `kill -9`, and its typed messages against the wire of wasmCloud 1.x.

mod bed;
mod client;
mod contract;
mod crash;
mod damage;
mod hostile;
mod nats;
mod pages;
mod recorded;
mod spy;
mod unix;
mod wire;
mod wrpc;
