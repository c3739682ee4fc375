//! Messaging over a real NATS server.

use super::bed::{Bed, PATIENCE, handler, link_to};
use super::contract;
use crate::server::{Server, free_port, program};
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use umbel_builtin::messaging_nats::MessagingNats;
use umbel_core::Problem;
use umbel_provider::Health;
use umbel_supervisor::cores::Cores;
use umbel_supervisor::process::Spec;
use umbel_testkit::wait::wait_for;
use umbel_wit::{Resource, Value};

/// Waits until the server has carried out what somebody has asked of it: a flush says only that it was sent.
async fn settled(stranger: &async_nats::Client) {
    stranger.request("nobody", "".into()).await.expect_err("nobody subscribes");
}

/// A NATS server.
struct Nats {
    server: Server,
    port: u16,
    user: Option<&'static str>,
}

impl Nats {
    async fn start(user: Option<&'static str>) -> Nats {
        Nats::start_with(user, &[]).await
    }

    async fn start_with(user: Option<&'static str>, options: &[&str]) -> Nats {
        let program =
            program("nats-server", &["~/.cache/umbel-tools/nats-server-2.15.1/bin"], "cargo xtask servers");
        let port = free_port();
        let mut spec =
            Spec::new(program).args(["--addr", "127.0.0.1", "--port", &port.to_string()]).args(options);
        if let Some((name, password)) = user.and_then(|user| user.split_once(':')) {
            spec = spec.args(["--user", name, "--pass", password]);
        }
        let nats = Nats { server: Server::start(spec), port, user };
        nats.is_there().await;
        nats
    }

    async fn is_there(&self) {
        wait_for("nats listens", || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()).await;
    }

    fn uri(&self) -> String {
        let user = self.user.map(|user| format!("{user}@")).unwrap_or_default();
        format!("nats://{user}127.0.0.1:{}", self.port)
    }

    async fn try_bed(&self, config: &[(&str, &str)]) -> Result<Bed, Problem> {
        let cores = Cores::start(2, "test").expect("threads");
        let uri = self.uri();
        let config = [&[("cluster_uris", &*uri)][..], config].concat();
        Bed::with(Arc::new(MessagingNats::new(cores.clone())), cores, &config).await
    }

    async fn bed(&self, config: &[(&str, &str)]) -> Bed {
        self.try_bed(config).await.unwrap_or_else(|problem| panic!("{problem:?}"))
    }

    /// Somebody else at the server.
    async fn stranger(&self) -> async_nats::Client {
        async_nats::connect(self.uri()).await.expect("connects")
    }

    async fn end(mut self) {
        self.server.end().await;
    }
}

#[tokio::test]
async fn the_contract_is_kept() {
    let nats = Nats::start(None).await;
    // Each bed has subjects of its own: what one leaves behind is not heard by the next.
    let number = AtomicU32::new(0);
    contract::suite(|| {
        let prefix = format!("test-{}", number.fetch_add(1, Ordering::Relaxed));
        let nats = &nats;
        async move { nats.bed(&[("subjects", "application"), ("prefix", &prefix)]).await }
    })
    .await;
    nats.end().await;
}

#[tokio::test]
async fn plain_subjects_are_those_of_everybody() {
    let nats = Nats::start(None).await;
    let (bed, stranger) = (nats.bed(&[]).await, nats.stranger().await);
    let mut ear = bed.ear("app-ear", "orders.*").await;
    let mut heard = stranger.subscribe("orders.>").await.expect("subscribes");
    settled(&stranger).await;
    bed.guest("other-guest").publish("orders.new", "one").await.expect("published");
    assert_eq!(ear.says().await, ("orders.new".into(), "one".into()), "also of another application");
    let message = tokio::time::timeout(PATIENCE, heard.next()).await.expect("in time").expect("a message");
    assert_eq!((message.subject.as_str(), &message.payload[..]), ("orders.new", b"one".as_slice()));

    // Asked from outside, and asking outside.
    bed.answers("app-echo", "echo|workers", |body| body.to_uppercase()).await;
    // Their order is kept, so that the answer says that the component has subscribed.
    assert_eq!(bed.guest("app-guest").request("echo", "hi", 20_000).await.expect("a reply").body, "HI");
    let reply = stranger.request("echo", "from outside".into()).await.expect("a reply");
    assert_eq!(&reply.payload[..], b"FROM OUTSIDE");
    let mut asked = stranger.subscribe("outside").await.expect("subscribes");
    settled(&stranger).await;
    let guest = bed.guest("app-guest");
    let request = guest.request("outside", "you", 20_000);
    let answer = async {
        let message =
            tokio::time::timeout(PATIENCE, asked.next()).await.expect("in time").expect("a request");
        stranger.publish(message.reply.expect("a reply-to"), "me".into()).await.expect("published");
        stranger.flush().await.expect("flushes");
    };
    assert_eq!(futures::join!(request, answer).0.expect("a reply").body, "me");

    // Only what names the same space shares it, below a prefix.
    let mut town = bed.ear_with("app-town", &[("subscriptions", "news"), ("space", "town")]).await;
    let mut square = stranger.subscribe("umbel.space-town.>").await.expect("subscribes");
    settled(&stranger).await;
    bed.guest("app-guest").publish("news", "plain").await.expect("published");
    bed.guest_with("shop-guest", &[("space", "town")]).publish("news", "shared").await.expect("published");
    assert_eq!(town.says().await, ("news".into(), "shared".into()));
    let message = tokio::time::timeout(PATIENCE, square.next()).await.expect("in time").expect("a message");
    assert_eq!(message.subject.as_str(), "umbel.space-town.news");
    bed.provider.stop(PATIENCE).await;
    nats.end().await;
}

#[tokio::test]
async fn of_a_group_across_hosts_one_hears() {
    let nats = Nats::start(None).await;
    let (one, two) = (nats.bed(&[]).await, nats.bed(&[]).await);
    let mut ears = [one.ear("app-worker", "work|team").await, two.ear("app-worker", "work|team").await];
    let mut all = two.ear("app-all", "work").await;
    // Both have subscribed: a request of each finds its own.
    for bed in [&one, &two] {
        bed.answers("app-ready", "ready", |body| body.into()).await;
        bed.guest("app-guest").request("ready", "?", 20_000).await.expect("subscribed");
    }
    for n in 0..40 {
        one.guest("app-guest").publish("work", format!("{n}")).await.expect("published");
    }
    let (mut shares, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        let [first, second] = &mut ears;
        let heard = tokio::select! { heard = first.says() => heard, heard = second.says() => heard };
        shares.push(heard.1.parse::<u32>().expect("a number"));
        whole.push(all.says().await.1.parse::<u32>().expect("a number"));
    }
    shares.sort_unstable();
    whole.sort_unstable();
    assert_eq!(shares, (0..40).collect::<Vec<_>>(), "each message once");
    assert_eq!(whole, shares);
    for bed in [one, two] {
        bed.provider.stop(PATIENCE).await;
    }
    nats.end().await;
}

#[tokio::test]
async fn content_type_and_metadata_travel_in_headers() {
    let nats = Nats::start(None).await;
    let (bed, stranger) = (nats.bed(&[]).await, nats.stranger().await);
    let mut heard = stranger.subscribe("t").await.expect("subscribes");
    settled(&stranger).await;
    let guest = bed.guest("app-guest");
    let (client, message) = (guest.connect().await, guest.message("body").await);
    guest.on(&message, "set-content-type", vec!["text/plain".into()]).await;
    guest.on(&message, "add-metadata", vec!["ü\n".into(), "line\r\nbreak".into()]).await;
    let args = vec![Value::Borrow(client), "t".into(), Value::Own(message)];
    let sent = guest.wasi("producer", "send", args).await;
    assert!(matches!(sent, Ok(Some(Value::Result(Ok(None))))), "{sent:?}");
    let message = tokio::time::timeout(PATIENCE, heard.next()).await.expect("in time").expect("a message");
    let headers = message.headers.expect("headers");
    assert_eq!(headers.get("content-type").map(|value| value.as_str()), Some("text/plain"));
    let metadata = headers.get("umbel-metadata").map(|value| value.as_str());
    assert_eq!(metadata, Some(r#"[["ü\n","line\r\nbreak"]]"#));

    // What comes with headers of others has them as metadata.
    let (told, mut keeps) = tokio::sync::mpsc::channel::<Resource>(1);
    let keep = super::bed::export(move |mut call| {
        told.try_send(super::bed::resource(call.args.remove(0))).expect("the test listens");
        async { Ok(Some(Value::unit())) }
    });
    bed.set("app-keeps", "wasi:messaging/incoming-handler", keep);
    bed.provider
        .put_link(link_to("app-keeps", super::bed::incoming(), &[("subscriptions", "u")]))
        .await
        .expect("a link");
    bed.answers("app-ready", "ready", |body| body.into()).await;
    guest.request("ready", "?", 20_000).await.expect("subscribed");
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("trace", "abc");
    headers.insert("umbel-metadata", "no list");
    stranger.publish_with_headers("u", headers, "x".into()).await.expect("published");
    let kept = tokio::time::timeout(PATIENCE, keeps.recv()).await.expect("in time").expect("a message");
    let metadata = format!("{:?}", guest.on(&kept, "metadata", vec![]).await);
    assert!(
        metadata.contains("trace") && metadata.contains("abc") && !metadata.contains("no list"),
        "{metadata}"
    );
    bed.provider.stop(PATIENCE).await;
    nats.end().await;
}

#[tokio::test]
async fn a_lost_server_is_an_error_in_time_and_comes_back() {
    let mut nats = Nats::start(None).await;
    let bed = nats.bed(&[]).await;
    let mut ear = bed.ear("app-ear", "s").await;
    bed.answers("app-echo", "echo", |body| body.to_uppercase()).await;
    let guest = bed.guest("app-guest");
    assert_eq!(guest.request("echo", "hi", 20_000).await.expect("a reply").body, "HI");
    assert_eq!(bed.provider.health(), Health::Healthy);

    nats.server.end().await;
    wait_for("the loss is noticed", || bed.provider.health() != Health::Healthy).await;
    assert!(
        matches!(bed.provider.health(), Health::Unhealthy(problem) if problem.code.to_string() == "UM1154")
    );
    let error = guest.publish("s", "lost").await.expect_err("no connection");
    assert!(error.contains("UM1154"), "{error}");
    let asked = tokio::time::timeout(Duration::from_secs(10), guest.request("echo", "hi", 60_000));
    let error = asked.await.expect("at once").expect_err("no connection");
    assert!(error.contains("UM1154"), "{error}");
    // A link that is put meanwhile is subscribed as soon as there is a server.
    let mut later = bed.ear("app-later", "later").await;

    nats.server.again();
    wait_for("it is connected again", || bed.provider.health() == Health::Healthy).await;
    // Subscriptions come back with the connection.
    let mut reply = guest.request("echo", "again", 1_000).await;
    for _ in 0..20 {
        if reply.is_ok() {
            break;
        }
        reply = guest.request("echo", "again", 1_000).await;
    }
    assert_eq!(reply.expect("a reply").body, "AGAIN");
    guest.publish("s", "again").await.expect("published");
    assert_eq!(ear.says().await.1, "again", "what was refused was not kept");
    guest.publish("later", "x").await.expect("published");
    assert_eq!(later.says().await.1, "x");
    bed.provider.stop(PATIENCE).await;
    nats.end().await;
}

#[tokio::test]
async fn passwords_are_used_and_never_told() {
    let nats = Nats::start(Some("umbel:s3cret-word")).await;
    let bed = nats.bed(&[]).await;
    let mut ear = bed.ear("app-ear", "s").await;
    bed.guest("app-guest").publish("s", "hi").await.expect("published");
    assert_eq!(ear.says().await.1, "hi");

    // A link may name another server, here the same without the password, which does not let it in.
    let other = format!("nats://umbel:wr0ng@127.0.0.1:{}", nats.port);
    let refused = bed.guest_with("app-guest", &[("cluster_uris", &other)]);
    let error = refused.request("s", "", 500).await.expect_err("not let in");
    assert!(error.contains("UM1144") || error.contains("UM1154"), "{error}");
    assert!(!error.contains("wr0ng"), "{error}");
    for (key, value) in [
        ("cluster_uris", "http://umbel:s3cret-word@host"),
        ("client_seed", "s3cret-word"),
        ("client_jwt", "s3cret-word"),
        ("subjects", "mine"),
        ("tls_ca_file", "/nowhere/ca.pem"),
    ] {
        let config = [("subscriptions", "s"), (key, value)];
        let problem = bed.provider.put_link(link_to("app-x", handler(), &config)).await.expect_err(key);
        assert_eq!(problem.code.to_string(), "UM1140", "{key}");
        assert!(!format!("{problem:?}").contains("s3cret-word"), "{problem:?}");
    }
    assert_eq!(
        nats.try_bed(&[("cluster_uris", "nowhere at all")])
            .await
            .err()
            .map(|p| p.code.to_string())
            .as_deref(),
        Some("UM1140")
    );
    bed.provider.stop(PATIENCE).await;
    nats.end().await;
}

#[tokio::test]
async fn a_seed_signs_in_over_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("a certificate");
    std::fs::write(path("crt"), certificate.cert.pem()).expect("writes");
    std::fs::write(path("key"), certificate.signing_key.serialize_pem()).expect("writes");
    let user = nkeys::KeyPair::new_user();
    let config = format!(
        "authorization {{ users: [{{ nkey: {} }}] }}\ntls {{ cert_file: {:?}, key_file: {:?} }}",
        user.public_key(),
        path("crt"),
        path("key")
    );
    std::fs::write(path("conf"), config).expect("writes");
    let nats = Nats::start_with(None, &["--config", &path("conf")]).await;
    let uri = format!("tls://localhost:{}", nats.port);
    let (seed, ca_file) = (user.seed().expect("a seed"), path("crt"));
    let cores = Cores::start(2, "test").expect("threads");
    let factory = Arc::new(MessagingNats::new(cores.clone()));
    let config = [("cluster_uris", &*uri), ("client_seed", &seed), ("tls_ca_file", &ca_file)];
    let bed = Bed::with(factory.clone(), cores.clone(), &config).await.expect("it starts");
    bed.answers("app-echo", "echo", |body| body.to_uppercase()).await;
    assert_eq!(bed.guest("app-guest").request("echo", "hi", 20_000).await.expect("a reply").body, "HI");

    // Another user, and a certificate of nobody whom we trust.
    let other = nkeys::KeyPair::new_user().seed().expect("a seed");
    for config in [
        [("cluster_uris", &*uri), ("client_seed", &other), ("tls_ca_file", &ca_file)],
        [("cluster_uris", &*uri), ("client_seed", &seed), ("prefix", "x")],
    ] {
        let refused = Bed::with(factory.clone(), cores.clone(), &config).await.expect("it starts");
        let error = refused.guest("app-guest").request("echo", "hi", 1_000).await.expect_err("not let in");
        assert!(error.contains("UM1144") || error.contains("UM1154"), "{error}");
        assert!(!error.contains(&seed) && !error.contains(&other), "{error}");
    }
    bed.provider.stop(PATIENCE).await;
    nats.end().await;
}
