//! The application requests, one by one.

use super::fake::ONE;
use super::{Bench, hello, wait_for};
use bytes::Bytes;
use serde_json::Value;
use std::time::Duration;
use umbel_core::code::{manager as code, manifest};
use umbel_lattice::wadm::{
    DelResult, DeployReply, DeployResult, GetResult, JSON, PutResult, StatusResult, StatusType,
};

impl Bench {
    pub(crate) async fn ask(&self, rest: &str, payload: &str) -> Value {
        let subject = format!("wadm.api.default.model.{rest}");
        let reply =
            self.lattice.request(&subject, Bytes::from(payload.to_owned()), Duration::from_secs(10)).await;
        serde_json::from_slice(&reply.unwrap().payload).unwrap()
    }

    pub(crate) async fn rollback(&self, name: &str) -> DeployReply {
        self.client.rollback(name).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_told_what_versions_refer_to() {
    let bench = Bench::start(ONE).await;
    let digests = async || {
        let reply = bench.client.digests().await.unwrap();
        assert_eq!(reply.result, GetResult::Success, "{}", reply.message);
        reply.digests
    };
    assert!(digests().await.is_empty());
    bench.put(&hello("./hello.wasm")).await;
    assert_eq!(digests().await, ["sha256:one"], "of versions that are not deployed, too");
    bench.hosts.state().files.insert("./hello.wasm".into(), "two".into());
    bench.put(&hello("./hello.wasm")).await;
    assert_eq!(digests().await, ["sha256:one", "sha256:two"]);
    bench.client.del("hello", None).await.unwrap();
    for _ in 0..2_000 {
        if digests().await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("versions that are gone still count: {:?}", digests().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_named_kept_and_told_apart() {
    let bench = Bench::start(ONE).await;
    let first = bench.put(&hello("./hello.wasm")).await;
    assert_eq!((first.result, first.total_versions, first.name.as_str()), (PutResult::Created, 1, "hello"));
    assert_eq!(first.current_version.len(), 26, "a ULID");
    let again = bench.put(&format!("# a comment\n{}", hello("./hello.wasm"))).await;
    assert_eq!(
        (again.total_versions, &again.current_version),
        (1, &first.current_version),
        "the same content"
    );
    let other = bench.put(&hello("./other.wasm")).await;
    assert_eq!((other.result, other.total_versions), (PutResult::NewVersion, 2));

    let named = hello("./hello.wasm").replace("description: a greeting", "version: v1");
    for _ in 0..2 {
        let reply = bench.put(&named).await;
        assert_eq!((reply.current_version.as_str(), reply.total_versions), ("v1", 3));
    }
    let clash = bench.put(&named.replace("./hello.wasm", "./other.wasm")).await;
    assert_eq!((clash.result, clash.problems[0].code), (PutResult::Error, code::VERSION_EXISTS));
    bench.hosts.state().files.insert("./hello.wasm".into(), "two".into());
    for _ in 0..2 {
        assert_eq!(bench.put(&named).await.current_version, "v1+2", "other content behind the same manifest");
    }
    bench.hosts.state().files.insert("./hello.wasm".into(), "one".into());
    assert_eq!(bench.put(&named).await.current_version, "v1");

    let text = named.replace("version: v1", "version: v2");
    let at_once = (0..8).map(|_| bench.put(&text));
    let replies = futures::future::join_all(at_once).await;
    assert!(replies.iter().all(|reply| reply.current_version == "v2"), "{replies:?}");
    let versions = bench.client.versions("hello").await.unwrap();
    let names: Vec<&str> = versions.versions.iter().map(|info| info.version.as_str()).collect();
    assert_eq!(names, [&first.current_version, &other.current_version, "v1", "v1+2", "v2"]);
    assert!(versions.versions.iter().all(|info| !info.deployed && info.created_unix_ms > Some(0)));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_manifest_is_told_with_all_its_places() {
    let bench = Bench::start(ONE).await;
    let bad = hello("./hello.wasm").replace("image:", "imag:").replace("kind: App", "kind: Ap");
    let reply = bench.client.put(bad.into(), JSON, "some/app.yaml").await.unwrap();
    assert_eq!(reply.result, PutResult::Error);
    let codes: Vec<_> = reply.problems.iter().map(|problem| problem.code).collect();
    assert!(
        codes.contains(&manifest::UNKNOWN_FIELD) && codes.contains(&manifest::NOT_AN_APPLICATION),
        "{codes:?}"
    );
    assert_eq!(reply.problems[0].span.as_ref().unwrap().file, "some/app.yaml");
    let missing = bench.put(&hello("./nothing.wasm")).await;
    assert_eq!(missing.result, PutResult::Error);
    assert!(missing.problems[0].message.contains("nothing.wasm"));
    assert!(bench.client.list().await.unwrap().is_empty(), "nothing was stored");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relative_images_are_beside_the_manifest() {
    let bench = Bench::start(ONE).await;
    bench.hosts.state().files.insert("file:///apps/hello/hello.wasm".into(), "one".into());
    let text = Bytes::from(hello("./hello.wasm"));
    let put = bench.client.put(text, "application/yaml", "/apps/hello/app.yaml").await.unwrap();
    assert_eq!(put.result, PutResult::Created, "{}", put.message);
    bench.client.deploy("hello", None).await.unwrap();
    bench.until("hello", StatusType::Deployed).await;
    assert_eq!(
        bench.hosts.state().component("hello-hello").unwrap().image_ref,
        "file:///apps/hello/hello.wasm"
    );
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_can_be_read_back_listed_and_deleted() {
    let bench = Bench::start(ONE).await;
    let version = bench.deploy(&hello("./hello.wasm")).await;
    bench.until("hello", StatusType::Deployed).await;
    let got = bench.client.get("hello", None).await.unwrap();
    assert_eq!(got.result, GetResult::Success);
    let manifest = got.manifest.unwrap();
    assert_eq!(manifest["metadata"]["annotations"]["version"], version.as_str());
    assert_eq!(manifest["spec"]["components"][0]["properties"]["image"], "./hello.wasm");
    let list = bench.client.list().await.unwrap();
    assert_eq!((list.len(), list[0].name.as_str(), list[0].status), (1, "hello", StatusType::Deployed));
    assert_eq!(list[0].description.as_deref(), Some("a greeting"));
    assert_eq!(list[0].deployed_version, Some(version.clone()));
    let all = bench.ask("get", "").await;
    assert_eq!((all["result"].as_str(), all["models"][0]["name"].as_str()), (Some("success"), Some("hello")));

    let del = bench.client.del("hello", Some("nope")).await.unwrap();
    assert_eq!((del.result, del.problems[0].code), (DelResult::NotFound, code::VERSION_NOT_FOUND));
    let del = bench.client.del("hello", Some(&version)).await.unwrap();
    assert_eq!((del.result, del.undeploy), (DelResult::Deleted, true));
    wait_for("it is gone from the host", || bench.hosts.state().component_count() == 0).await;
    assert!(bench.client.list().await.unwrap().is_empty());
    assert_eq!(bench.client.status("hello").await.unwrap().result, StatusResult::NotFound);
    // The name can be used again at once.
    let put = bench.put(&hello("./other.wasm")).await;
    assert_eq!((put.result, put.total_versions), (PutResult::Created, 1));
    bench.client.deploy("hello", None).await.unwrap();
    let status = bench.until("hello", StatusType::Deployed).await;
    assert_eq!(status.version, put.current_version);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_make_no_sense_are_answered() {
    let bench = Bench::start(ONE).await;
    for (rest, payload) in
        [("dance", ""), ("deploy", ""), ("deploy.a.b", ""), ("put.x", ""), ("history.hello", "")]
    {
        let reply = bench.ask(rest, payload).await;
        assert_eq!(reply["result"], "error", "{rest}");
        assert_eq!(reply["problems"][0]["code"], "UM0910", "{rest}");
    }
    bench.put(&hello("./hello.wasm")).await;
    assert_eq!(bench.ask("deploy.hello", "{not json").await["problems"][0]["code"], "UM0910");
    assert_eq!(bench.ask("deploy.hello", "{\"version\":7}").await["problems"][0]["code"], "UM0910");
    assert_eq!(bench.ask("status.HELLO", "").await["problems"][0]["code"], "UM0101");
    for verb in ["get", "versions", "deploy", "undeploy", "rollback", "status", "del"] {
        let reply = bench.ask(&format!("{verb}.nobody"), "").await;
        assert_eq!(reply["result"], "notfound", "{verb}");
        assert_eq!(reply["problems"][0]["code"], "UM0901", "{verb}");
    }
    let reply = bench.client.deploy("hello", Some("v9")).await.unwrap();
    assert_eq!((reply.result, reply.problems[0].code), (DeployResult::NotFound, code::VERSION_NOT_FOUND));
    let reply = bench.client.undeploy("hello").await.unwrap();
    assert_eq!(reply.result, DeployResult::Acknowledged, "what is not deployed is undeployed already");
    assert_eq!(bench.status("hello").await.status.kind, StatusType::Undeployed);
    bench.stop().await;
}
