//! Records that cannot be read harm their own application alone.

use super::fake::ONE;
use super::{Bench, hello, options, start_manager, wait_for};
use bytes::Bytes;
use umbel_core::code::manager as code;
use umbel_lattice::wadm::{DelResult, DeployResult, PutResult, StatusResult, StatusType};
use umbel_manager::store::BUCKET;

impl Bench {
    async fn write(&self, key: &str, value: &str) {
        let bucket = self.lattice.bucket(BUCKET).await.unwrap();
        bucket.put(key, Bytes::from(value.to_owned())).await.unwrap();
    }
}

fn other() -> String {
    hello("./other.wasm").replace("name: hello", "name: other")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_whose_record_is_damaged_is_shown_and_the_others_go_on() {
    let bench = Bench::start(ONE).await;
    for (key, value) in [("app.broken", "{not json"), ("app.future", "{\"name\":7}"), ("app.UPPER", "{}")] {
        bench.write(key, value).await;
    }
    bench.deploy(&hello("./hello.wasm")).await;
    bench.until("hello", StatusType::Deployed).await;
    // Nobody asks for this: it is what every round looks after.
    bench.hosts.state().host("NONE").components.clear();
    wait_for("it runs again", || bench.hosts.state().component("hello-hello").is_some()).await;

    let list = bench.client.list().await.unwrap();
    let shown: Vec<_> = list.iter().map(|summary| (summary.name.as_str(), summary.status)).collect();
    let failed = StatusType::Failed;
    assert_eq!(shown, [("broken", failed), ("future", failed), ("hello", StatusType::Deployed)]);
    let problem = &list[0].detailed_status.problems[0];
    assert_eq!((problem.code, problem.message.contains("app.broken")), (code::BAD_RECORD, true));
    let status = bench.client.status("broken").await.unwrap();
    assert_eq!((status.result, status.problems[0].code), (StatusResult::Error, code::BAD_RECORD));
    let reply = bench.client.deploy("broken", None).await.unwrap();
    assert_eq!((reply.result, reply.problems[0].code), (DeployResult::Error, code::BAD_RECORD));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_whose_record_is_damaged_can_be_deleted_and_deployed_again() {
    let bench = Bench::start(ONE).await;
    for (key, value) in [("app.hello", "{\"versions\":null}"), ("app.hello", "\u{1}"), ("owned.hello", "7")] {
        bench.deploy(&hello("./hello.wasm")).await;
        let before = bench.until("hello", StatusType::Deployed).await.generation;
        bench.write(key, value).await;
        assert_eq!(bench.hosts.state().component_count(), 1, "what runs is left alone");
        let del = bench.client.del("hello", None).await.unwrap();
        assert_eq!((del.result, del.undeploy), (DelResult::Deleted, true), "{key}: {}", del.message);
        wait_for("it is gone from the host", || bench.hosts.state().component_count() == 0).await;
        assert!(bench.client.list().await.unwrap().is_empty());
        let put = bench.put(&hello("./hello.wasm")).await;
        assert_eq!(put.result, PutResult::Created, "{}", put.message);
        bench.client.deploy("hello", None).await.unwrap();
        let after = bench.until("hello", StatusType::Deployed).await.generation;
        assert!(after > before, "{key}: {after:?} is newer than {before:?}");
        bench.client.del("hello", None).await.unwrap();
        wait_for("it is gone", || bench.hosts.state().component_count() == 0).await;
    }
    assert_eq!(bench.hosts.state().stale, 0, "no order was older than what it was about");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_version_is_a_failure_of_its_application() {
    let mut bench = Bench::start(ONE).await;
    for manifest in [other(), hello("./hello.wasm")] {
        bench.deploy(&manifest).await;
    }
    bench.until("hello", StatusType::Deployed).await;
    let bucket = bench.lattice.bucket(BUCKET).await.unwrap();
    bench.write(&bucket.entries("version.hello.").await.unwrap().remove(0).key, "null").await;
    // A version is read once; the next manager reads it again.
    let next = start_manager(&bench.lattice, options()).await;
    std::mem::replace(&mut bench.manager, next).shutdown().await;
    let status = bench.until("hello", StatusType::Failed).await;
    assert_eq!(status.problems[0].code, code::BAD_RECORD);
    bench.hosts.state().host("NONE").components.clear();
    wait_for("the other runs again", || bench.hosts.state().component("other-other").is_some()).await;
    bench.client.del("hello", None).await.unwrap();
    bench.until("other", StatusType::Deployed).await;
    wait_for("nothing of it is left", || bench.hosts.state().links.len() == 1).await;
    bench.stop().await;
}
