//! The API end to end: real sockets on one side, on the other a host and a manager that answer from memory.

mod fake;
mod records;
mod routes;
mod serve;
