//! Providers that ship, called as wasmCloud 1.x calls them: over a lattice, by `wrpc:keyvalue` and `wrpc:blobstore` at both ends.

use crate::blobstore;
use futures::future::BoxFuture;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use umbel_builtin::blobstore::Blobstore;
use umbel_builtin::keyvalue::Keyvalue;
use umbel_builtin::keyvalue::contract::{Draft, Limits, check};
use umbel_core::Problem;
use umbel_core::id::{LatticeName, ProviderId};
use umbel_lattice::wrpc::{Catalog, Client, ClientLimits, Lent, Outgoing, Server, ServerLimits, ServerSpec};
use umbel_lattice::{InProcess, Lattice, Spawn};
use umbel_provider::wrpc::{Hears, Speaks, catalog, heard_as, is_heard};
use umbel_provider::{Factory, Provider, StartContext};
use umbel_supervisor::cores::Cores;
use umbel_wit::{Call, Link, Serve, Value};

const TARGET: &str = "stored";
const SOON: Duration = Duration::from_secs(60);

/// A provider that is called over a lattice by one that speaks as wasmCloud 1.x does.
struct Bed {
    provider: Arc<dyn Provider>,
    /// As an importer has it.
    speaks: Arc<dyn Serve>,
    /// The names of all functions that were called on the lattice.
    called: Arc<Mutex<Vec<String>>>,
    _server: Server,
    _cores: Arc<Cores>,
}

/// What a host does with a call from elsewhere.
struct Here {
    inner: Arc<dyn Serve>,
    hears: Hears,
    called: Arc<Mutex<Vec<String>>>,
}

impl Serve for Here {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        self.called.lock().expect("nobody panicked").push(format!("{}.{}", call.interface, call.function));
        match is_heard(&call) {
            true => self.hears.call(call),
            false => self.inner.call(call),
        }
    }
}

/// What a host does with a call that leaves it.
struct There {
    client: Client,
    catalog: Catalog,
}

impl Serve for There {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let signature = self.catalog.outgoing(&call.interface, call.version.as_ref(), &call.function);
        let outgoing = Outgoing {
            target: TARGET.into(),
            source: call.link.source_id.clone(),
            link: call.link.name.clone(),
            application: call.link.application.clone(),
            patience: Some(SOON),
        };
        let client = self.client.clone();
        Box::pin(async move { client.call(&outgoing, &*signature?, call.args).await })
    }
}

struct Nobody;

impl umbel_provider::Targets for Nobody {
    fn http(&self, _: &str) -> Option<Arc<dyn umbel_provider::http::Handler>> {
        None
    }

    fn export(&self, _: &str, _: &str) -> Option<Arc<dyn Serve>> {
        None
    }

    fn application_of(&self, component: &str) -> Option<String> {
        component.split_once('-').map(|(application, _)| application.to_string())
    }
}

impl Bed {
    async fn start(make: impl FnOnce(Arc<Cores>) -> Arc<dyn Factory>, folder: &Path) -> Bed {
        let cores = Cores::start(1, "wrpc-test").expect("a thread");
        let factory = make(cores.clone());
        let cx = StartContext {
            id: ProviderId::new(TARGET).expect("an id"),
            config: [].into(),
            secrets: Default::default(),
            targets: Arc::new(Nobody),
            folder: folder.join(TARGET),
        };
        let provider = factory.start(cx).await.expect("it starts");
        let inner = provider.serve().expect("it serves");
        let own: Vec<_> = factory.interfaces().into_iter().map(|(name, i)| (name, Arc::new(i))).collect();
        let heard = heard_as(own.iter().map(|(name, _)| name));
        let served = Arc::new(Catalog::new(own.iter().cloned().chain(heard)));

        let name = LatticeName::new("default").expect("a name");
        let lattice: Arc<dyn Lattice> = Arc::new(InProcess::ephemeral(name));
        let spawn: Spawn = Arc::new(|task| drop(tokio::runtime::Handle::current().spawn(task)));
        let called = Arc::<Mutex<Vec<String>>>::default();
        let here = Here { inner: inner.clone(), hears: Hears(inner), called: called.clone() };
        let spec = ServerSpec {
            id: TARGET.into(),
            catalog: Arc::new(move || served.clone()),
            serve: Arc::new(here),
            links: Arc::new(|caller| {
                Ok(Arc::new(Link {
                    source_id: caller.source.into(),
                    name: caller.link.into(),
                    application: caller.application.map(str::to_string),
                    ..Link::default()
                }))
            }),
            lent: Lent::new(),
            group: None,
            is_quick: false,
            limits: ServerLimits::default(),
        };
        let server = Server::start(lattice.clone(), spawn.clone(), spec).await.expect("a server");
        let client = Client::new(lattice, spawn.clone(), Lent::new(), ClientLimits::default()).await;
        let all = own.into_iter().chain(catalog().interfaces().iter().cloned());
        let there = There { client: client.expect("a client"), catalog: Catalog::new(all) };
        let speaks = Arc::new(Speaks::new(Arc::new(there), spawn));
        Bed { provider, speaks, called, _server: server, _cores: cores }
    }

    /// Ends it, and checks that only `wrpc:` was heard of the functions that `is_spoken`.
    async fn stop(self, is_spoken: impl Fn(&str) -> bool) {
        self.provider.stop(SOON).await;
        let called = self.called.lock().expect("nobody panicked");
        assert!(called.iter().any(|name| name.starts_with("wrpc:")), "{called:?}");
        let spoken = called.iter().find(|name| is_spoken(name));
        assert_eq!(spoken, None, "it was called as wasmCloud 1.x cannot call it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keyvalue_keeps_its_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = Bed::start(|cores| Arc::new(Keyvalue::new(cores)), folder.path()).await;
    check(&bed.speaks, Limits { key_bytes_max: 1_024, value_bytes_max: 8 << 20 }).await;
    // A component of the second draft is none that wasmCloud 1.x knows: it is called as it is.
    bed.stop(|name| name.contains("handle-watch")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_importer_of_the_first_draft_opens_no_resources_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = Bed::start(|cores| Arc::new(Keyvalue::new(cores)), folder.path()).await;
    let client = umbel_builtin::keyvalue::contract::Client::new(&bed.speaks, Draft::One, "app");
    let bucket = client.open("default").await.expect("a bucket");
    assert_eq!(bucket.increment("counter", 1).await, Ok(1));
    assert_eq!(bucket.exists("counter").await, Ok(true));
    bed.stop(|name| name.starts_with("wasi:")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blobstore_keeps_its_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = Bed::start(|_| Arc::new(Blobstore::new()), folder.path()).await;
    blobstore::contract::all(bed.speaks.clone()).await;
    bed.stop(|name| name.starts_with("wasi:")).await;
}
