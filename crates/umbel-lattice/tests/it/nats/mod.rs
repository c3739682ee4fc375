//! The lattice over a real nats-server.

mod contract;
