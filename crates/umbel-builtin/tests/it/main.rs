//! The HTTP server and client over real sockets, with handlers in place of components.

mod apart;
mod bed;
#[cfg(feature = "blobstore")]
mod blobstore;
mod client;
#[cfg(feature = "cron")]
mod cron;
mod drain;
mod http2;
#[cfg(feature = "keyvalue")]
mod keyvalue;
mod limits;
#[cfg(feature = "messaging")]
mod messaging;
#[cfg(feature = "postgres")]
mod postgres;
mod routing;
#[cfg(feature = "secrets")]
mod secrets;
#[cfg(any(
    feature = "keyvalue_redis",
    feature = "blobstore_s3",
    feature = "messaging_nats",
    feature = "postgres"
))]
mod server;
mod smuggling;
mod streaming;
mod tls;
#[cfg(all(feature = "keyvalue", feature = "blobstore"))]
mod wrpc;
