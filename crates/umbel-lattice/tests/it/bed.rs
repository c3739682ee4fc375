//! A host's lattice with a gate, and processes that are connected to it; only their memory is not separate.

use std::sync::Arc;
use umbel_core::id::LatticeName;
use umbel_lattice::unix::{Confine, Door, DoorSpec, Gate, Open, Unix, connect};
use umbel_lattice::{InProcess, Lattice, Spawn};

/// Starts tasks on the runtime of the test.
pub(crate) fn spawn() -> Spawn {
    let runtime = tokio::runtime::Handle::current();
    Arc::new(move |task| {
        // A test's tasks end with its runtime.
        let _detached = runtime.spawn(task);
    })
}

pub(crate) struct Bed {
    pub(crate) lattice: Arc<dyn Lattice>,
    pub(crate) gate: Gate,
    _folder: tempfile::TempDir,
}

impl Bed {
    pub(crate) fn new() -> Bed {
        let folder = tempfile::tempdir().expect("a folder");
        let name = LatticeName::new("default").expect("a name");
        let lattice: Arc<dyn Lattice> = Arc::new(InProcess::ephemeral(name));
        let gate = Gate::open(lattice.clone(), &folder.path().join("gate"), spawn()).expect("a gate");
        Bed { lattice, gate, _folder: folder }
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
