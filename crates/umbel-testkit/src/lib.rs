//! What tests share: waiting for a condition, and the guest programs that are checked in.
//!
//! It is a dependency of tests only. It must not know the services: what needs a host to test it is in that host's crate or
//! in `e2e`.
//!
//! ```text
//! wait_for("it is running", || state() == Running).await     a condition, not a duration
//! guest("trap"), example("hello")                            bytes of guests/ and examples/
//! ```
//!
//! Read in this order: [`wait`], [`fixture`].

pub mod fixture;
pub mod wait;

pub use fixture::{example, guest};
pub use wait::{wait_for, wait_for_some};
