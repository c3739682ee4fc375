//! The contract suite. Each check has a server of its own, because subjects of the suite are not of a lattice.

use crate::bed::nats;
use async_trait::async_trait;
use std::sync::{Arc, Mutex};
use umbel_lattice::Lattice;
use umbel_lattice::contract::Factory;
use umbel_testkit::NatsServer;

struct OverNats {
    servers: Mutex<Vec<NatsServer>>,
}

impl OverNats {
    fn new() -> OverNats {
        OverNats { servers: Mutex::default() }
    }
}

#[async_trait]
impl Factory for OverNats {
    async fn fresh(&self) -> Arc<dyn Lattice> {
        let server = NatsServer::start("").expect("a nats-server");
        let url = server.url();
        self.servers.lock().expect("no panic").push(server);
        Arc::new(nats(&url).await)
    }

    /// The server is killed and started again meanwhile: what it has acknowledged, it has on its disk.
    async fn reopen(&self, lattice: Arc<dyn Lattice>) -> Arc<dyn Lattice> {
        lattice.close().await;
        drop(lattice);
        let url = {
            let mut servers = self.servers.lock().expect("no panic");
            let server = servers.last_mut().expect("one was started");
            server.kill();
            server.again().expect("it starts again");
            server.url()
        };
        Arc::new(nats(&url).await)
    }
}

umbel_lattice::contract_tests!(OverNats::new());
