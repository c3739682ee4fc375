//! The suites of contracts, against components that serve them as providers.

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{FutureExt, future};
use std::sync::Arc;
use umbel_builtin::keyvalue::contract::{self, Client, Draft};
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_core::digest::Digest;
use umbel_core::limits::{InstanceMode, Limits};
use umbel_runtime::body::Body;
use umbel_runtime::calls::{HostCalls, Level, SendOptions, Stream, Target, Within};
use umbel_runtime::compile::{Exit, Job, Worker, work};
use umbel_runtime::{Budget, Component, Config, Engine, Granted, Images, OwnFolder, Resident};
use umbel_wit::{InterfaceName, Serve};

/// Compiles in this process.
struct Here;

#[async_trait]
impl Worker for Here {
    async fn run(&self, job: &Job) -> Result<Exit, String> {
        let args = job.args();
        let run = move || {
            let mut answer = Vec::new();
            (work(args, &mut answer), answer)
        };
        let (status, answer) = tokio::task::spawn_blocking(run).await.map_err(|e| e.to_string())?;
        Ok(if status == 0 { Exit::Done } else { Exit::Failed(answer) })
    }
}

/// A way out to nothing, with a config that spares the disk.
struct Alone;

impl HostCalls for Alone {
    fn http_send(
        &self,
        _: http::Request<Body>,
        _: SendOptions,
        _: Within,
    ) -> BoxFuture<'static, Result<http::Response<Body>, Problem>> {
        future::ready(Err(Problem::new(guest::UNLINKED, "there are no links"))).boxed()
    }

    fn config_get(&self, key: &str) -> Option<String> {
        (key == "durability").then(|| "process".into())
    }

    fn config_all(&self) -> Vec<(String, String)> {
        vec![("durability".into(), "process".into())]
    }

    fn log(&self, _: Level, _: Stream, _: &str, _: &str) {}

    fn target(&self, _: &InterfaceName, _: &str, _: Option<&str>) -> Result<Target, Problem> {
        Err(Problem::new(guest::UNLINKED, "there are no links"))
    }
}

/// Everything that the suite promises, but that applications are apart: a component is not told whose call it is, so what it serves is
/// one store. Watchers are told by those providers that call them, which this one does not.
#[tokio::test]
async fn a_component_keeps_the_promises_of_keyvalue() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::new(folder.path().join("code"));
    let engine = Engine::new(&config).unwrap();
    let images = Images::new(engine.clone(), &config, Arc::new(Here)).unwrap();
    let path = umbel_testkit::guest("keyvalue-component");
    let digest = Digest::of(&std::fs::read(&path).unwrap()).to_string();
    let image = images.load(&digest, &path, "keyvalue").await.unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let start = async || {
        let granted = Granted::default().with_own(OwnFolder::open(&data).unwrap(), "/data");
        let (mode, calls) = (InstanceMode::Fresh, Arc::new(Alone));
        let budget = Budget::new("keyvalue", Limits { instances_max: 1, ..Limits::default() });
        let component = Component::new(&engine, "keyvalue", image.clone(), mode, budget, calls, granted);
        Resident::start(component).await.unwrap()
    };
    let resident = start().await;
    let server: Arc<dyn Serve> = Arc::new(resident.component().clone());
    let limits = contract::Limits { key_bytes_max: 1 << 10, value_bytes_max: 1 << 20 };
    for draft in [Draft::One, Draft::Two] {
        let client = Client::new(&server, draft, "contract");
        contract::what_is_set_is_there(&client).await;
        contract::any_text_is_a_key(&client).await;
        contract::limits_are_kept(&client, limits).await;
        contract::keys_are_listed_each_once(&client).await;
        contract::a_listing_survives_writes(&client).await;
        contract::counters_count(&client).await;
        contract::counters_do_not_overflow(&client).await;
        contract::batches_do_as_single_calls(&client).await;
        contract::buckets_are_apart(&client).await;
        contract::what_is_not_the_contract_is_refused(&client).await;
    }
    let client = Client::new(&server, Draft::Two, "contract");
    contract::a_swap_needs_what_was_read(&client).await;
    contract::of_many_swaps_each_counts(&client).await;

    // What the next instance finds on the disk is what the last one had in memory.
    let bucket = client.open("kept").await.unwrap();
    for n in 0..50_u8 {
        bucket.set(&format!("key/{}", n % 7), vec![n; 40_000]).await.unwrap();
    }
    bucket.delete("key/0").await.unwrap();
    let keys = bucket.keys().await;
    drop(bucket);
    resident.stop(std::time::Duration::from_secs(5)).await;
    let log = std::fs::read_dir(&data).unwrap().flatten().find(|file| {
        // "kept", as its file is called.
        file.file_name().to_string_lossy().contains("6b657074")
    });
    let log = log.unwrap().path();
    assert!(std::fs::metadata(&log).unwrap().len() < 1_500_000, "what is not so any more was left out");
    // The power went while something was being written.
    let mut torn = std::fs::read(&log).unwrap();
    torn.extend([1, 2, 3, 4, 5]);
    std::fs::write(&log, torn).unwrap();
    let again = start().await;
    let server: Arc<dyn Serve> = Arc::new(again.component().clone());
    let bucket = Client::new(&server, Draft::Two, "contract").open("kept").await.unwrap();
    assert_eq!(bucket.keys().await, keys);
    assert_eq!(keys.len(), 6);
    assert_eq!(bucket.get("key/6").await.unwrap().unwrap()[..], [48; 40_000]);
    bucket.set("key/8", "more").await.unwrap();
    assert_eq!(bucket.keys().await.len(), 7);
}
