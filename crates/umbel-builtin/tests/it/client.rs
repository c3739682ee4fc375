use crate::bed::{Bed, echo, handler, says, text};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use umbel_builtin::http_client::HttpClient;
use umbel_builtin::http_server::Limits;
use umbel_core::Problem;
use umbel_core::id::ProviderId;
use umbel_core::link::{Contract, Distance, Link, LinkKey, ResolvedLink, Values};
use umbel_provider::http::{Body, Outgoing, OutgoingOptions, Request, Response};
use umbel_provider::{Factory, Provider, StartContext};

fn values(items: &[(&str, &str)]) -> Values {
    items.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect()
}

pub(crate) struct Client {
    provider: Arc<dyn Provider>,
    outgoing: Arc<dyn Outgoing>,
}

pub(crate) async fn start(config: &[(&str, &str)]) -> Result<Client, Problem> {
    let cx = StartContext {
        id: ProviderId::new("client").expect("an id"),
        config: values(config),
        secrets: Default::default(),
        targets: Arc::new(crate::bed::Components::default()),
        folder: std::path::PathBuf::new(),
    };
    let provider = HttpClient::new().start(cx).await?;
    let outgoing = provider.http_outgoing().expect("it is an http-client");
    Ok(Client { provider, outgoing })
}

fn link(config: &[(&str, &str)]) -> ResolvedLink {
    ResolvedLink::new(
        Link {
            source_id: "component".into(),
            target: "client".into(),
            name: "default".into(),
            contract: Contract::new("wasi", "http", &["outgoing-handler"]),
            source_config: Vec::new(),
            target_config: Vec::new(),
            distance: Distance::Any,
        },
        Values::new(),
        values(config),
    )
}

fn key() -> LinkKey {
    link(&[]).link.key()
}

pub(crate) fn get(url: &str) -> Request {
    http::Request::get(url).body(Body::new(Empty::<Bytes>::new().map_err(|e| match e {}))).expect("a request")
}

impl Client {
    async fn call(&self, request: Request) -> Result<Response, Problem> {
        self.outgoing.send(&key(), request, OutgoingOptions::default()).await
    }

    pub(crate) async fn text(&self, request: Request) -> Result<(u16, String), Problem> {
        let response = self.call(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    async fn code(&self, url: &str) -> String {
        self.call(get(url)).await.expect_err(url).code.to_string()
    }
}

#[tokio::test]
async fn requests_go_out_and_connections_are_used_again() {
    let bed = Bed::serving(
        Limits::default(),
        handler(|request| async move {
            let host = request.headers()["host"].to_str().expect("text").to_string();
            Ok(text(format!("{host} {}", request.uri())))
        }),
    )
    .await;
    let client = start(&[]).await.expect("it starts");
    let url = format!("http://127.0.0.1:{}/path?q=1", bed.port);
    for _ in 0..20 {
        let expect = format!("127.0.0.1:{} /path?q=1", bed.port);
        assert_eq!(client.text(get(&url)).await.expect("an answer"), (200, expect));
    }
    let connections: u64 = bed.server.stats().connections.iter().sum();
    assert_eq!(connections, 1, "twenty requests, one connection");
    client.provider.stop(Duration::from_secs(5)).await;
    crate::bed::wait_for("idle connections are closed", || {
        bed.server.stats().connections.iter().sum::<u64>() == 0
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced() {
    let limits = Limits { idle_timeout: Duration::from_millis(100), ..Limits::default() };
    let bed = Bed::serving(limits, says("x")).await;
    let client = start(&[]).await.expect("it starts");
    let url = format!("http://127.0.0.1:{}/", bed.port);
    for _ in 0..3 {
        assert_eq!(client.text(get(&url)).await.expect("an answer"), (200, "x".into()));
        crate::bed::wait_for("it is closed", || bed.server.stats().connections.iter().sum::<u64>() == 0)
            .await;
    }
}

#[tokio::test]
async fn http2_with_prior_knowledge_shares_one_connection() {
    let bed = Bed::serving(Limits::default(), echo()).await;
    let client = start(&[("http2", "prior-knowledge")]).await.expect("it starts");
    client.text(get(&format!("http://127.0.0.1:{}/", bed.port))).await.expect("an answer");
    let calls = (0..20u8).map(|n| {
        let body = Body::new(Full::new(Bytes::from(vec![b'a' + n; 70_000])).map_err(|e| match e {}));
        let request =
            http::Request::post(format!("http://127.0.0.1:{}/", bed.port)).body(body).expect("a request");
        let client = &client;
        async move {
            let (status, text) = client.text(request).await.expect("an answer");
            assert!(status == 200 && text.len() == 70_000 && text.bytes().all(|b| b == b'a' + n));
        }
    });
    futures::future::join_all(calls).await;
    assert_eq!(bed.server.stats().connections.iter().sum::<u64>(), 1);
}

#[tokio::test]
async fn idle_connections_are_closed_whatever_they_speak() {
    let bed = Bed::serving(Limits::default(), says("x")).await;
    for http2 in ["off", "prior-knowledge"] {
        let client = start(&[("http2", http2), ("idle_timeout_ms", "50")]).await.expect("it starts");
        client.text(get(&format!("http://127.0.0.1:{}/", bed.port))).await.expect("an answer");
        crate::bed::wait_for("the idle connection is closed", || {
            bed.server.stats().connections.iter().sum::<u64>() == 0
        })
        .await;
        client.text(get(&format!("http://127.0.0.1:{}/", bed.port))).await.expect("another connection");
    }
}

#[tokio::test]
async fn open_connections_are_limited_over_all_hosts() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let opened = gate.clone();
    let serve = move || {
        let gate = gate.clone();
        handler(move |request| {
            let gate = gate.clone();
            async move {
                if request.uri().path() == "/held" {
                    gate.acquire().await.expect("never closed").forget();
                }
                Ok(text("x"))
            }
        })
    };
    let (one, other) =
        (Bed::serving(Limits::default(), serve()).await, Bed::serving(Limits::default(), serve()).await);
    let patient =
        OutgoingOptions { connect_timeout: Some(crate::bed::PATIENCE), ..OutgoingOptions::default() };
    let url = |bed: &Bed, path: &str| format!("http://127.0.0.1:{}{path}", bed.port);
    let config = [("connections_max", "2"), ("connect_timeout_ms", "300"), ("http2", "off")];
    let client = start(&config).await.expect("it starts");
    // Idle connections make place for others.
    for bed in [&one, &other, &one, &other] {
        client.text(get(&url(bed, "/"))).await.expect("an answer");
    }
    let (first, second) = (client.text(get(&url(&one, "/held"))), client.text(get(&url(&other, "/held"))));
    let full = async {
        let in_flight = || [&one, &other].map(|bed| bed.server.stats().routes[0].in_flight);
        crate::bed::wait_for("both are in use", || in_flight() == [1, 1]).await;
        let refused = client.call(get(&url(&one, "/"))).await.expect_err("there is no place");
        assert_eq!(refused.code.to_string(), "UM0531");
        assert!(refused.message.contains("2 are open"), "{refused}");
        // One that waits gets the place of one that ends, which is not kept for its own host.
        let mut waiting = client.outgoing.send(&key(), get(&url(&one, "/")), patient);
        assert!(futures::poll!(&mut waiting).is_pending());
        opened.add_permits(2);
        assert_eq!(waiting.await.expect("an answer").status(), 200);
    };
    let (first, second, ()) = tokio::join!(first, second, full);
    assert_eq!((first.expect("an answer").0, second.expect("an answer").0), (200, 200));
    assert_eq!(client.text(get(&url(&one, "/"))).await.expect("there is place again").0, 200);
}

#[tokio::test]
async fn redirects_are_answers() {
    let bed = Bed::serving(
        Limits::default(),
        handler(|_| async {
            let mut response = text("");
            *response.status_mut() = http::StatusCode::FOUND;
            response.headers_mut().insert("location", "/elsewhere".parse().expect("a value"));
            Ok(response)
        }),
    )
    .await;
    let client = start(&[]).await.expect("it starts");
    assert_eq!(client.text(get(&format!("http://127.0.0.1:{}/", bed.port))).await.expect("an answer").0, 302);
    assert_eq!(bed.server.stats().routes[0].requests, 1);
}

#[tokio::test]
async fn failures_have_codes_and_causes() {
    let client = start(&[("connect_timeout_ms", "5000")]).await.expect("it starts");
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    assert_eq!(client.code("/relative").await, "UM0520");
    assert_eq!(client.code("ftp://example.com/").await, "UM0520");
    assert_eq!(client.code("http://name.invalid/").await, "UM0521");
    let refused = client.call(get(&format!("http://{closed}/"))).await.expect_err("nobody listens");
    assert_eq!(refused.code.to_string(), "UM0522");
    assert!(refused.causes.iter().any(|cause| cause.contains("refused")), "{refused:?}");
    let bed = Bed::serving(Limits::default(), says("plain")).await;
    let tls = client.call(get(&format!("https://127.0.0.1:{}/", bed.port))).await.expect_err("no TLS there");
    assert_eq!(tls.code.to_string(), "UM0523");
    let wrong = start(&[("ca_file", "/does/not/exist.pem")]).await.err().expect("no such file");
    assert_eq!(wrong.code.to_string(), "UM0529");
}

#[tokio::test]
async fn every_wait_has_its_own_limit() {
    let bed = Bed::serving(
        Limits::default(),
        handler(|request| async move {
            if request.uri().path() == "/head" {
                std::future::pending::<()>().await;
            }
            let frames = futures::StreamExt::chain(
                futures::stream::iter([Ok(http_body::Frame::data(Bytes::from_static(b"half")))]),
                futures::stream::pending(),
            );
            Ok(Response::new(Body::new(http_body_util::StreamBody::new(frames))))
        }),
    )
    .await;
    let config = [
        ("first_byte_timeout_ms", "100"),
        ("between_bytes_timeout_ms", "100"),
        ("connect_timeout_ms", "200"),
    ];
    let client = start(&config).await.expect("it starts");
    let base = format!("http://127.0.0.1:{}", bed.port);
    assert_eq!(client.code(&format!("{base}/head")).await, "UM0525");
    let response = client.call(get(&format!("{base}/body"))).await.expect("a head");
    let error = response.into_body().collect().await.expect_err("the body stops");
    assert!(error.to_string().starts_with("UM0526"), "{error}");
    // A listener that accepts nothing: TLS never begins.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address");
    assert_eq!(client.code(&format!("https://{address}/")).await, "UM0524");
}

#[tokio::test]
async fn a_server_that_breaks_off_or_talks_rubbish() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let client = start(&[]).await.expect("it starts");
    for answer in
        ["", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"]
    {
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        };
        let (code, ()) = tokio::join!(client.code(&url), serve);
        assert_eq!(code, "UM0527", "{answer:?}");
    }
}

#[tokio::test]
async fn private_addresses_can_be_denied_per_link() {
    let bed = Bed::serving(Limits::default(), says("x")).await;
    let client = start(&[]).await.expect("it starts");
    let url = format!("http://localhost:{}/", bed.port);
    assert_eq!(client.text(get(&url)).await.expect("an answer").0, 200);
    client.provider.put_link(link(&[("deny_private", "true")])).await.expect("a link");
    assert_eq!(client.code(&url).await, "UM0528");
    assert_eq!(client.code("http://169.254.169.254/latest/meta-data").await, "UM0528");
    client.provider.del_link(&key()).await.expect("deleted");
    assert_eq!(client.text(get(&url)).await.expect("an answer").0, 200);
    let wrong = client.provider.put_link(link(&[("deny_privat", "true")])).await.expect_err("a slip");
    assert_eq!(wrong.code.to_string(), "UM0529");
}

#[tokio::test]
async fn a_request_body_that_fails_is_the_callers() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = seen.clone();
    let bed = Bed::serving(
        Limits::default(),
        handler(move |request| {
            let counter = counter.clone();
            async move {
                if request.into_body().collect().await.is_err() {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                Ok(text("x"))
            }
        }),
    )
    .await;
    let client = start(&[]).await.expect("it starts");
    let frames = [Ok(http_body::Frame::data(Bytes::from_static(b"half"))), Err("the guest trapped".into())];
    let body = Body::new(http_body_util::StreamBody::new(futures::stream::iter(frames)));
    let request =
        http::Request::post(format!("http://127.0.0.1:{}/", bed.port)).body(body).expect("a request");
    assert_eq!(client.call(request).await.expect_err("no answer").code.to_string(), "UM0530");
    crate::bed::wait_for("the server saw it end", || seen.load(Ordering::Relaxed) <= 1).await;
}
