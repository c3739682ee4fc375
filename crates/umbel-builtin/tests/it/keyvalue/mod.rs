//! The keyvalue provider over a file of its own.

mod crash;
mod damage;
mod full;
mod limits;
#[cfg(feature = "keyvalue_redis")]
mod redis;
mod scope;
mod watch;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use umbel_builtin::keyvalue::Keyvalue;
use umbel_builtin::keyvalue::contract::{Bucket, Client, Draft, Limits, Refused, check};
use umbel_core::Problem;
use umbel_core::id::ProviderId;
use umbel_core::link::{Contract, Distance, Link, ResolvedLink, Values};
use umbel_provider::http::Handler;
use umbel_provider::{Factory, Provider, StartContext, Targets};
use umbel_supervisor::cores::Cores;
use umbel_wit::Serve;

/// Components that run here: what they export, and the application of each.
#[derive(Default)]
pub(super) struct Components {
    exports: Mutex<HashMap<String, Arc<dyn Serve>>>,
}

impl Components {
    fn set(&self, component: &str, export: Option<Arc<dyn Serve>>) {
        let mut exports = self.exports.lock().expect("nobody panicked");
        match export {
            Some(export) => drop(exports.insert(component.into(), export)),
            None => drop(exports.remove(component)),
        }
    }
}

impl Targets for Components {
    fn http(&self, _: &str) -> Option<Arc<dyn Handler>> {
        None
    }

    fn export(&self, component: &str, interface: &str) -> Option<Arc<dyn Serve>> {
        assert_eq!(interface, "wasi:keyvalue/watcher");
        self.exports.lock().expect("nobody panicked").get(component).cloned()
    }

    /// `APP-component` belongs to `APP`; a component without a `-` to none.
    fn application_of(&self, component: &str) -> Option<String> {
        component.split_once('-').map(|(application, _)| application.to_string())
    }
}

/// A provider on a folder.
pub(super) struct Bed {
    provider: Arc<dyn Provider>,
    server: Arc<dyn Serve>,
    components: Arc<Components>,
    _cores: Arc<Cores>,
}

impl Bed {
    async fn try_open(folder: &Path, config: &[(&str, &str)]) -> Result<Bed, Problem> {
        Bed::start(Keyvalue::new, folder, config).await
    }

    async fn start<F: Factory>(
        make: fn(Arc<Cores>) -> F,
        folder: &Path,
        config: &[(&str, &str)],
    ) -> Result<Bed, Problem> {
        let components = Arc::new(Components::default());
        let cx = StartContext {
            id: ProviderId::new("keyvalue").expect("an id"),
            config: values(config),
            secrets: Default::default(),
            targets: components.clone(),
            folder: folder.join("keyvalue"),
        };
        let cores = Cores::start(1, "keyvalue-test").expect("a thread");
        let provider = make(cores.clone()).start(cx).await?;
        let server = provider.serve().expect("it serves");
        Ok(Bed { provider, server, components, _cores: cores })
    }

    async fn open(folder: &Path, config: &[(&str, &str)]) -> Bed {
        Bed::try_open(folder, config).await.unwrap_or_else(|problem| panic!("{problem:?}"))
    }

    async fn stop(self) {
        self.provider.stop(Duration::from_secs(20)).await;
    }

    fn client(&self, application: &str) -> Client {
        Client::new(&self.server, Draft::Two, application)
    }

    async fn bucket(&self, application: &str, name: &str) -> Bucket {
        self.client(application).open(name).await.expect("a bucket")
    }
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// A link from the provider to a watching component, or from a component to the provider.
fn link(
    source: &str,
    target: &str,
    source_values: &[(&str, &str)],
    target_values: &[(&str, &str)],
) -> ResolvedLink {
    ResolvedLink::new(
        Link {
            source_id: source.into(),
            target: target.into(),
            name: target.into(),
            contract: Contract::new("wasi", "keyvalue", &["watcher"]),
            source_config: Vec::new(),
            target_config: Vec::new(),
            distance: Distance::Any,
        },
        values(source_values),
        values(target_values),
    )
}

/// The code in the text of an `other`.
fn code(result: Result<impl std::fmt::Debug, Refused>) -> String {
    match result {
        Err(Refused::Other(text)) => text.split(':').next().unwrap_or_default().to_string(),
        result => panic!("it was to be refused: {result:?}"),
    }
}

fn text(value: Result<Option<bytes::Bytes>, Refused>) -> Option<String> {
    value.expect("get").map(|value| String::from_utf8(value.to_vec()).expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = Limits { key_bytes_max: 1_024, value_bytes_max: 8 << 20 };
    let bed = Bed::open(folder.path(), &[]).await;
    check(&bed.server, limits).await;
    bed.stop().await;
    // And again, with what the first run has left in the file.
    let bed = Bed::open(folder.path(), &[]).await;
    check(&bed.server, limits).await;
    bed.stop().await;
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = Bed::open(folder.path(), &[]).await;
    let bucket = bed.bucket("app", "default").await;
    bucket.set("key", "value").await.expect("set");
    assert_eq!(bucket.increment("counter", 7).await, Ok(7));
    let cas = bucket.cas("key").await.expect("cas");
    drop(cas);
    bed.stop().await;
    assert_eq!(code(bucket.get("key").await), "UM1109");
    assert_eq!(code(bucket.set("key", "late").await), "UM1109");

    let bed = Bed::open(folder.path(), &[]).await;
    let bucket = bed.bucket("app", "default").await;
    assert_eq!(text(bucket.get("key").await).as_deref(), Some("value"));
    assert_eq!(bucket.increment("counter", 1).await, Ok(8));
    bed.stop().await;
}

#[tokio::test]
async fn a_write_whose_caller_goes_away_happens() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = Bed::open(folder.path(), &[]).await;
    let bucket = bed.bucket("app", "default").await;
    for n in 0..50 {
        let key = format!("key/{n}");
        let write = bucket.set(&key, "value");
        // Polled once, which queues it, and dropped.
        assert!(futures::FutureExt::now_or_never(write).is_none_or(|done| done.is_ok()));
    }
    bucket.set("last", "value").await.expect("set");
    assert_eq!(bucket.keys().await.len(), 51);
    bed.stop().await;
}
