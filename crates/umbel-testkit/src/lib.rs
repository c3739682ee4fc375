//! What tests share: waiting for a condition, and the guest programs that are checked in.
//!
//! It is a dependency of tests only. It must not know the services, nor anything of ours but the program's command line.
//!
//! ```text
//! wait_for("it is running", || state() == Running).await     a condition, not a duration
//! guest("trap"), example("hello")                            bytes of guests/ and examples/
//! http::get(address, "hello.localhost", "/")                 a client of its own, free of the code under test
//! Load { rate: 500.0, … }.run(&stop)                         requests when they are due; failures and latencies
//! Platform::up(program)                                      a state folder and a running platform, gone with the value
//! NatsServer::start("")                                      a nats-server with JetStream, gone with the value
//! Registry::start(Guard::None, None)                         a registry for images, gone with the value
//! Proxy::start(address).await                                a connection that fails when it is told to
//! Network::new(hosts)                                        a network whose packets are lost when it is told so
//! ```
//!
//! Read in this order: [`wait`], [`fixture`], [`http`], [`load`], [`platform`], [`nats`], [`registry`], [`proxy`], [`network`].

pub mod fixture;
pub mod http;
pub mod load;
pub mod nats;
pub mod network;
pub mod platform;
pub mod proxy;
pub mod registry;
pub mod wait;

pub use fixture::{example, guest};
pub use nats::NatsServer;
pub use network::Network;
pub use platform::Platform;
pub use proxy::Proxy;
pub use registry::Registry;
pub use wait::{wait_for, wait_for_some};
