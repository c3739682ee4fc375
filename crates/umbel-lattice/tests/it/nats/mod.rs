//! The lattice over a real nats-server.

mod contract;

use crate::bed::spawn;
use umbel_core::id::LatticeName;
use umbel_lattice::{Nats, NatsSpec};
use umbel_testkit::NatsServer;

fn server() -> NatsServer {
    NatsServer::start("").expect("a nats-server")
}

async fn join(url: &str) -> Nats {
    let spec = NatsSpec::parse(url).expect("an address");
    Nats::connect(&spec, name(), spawn()).await.expect("a connection")
}

fn name() -> LatticeName {
    LatticeName::new("default").expect("a name")
}
