//! The contract suite on both kinds of the embedded lattice.

use async_trait::async_trait;
use std::sync::Arc;
use umbel_core::id::LatticeName;
use umbel_lattice::contract::Factory;
use umbel_lattice::{InProcess, Lattice};

/// Lattices with state in files of one temporary folder.
struct OnDisk {
    folder: tempfile::TempDir,
}

impl OnDisk {
    fn new() -> OnDisk {
        OnDisk { folder: tempfile::tempdir().expect("a folder") }
    }

    async fn open(&self) -> Arc<dyn Lattice> {
        let path = self.folder.path().join("state.redb");
        let name = LatticeName::new("default").expect("a name");
        Arc::new(InProcess::open(path, name).await.expect("open"))
    }
}

#[async_trait]
impl Factory for OnDisk {
    async fn fresh(&self) -> Arc<dyn Lattice> {
        self.open().await
    }

    async fn reopen(&self, lattice: Arc<dyn Lattice>) -> Arc<dyn Lattice> {
        lattice.close().await;
        drop(lattice);
        self.open().await
    }
}

umbel_lattice::contract_tests!(OnDisk::new());
