//! A host's lattice with a gate, and processes that are connected to it; only their memory is not separate.

use std::sync::Arc;
use umbel_core::id::LatticeName;
use umbel_lattice::unix::{Confine, Door, DoorSpec, Gate, Open, Unix, connect};
use umbel_lattice::{InProcess, Lattice, Nats, NatsSpec, Spawn};
use umbel_testkit::NatsServer;

/// Starts tasks on the runtime of the test.
pub(crate) fn spawn() -> Spawn {
    let runtime = tokio::runtime::Handle::current();
    Arc::new(move |task| {
        // A test's tasks end with its runtime.
        let _detached = runtime.spawn(task);
    })
}

pub(crate) fn name() -> LatticeName {
    LatticeName::new("default").expect("a name")
}

/// A connection to the server at the address.
pub(crate) async fn nats(url: &str) -> Nats {
    let spec = NatsSpec::parse(url).expect("an address");
    Nats::connect(&spec, name(), spawn()).await.expect("a connection")
}

pub(crate) struct Bed {
    pub(crate) lattice: Arc<dyn Lattice>,
    pub(crate) gate: Gate,
    pub(crate) nats: Option<NatsServer>,
    _folder: tempfile::TempDir,
}

impl Bed {
    pub(crate) fn new() -> Bed {
        Bed::of(Arc::new(InProcess::ephemeral(name())), None)
    }

    /// A host whose lattice is over a nats-server of its own.
    pub(crate) async fn over_nats() -> Bed {
        let server = NatsServer::start("").expect("a nats-server");
        Bed::of(Arc::new(nats(&server.url()).await), Some(server))
    }

    fn of(lattice: Arc<dyn Lattice>, nats: Option<NatsServer>) -> Bed {
        let folder = tempfile::tempdir().expect("a folder");
        let gate = Gate::open(lattice.clone(), &folder.path().join("gate"), spawn()).expect("a gate");
        Bed { lattice, gate, nats, _folder: folder }
    }

    /// The lattice of somebody else: another connection, where there are connections.
    pub(crate) async fn other(&self) -> Arc<dyn Lattice> {
        match &self.nats {
            Some(server) => Arc::new(nats(&server.url()).await),
            None => self.lattice.clone(),
        }
    }

    pub(crate) async fn process(&self, id: &str, confine: Arc<dyn Confine>) -> (Arc<Unix>, Door) {
        let (door, token) = self.gate.expect(DoorSpec { id: id.into(), confine });
        let unix = connect(self.gate.path(), id, token.reveal(), &spawn()).await.expect("a connection");
        (Arc::new(unix), door)
    }

    pub(crate) async fn open(&self, id: &str) -> (Arc<Unix>, Door) {
        self.process(id, Arc::new(Open)).await
    }
}
