//! The blobstore in a bucket of a real S3 server.

use super::contract::{all, bytes, link};
use super::guest::{Guest, collect};
use super::{Running, files, start_of, values};
use crate::server::{Server, free_port, program};
use std::sync::Arc;
use std::time::Duration;
use umbel_builtin::blobstore_s3::BlobstoreS3;
use umbel_core::Problem;
use umbel_core::link::{Contract, Distance, Link as CoreLink, ResolvedLink};
use umbel_provider::Provider;
use umbel_supervisor::process::Spec;
use umbel_testkit::wait::wait_for;
use umbel_wit::{Link, Serve};

const KEY: [(&str, &str); 2] = [("access_key_id", "umbel"), ("secret_access_key", "s3cret-word")];

/// An S3 server with a bucket `bucket`, in a folder of its own.
struct S3 {
    server: Server,
    folder: tempfile::TempDir,
    endpoint: String,
    port: u16,
}

impl S3 {
    async fn start() -> S3 {
        let program = program("s3s-fs", &["~/.cache/umbel-tools/s3s-fs-0.14.1/bin"], "cargo xtask servers");
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("data");
        for bucket in ["bucket", "other-bucket"] {
            std::fs::create_dir_all(root.join(bucket)).expect("a bucket");
        }
        let port = free_port();
        let spec = Spec::new(program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--access-key", KEY[0].1, "--secret-key", KEY[1].1])
            .arg(&root)
            .cwd(folder.path());
        let s3 =
            S3 { server: Server::start(spec), folder, endpoint: format!("http://127.0.0.1:{port}"), port };
        s3.is_there().await;
        s3
    }

    async fn is_there(&self) {
        wait_for("the server listens", || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok())
            .await;
    }

    async fn try_start(&self, config: &[(&str, &str)]) -> Result<Arc<dyn Provider>, Problem> {
        let base = [("endpoint", self.endpoint.as_str()), ("bucket", "bucket")];
        // Later ones count.
        let mut all: Vec<(&str, &str)> = [&base[..], &KEY].concat();
        all.retain(|(key, _)| !config.iter().any(|(other, _)| other == key));
        start_of(&BlobstoreS3::new(), &self.folder.path().join("state"), &[&all, config].concat()).await
    }

    async fn serving(&self, config: &[(&str, &str)]) -> Arc<dyn Serve> {
        let provider = self.try_start(config).await.unwrap_or_else(|problem| panic!("{problem:?}"));
        Arc::new(Running { serve: provider.serve().expect("it serves"), _provider: provider })
    }

    async fn guest(&self, application: &str) -> Guest {
        Guest::new(self.serving(&[]).await, link(application))
    }

    async fn end(mut self) {
        self.server.end().await;
    }
}

fn fails<T>(code: &str, told: Result<T, String>) -> String {
    let text = told.err().expect("it cannot be done");
    assert!(text.starts_with(&format!("{code}: ")), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    let s3 = S3::start().await;
    all(s3.serving(&[]).await).await;
    // And again, beside what the first run has left, below a prefix.
    all(s3.serving(&[("prefix", "umbel/test")]).await).await;
    assert_eq!(files(&s3.folder.path().join("state")).len(), 0, "no body is left on this machine");
    s3.end().await;
}

#[tokio::test]
async fn hosts_see_the_same_and_applications_do_not() {
    let s3 = S3::start().await;
    let (one, two, other) = (s3.guest("app").await, s3.guest("app").await, s3.guest("other").await);
    let box_ = one.create_container("box").await.unwrap();
    box_.put("a", b"1").await.unwrap();
    assert_eq!(two.get_container("box").await.unwrap().get("a").await.unwrap(), b"1");
    assert!(!other.container_exists("box").await.unwrap());

    let shared = Link { values: values(&[("space", "all")]), ..link("app") };
    let linked = Guest::new(s3.serving(&[]).await, shared);
    assert!(!linked.container_exists("box").await.unwrap());
    let other_bucket = Link { values: values(&[("bucket", "other-bucket")]), ..link("app") };
    let linked = Guest::new(s3.serving(&[]).await, other_bucket);
    assert!(!linked.container_exists("box").await.unwrap());
    linked.create_container("box").await.unwrap().put("a", b"2").await.unwrap();
    assert_eq!(box_.get("a").await.unwrap(), b"1");
    s3.end().await;
}

#[tokio::test]
async fn large_objects_go_up_and_down_in_parts() {
    let s3 = S3::start().await;
    let guest = s3.guest("app").await;
    let container = guest.create_container("box").await.unwrap();
    // Three whole parts and some more.
    let content = bytes((24 << 20) + 12_345, 9);
    container.put("big", &content).await.unwrap();
    assert_eq!(container.object_info("big").await.unwrap().3, content.len() as u64);
    let value = container.get_data("big", 1, u64::MAX).await.unwrap();
    let read = collect(value.stream().await.unwrap()).await.unwrap();
    assert!(read == content[1..]);
    guest.copy_object(("box", "big"), ("box", "copy")).await.unwrap();
    let (at, end) = (9 << 20, (9 << 20) + 999);
    let part = container.get_data("copy", at, end).await.unwrap().sync().await.unwrap();
    assert!(part == content[at as usize..=end as usize]);
    s3.end().await;
}

#[tokio::test]
async fn a_lost_server_is_an_error_in_time_and_comes_back() {
    let mut s3 = S3::start().await;
    let serve = s3.serving(&[("timeout_ms", "500")]).await;
    let guest = Guest::new(serve, link("app"));
    let container = guest.create_container("box").await.unwrap();
    container.put("a", b"1").await.unwrap();
    s3.server.end().await;
    let asked = tokio::time::timeout(Duration::from_secs(20), async {
        fails("UM1133", container.get("a").await);
        fails("UM1133", container.put("b", b"2").await);
        fails("UM1133", container.list_objects().await);
        fails("UM1133", guest.container_exists("box").await);
    });
    asked.await.expect("in time");
    s3.server.again();
    s3.is_there().await;
    assert_eq!(container.get("a").await.unwrap(), b"1");
    container.put("b", b"2").await.unwrap();
    assert_eq!(container.all_names().await, ["a", "b"]);
    s3.end().await;
}

#[tokio::test]
async fn wrong_keys_and_buckets_are_told_without_secrets() {
    let s3 = S3::start().await;
    for config in
        [("secret_access_key", "s3cret-wrong"), ("access_key_id", "nobody"), ("bucket", "missing-bucket")]
    {
        let guest = Guest::new(s3.serving(&[config]).await, link("app"));
        fails("UM1133", guest.create_container("box").await);
    }
    for config in [("bucket", "B"), ("endpoint", "nowhere"), ("secret_access_key", ""), ("root", "/srv")] {
        let problem = s3.try_start(&[config]).await.err().expect("refused");
        assert_eq!(problem.code.to_string(), "UM1132", "{config:?}");
        assert!(!format!("{problem:?}").contains("s3cret"), "{problem:?}");
    }
    // Without a bucket of its own a provider takes what links say, and a link without one is refused where it is put.
    let provider =
        start_of(&BlobstoreS3::new(), s3.folder.path(), &[("endpoint", &s3.endpoint)]).await.expect("starts");
    let put = |pairs: &[(&str, &str)]| {
        ResolvedLink::new(
            CoreLink {
                source_id: "app-component".into(),
                target: "blobs".into(),
                name: "default".into(),
                contract: Contract::new("wasi", "blobstore", &["blobstore"]),
                source_config: Vec::new(),
                target_config: Vec::new(),
                distance: Distance::Any,
            },
            values(&[]),
            values(pairs),
        )
    };
    assert_eq!(provider.put_link(put(&[])).await.expect_err("refused").code.to_string(), "UM1132");
    let whole = [&[("bucket", "bucket")][..], &KEY].concat();
    provider.put_link(put(&whole)).await.expect("it says all");
    let linked = Link { values: values(&whole), ..link("app") };
    let guest = Guest::new(
        Arc::new(Running { serve: provider.serve().expect("serves"), _provider: provider }),
        linked,
    );
    guest.create_container("box").await.unwrap();
    s3.end().await;
}

#[tokio::test]
async fn a_body_of_more_than_the_limit_never_reaches_the_server() {
    let s3 = S3::start().await;
    let guest = Guest::new(s3.serving(&[("object_bytes_max", "1000")]).await, link("app"));
    let container = guest.create_container("box").await.unwrap();
    container.put("a", &bytes(1000, 1)).await.unwrap();
    fails("UM1124", container.put("b", &bytes(1001, 1)).await);
    assert_eq!(container.all_names().await, ["a"]);
    s3.end().await;
}
