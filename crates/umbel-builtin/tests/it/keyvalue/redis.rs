//! The keyvalue provider over a real Redis server.

use super::watch::{Listener, is_told_in_order, is_told_what_it_watches};
use super::{Bed, code, link, text};
use crate::server::{Server, program};
use futures::FutureExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use umbel_builtin::keyvalue::contract::{Draft, Limits, check};
use umbel_builtin::keyvalue_redis::KeyvalueRedis;
use umbel_core::Problem;
use umbel_provider::Health;
use umbel_supervisor::process::Spec;
use umbel_testkit::wait::wait_for;

/// A Redis server on a socket in a folder of its own.
struct Redis {
    server: Server,
    folder: TempDir,
    password: Option<&'static str>,
}

impl Redis {
    async fn start(options: &[&str]) -> Redis {
        let program =
            program("redis-server", &["/usr/bin", "/usr/local/bin"], "apt-get install redis-server");
        let folder = tempfile::tempdir().expect("a folder");
        let spec = Spec::new(program)
            .args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
            .args(["--unixsocket", &Redis::socket(folder.path()).display().to_string()])
            .args(["--dir", &folder.path().display().to_string()])
            .args(options);
        let password = options.iter().position(|option| *option == "--requirepass").map(|_| "s3cret-word");
        let redis = Redis { server: Server::start(spec), folder, password };
        redis.is_there().await;
        redis
    }

    fn socket(folder: &Path) -> PathBuf {
        folder.join("redis.sock")
    }

    async fn is_there(&self) {
        let socket = Redis::socket(self.folder.path());
        wait_for("redis listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok()).await;
    }

    fn url(&self) -> String {
        let socket = Redis::socket(self.folder.path());
        let password = self.password.map(|word| format!("?pass={word}")).unwrap_or_default();
        format!("unix://{}{password}", socket.display())
    }

    async fn try_bed(&self, config: &[(&str, &str)]) -> Result<Bed, Problem> {
        let url = self.url();
        let config = [config, &[("url", &*url)]].concat();
        Bed::start(KeyvalueRedis::new, self.folder.path(), &config).await
    }

    async fn bed(&self, config: &[(&str, &str)]) -> Bed {
        self.try_bed(config).await.unwrap_or_else(|problem| panic!("{problem:?}"))
    }

    /// What the server answers to a command.
    fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(self.url()).expect("a client");
        let mut connection = client.get_connection().expect("a connection");
        let mut ask = redis::cmd(command[0]);
        ask.arg(&command[1..]);
        ask.query(&mut connection).expect("an answer")
    }

    async fn end(mut self) {
        self.server.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_kept() {
    let redis = Redis::start(&[]).await;
    let limits = Limits { key_bytes_max: 1_024, value_bytes_max: 8 << 20 };
    let bed = redis.bed(&[]).await;
    check(&bed.server, limits).await;
    bed.stop().await;
    let left: Vec<String> = redis.ask(&["KEYS", "*:values:*"]);
    assert_eq!(left, [""; 0], "what was deleted takes no room");
    // And again, with what the first run has left in the server, in smaller pages.
    let bed = redis.bed(&[("page_keys_max", "7")]).await;
    check(&bed.server, limits).await;
    bed.stop().await;
    let used: Vec<String> = redis.ask(&["KEYS", "*:used"]);
    for used in used {
        assert_eq!(redis.ask::<String>(&["GET", &used]), "0", "{used}: what was counted is counted back");
    }
    redis.end().await;
}

#[tokio::test]
async fn hosts_see_the_same_and_prefixes_do_not() {
    let redis = Redis::start(&[]).await;
    let (one, two, other) = (redis.bed(&[]).await, redis.bed(&[]).await, redis.bed(&[("prefix", "x")]).await);
    one.bucket("app", "b").await.set("key", "value").await.expect("set");
    assert_eq!(text(two.bucket("app", "b").await.get("key").await).as_deref(), Some("value"));
    assert_eq!(text(other.bucket("app", "b").await.get("key").await), None);
    assert_eq!(redis.ask::<String>(&["HGET", "umbel:{app/app}:values:b", "key"]), "value");

    let (a, b) = (one.bucket("app", "b").await, two.bucket("app", "b").await);
    let stale = a.cas("key").await.expect("cas");
    b.set("key", "value").await.expect("set");
    assert!(stale.swap("late").await.is_err(), "another host has written meanwhile");
    let counts = (0..50).map(|n| if n % 2 == 0 { a.increment("n", 1) } else { b.increment("n", 1) }.boxed());
    for count in futures::future::join_all(counts).await {
        count.expect("increment");
    }
    assert_eq!(b.increment("n", 0).await, Ok(50));
    for bed in [one, two, other] {
        bed.stop().await;
    }
    redis.end().await;
}

#[tokio::test]
async fn watchers_hear_of_every_hosts_writes() {
    let redis = Redis::start(&[]).await;
    is_told_in_order(redis.bed(&[]).await).await;
    redis.ask::<()>(&["FLUSHALL"]);
    is_told_what_it_watches(redis.bed(&[]).await).await;

    let (here, there) = (redis.bed(&[]).await, redis.bed(&[]).await);
    let mut listener = Listener::start(&here, "app-watcher");
    here.provider.put_link(link("keyvalue", "app-watcher", &[], &[])).await.expect("a link");
    there.bucket("app", "default").await.set("a\n1 2\0", "x\ny").await.expect("set");
    listener.expect("on-set", "a\n1 2\0", Some("x\ny")).await;
    here.stop().await;
    there.stop().await;
    redis.end().await;
}

#[tokio::test]
async fn numbers_beyond_the_servers_are_counted() {
    let redis = Redis::start(&[]).await;
    let bed = redis.bed(&[]).await;
    let (one, two) = (bed.client("app"), bed.bucket("app", "b").await);
    let draft = umbel_builtin::keyvalue::contract::Client::new(&bed.server, Draft::One, "app");
    let old = draft.open("b").await.expect("open");
    two.set("n", (u64::MAX - 5).to_string()).await.expect("set");
    assert_eq!(old.increment("n", 5).await, Ok(u64::MAX.into()));
    assert_eq!(code(old.increment("n", 1).await), "UM1107");
    assert_eq!(code(two.increment("n", 1).await), "UM1107");
    for text in [" 41", "+41", "041"] {
        two.set("n", text).await.expect("set");
        assert_eq!(two.increment("n", 1).await, Ok(42), "`{text}`");
    }
    two.set("n", "-8").await.expect("set");
    assert_eq!(code(old.increment("n", 1).await), "UM1107", "a counter of the first draft is not negative");
    assert_eq!(two.increment("n", 0).await, Ok(-8), "and was not changed");
    two.set("n", i64::MIN.to_string()).await.expect("set");
    assert_eq!(code(two.increment("n", -1).await), "UM1107");
    two.set("n", "none").await.expect("set");
    assert_eq!(code(two.increment("n", -1).await), "UM1106");
    drop(one);
    bed.stop().await;
    redis.end().await;
}

#[tokio::test]
async fn an_application_has_its_limit() {
    let redis = Redis::start(&[]).await;
    let config = [("application_bytes_max", "1000"), ("value_bytes_max", "5000")];
    let bed = redis.bed(&config).await;
    let (greedy, modest) = (bed.bucket("greedy", "b").await, bed.bucket("modest", "b").await);
    greedy.set("key", vec![7; 900]).await.expect("it fits");
    assert_eq!(code(greedy.set("more", vec![7; 200]).await), "UM1104");
    assert_eq!(code(greedy.set_many(&[("a", "".into()), ("b", vec![7; 200].into())]).await), "UM1104");
    assert_eq!(greedy.exists("a").await, Ok(false), "a batch fits as a whole or not at all");
    let cas = greedy.cas("key").await.expect("cas");
    assert!(cas.swap(vec![7; 999]).await.is_err());
    modest.set("key", vec![7; 900]).await.expect("another has room");
    greedy.set("key", vec![7; 10]).await.expect("what shrinks is taken");
    greedy.increment("n", 1).await.expect("there is room");
    greedy.set("other", vec![7; 900]).await.expect("there is room");
    assert_eq!(
        code(greedy.increment("another", 1).await.map(drop).and(greedy.set("z", vec![7; 90]).await)),
        "UM1104"
    );
    greedy.delete_many(&["key", "other", "n", "another"]).await.expect("delete");
    assert_eq!(redis.ask::<String>(&["GET", "umbel:{app/greedy}:used"]), "0");
    let big = bed.client("greedy").open("c").await.expect("open");
    assert_eq!(code(big.set("k", vec![0; 5_001]).await), "UM1101");
    bed.stop().await;
    redis.end().await;
}

#[tokio::test]
async fn many_large_values_are_refused_before_they_are_sent() {
    let redis = Redis::start(&[]).await;
    let bed = redis.bed(&[]).await;
    let bucket = bed.bucket("app", "default").await;
    bucket.set("big", vec![1; 8 << 20]).await.expect("set");
    assert_eq!(bucket.get_many(&["big"; 8]).await.expect("64 MiB").len(), 8);
    assert_eq!(code(bucket.get_many(&["big"; 9]).await), "UM1103");
    bed.stop().await;
    redis.end().await;
}

#[tokio::test]
async fn a_lost_server_is_an_error_in_time_and_comes_back() {
    let mut redis = Redis::start(&[]).await;
    let bed = redis.bed(&[("timeout_ms", "300")]).await;
    let bucket = bed.bucket("app", "b").await;
    let mut listener = Listener::start(&bed, "app-watcher");
    bed.provider.put_link(link("keyvalue", "app-watcher", &[], &[])).await.expect("a link");
    bucket.set("key", "value").await.expect("set");
    listener.expect("on-set", "key", Some("value")).await;
    assert_eq!(bed.provider.health(), Health::Healthy);

    redis.server.end().await;
    let asked = tokio::time::timeout(Duration::from_secs(10), async {
        (code(bucket.get("key").await), code(bucket.set("key", "late").await), code(bucket.page(None).await))
    });
    let unreachable = || "UM1117".to_string();
    assert_eq!(asked.await.expect("in time"), (unreachable(), unreachable(), unreachable()));
    assert!(
        matches!(bed.provider.health(), Health::Unhealthy(problem) if problem.code.to_string() == "UM1117")
    );

    redis.server.again();
    redis.is_there().await;
    let mut again = bucket.get("key").await;
    for _ in 0..100 {
        if again.is_ok() {
            break;
        }
        again = bucket.get("key").await;
    }
    // `late` may have happened: its answer was lost, and nobody knows.
    assert!(again.expect("it is there again").is_some(), "and has kept its data");
    assert_eq!(bed.provider.health(), Health::Healthy);
    // The watcher hears again too, in its own time.
    bed.provider.put_link(link("keyvalue", "app-watcher", &[], &[])).await.expect("the same link");
    wait_for("changes are listened for again", || {
        redis.ask::<(String, u64)>(&["PUBSUB", "NUMSUB", "umbel:changes"]).1 == 1
    })
    .await;
    bucket.set("key", "again").await.expect("set");
    listener.expect("on-set", "key", Some("again")).await;
    bed.stop().await;
    redis.end().await;
}

#[tokio::test]
async fn a_provider_starts_before_its_server() {
    let mut redis = Redis::start(&[]).await;
    redis.server.end().await;
    let bed = redis.bed(&[("timeout_ms", "200")]).await;
    assert!(matches!(bed.provider.health(), Health::Unhealthy(_)));
    let bucket = bed.bucket("app", "b").await;
    assert_eq!(code(bucket.get("key").await), "UM1117");
    bed.stop().await;
    assert_eq!(code(bucket.get("key").await), "UM1109", "stopped is stopped");
}

#[tokio::test]
async fn a_password_is_used_and_never_told() {
    let redis = Redis::start(&["--requirepass", "s3cret-word"]).await;
    let bed = redis.bed(&[]).await;
    bed.bucket("app", "b").await.set("key", "value").await.expect("set");
    let wrong = format!("unix://{}?pass=wr0ng-word", Redis::socket(redis.folder.path()).display());
    let denied =
        Bed::start(KeyvalueRedis::new, redis.folder.path(), &[("url", &wrong)]).await.expect("starts");
    let refused = denied.bucket("app", "b").await.get("key").await;
    assert_eq!(code(refused.clone()), "UM1118");
    assert!(!format!("{refused:?}").contains("word"), "{refused:?}");

    // A link may lead to another server, here the same with the right password.
    let url = redis.url();
    let to = [("url", &*url)];
    denied.provider.put_link(link("app-component", "keyvalue", &[], &to)).await.expect("a link");
    let linked = denied.client("app").with(&to).open("b").await.expect("open");
    assert_eq!(text(linked.get("key").await).as_deref(), Some("value"));
    denied.provider.del_link(&link("app-component", "keyvalue", &[], &to).link.key()).await.expect("del");
    assert_eq!(text(linked.get("key").await).as_deref(), Some("value"), "what is open stays open");
    for bed in [bed, denied] {
        bed.stop().await;
    }
    redis.end().await;
}

#[tokio::test]
async fn wrong_config_is_refused_without_repeating_secrets() {
    let redis = Redis::start(&[]).await;
    let secret = "pass:w0rd@";
    for url in [
        format!("http://user:{secret}host"),
        format!("redis://user:{secret}host:notaport"),
        format!("redis//{secret}"),
        "unix://".into(),
        String::new(),
    ] {
        let start = Bed::start(KeyvalueRedis::new, redis.folder.path(), &[("url", &url)]).await;
        let Err(problem) = start else { panic!("`{url}` is no address") };
        assert_eq!(problem.code.to_string(), "UM1108", "{url}");
        assert!(!format!("{problem:?}").contains("w0rd"), "{problem:?}");
    }
    for (key, value) in
        [("prefix", "a{b}"), ("prefix", ""), ("timeout_ms", "0"), ("url_max", "1"), ("total_bytes_max", "1")]
    {
        let problem = redis.try_bed(&[(key, value)]).await.err().expect("refused");
        assert_eq!(problem.code.to_string(), "UM1108", "{key}");
    }
    let bed = redis.bed(&[]).await;
    for target in [[("url", "ftp://host")], [("scope", "all")], [("prefix", "x")]] {
        let wrong = bed.provider.put_link(link("app-component", "keyvalue", &[], &target)).await;
        assert_eq!(wrong.expect_err("refused").code.to_string(), "UM1108");
    }
    assert_eq!(code(bed.client("app").with(&[("url", "ftp://x")]).open("b").await.map(drop)), "UM1108");
    // Something else at the place of a bucket is left alone.
    redis.ask::<()>(&["SET", "umbel:{app/app}:values:b", "mine"]);
    let bucket = bed.bucket("app", "b").await;
    assert_eq!(code(bucket.get("key").await), "UM1118");
    assert_eq!(code(bucket.set("key", "v").await), "UM1118");
    assert_eq!(redis.ask::<String>(&["GET", "umbel:{app/app}:values:b"]), "mine");
    bed.stop().await;
    redis.end().await;
}
