//! The API end to end: real sockets on one side, on the other a host and a manager that answer from memory.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod fake;
mod records;
mod routes;
mod serve;
