//! The http-client against servers that speak TLS, with authorities made for the test.

use crate::client::{Client, get, start};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// An authority, as a PEM file.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: tempfile::NamedTempFile,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        let pem = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(pem.path(), certificate.pem()).expect("writes");
        Authority { issuer: Issuer::new(params, key), pem }
    }

    fn file(&self) -> &str {
        self.pem.path().to_str().expect("text")
    }

    /// The config of a server with these names that offers these protocols.
    fn server(&self, names: &[&str], protocols: &[&str]) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let params = CertificateParams::new(names).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("they fit");
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// Answers over TLS with the version of HTTP that was spoken.
struct Server {
    port: u16,
    accepted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(config: Arc<ServerConfig>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (acceptor, counter) = (TlsAcceptor::from(config), accepted.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, counter) = (acceptor.clone(), counter.clone());
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    counter.fetch_add(1, Ordering::Relaxed);
                    let service = hyper::service::service_fn(|request: http::Request<_>| async move {
                        let _: &hyper::body::Incoming = request.body();
                        Ok::<_, std::convert::Infallible>(http::Response::new(format!(
                            "{:?}",
                            request.version()
                        )))
                    });
                    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let io = TokioIo::new(stream);
                    let _ = if is_h2 {
                        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                            .serve_connection(io, service)
                            .await
                    } else {
                        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
                    };
                });
            }
        });
        Server { port, accepted, _tasks: tasks }
    }

    async fn asked_by(&self, client: &Client) -> String {
        let url = format!("https://localhost:{}/", self.port);
        match client.text(get(&url)).await {
            Ok((status, text)) => format!("{status} {text}"),
            Err(problem) => problem.code.to_string(),
        }
    }
}

#[tokio::test]
async fn the_protocol_is_what_both_sides_speak_and_the_connection_is_used_again() {
    let authority = Authority::new();
    let cases: [(&str, &[&str], &str); 5] = [
        ("auto", &["h2", "http/1.1"], "200 HTTP/2.0"),
        ("auto", &["http/1.1"], "200 HTTP/1.1"),
        ("auto", &[], "200 HTTP/1.1"),
        ("off", &["h2", "http/1.1"], "200 HTTP/1.1"),
        ("prior-knowledge", &["h2", "http/1.1"], "200 HTTP/2.0"),
    ];
    for (http2, offered, expect) in cases {
        let server = Server::start(authority.server(&["localhost"], offered)).await;
        let client = start(&[("ca_file", authority.file()), ("http2", http2)]).await.expect("it starts");
        for _ in 0..3 {
            assert_eq!(server.asked_by(&client).await, expect, "{http2} and {offered:?}");
        }
        assert_eq!(server.accepted.load(Ordering::Relaxed), 1, "{http2} and {offered:?}");
    }
}

#[tokio::test]
async fn only_a_certificate_of_a_known_authority_for_that_name_is_accepted() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let good = Server::start(authority.server(&["localhost"], &[])).await;
    let other_name = Server::start(authority.server(&["example.com"], &[])).await;
    let client = start(&[("ca_file", authority.file())]).await.expect("it starts");
    assert_eq!(good.asked_by(&client).await, "200 HTTP/1.1");
    assert_eq!(other_name.asked_by(&client).await, "UM0523");
    for client in [start(&[("ca_file", stranger.file())]).await, start(&[]).await] {
        let client = client.expect("it starts");
        assert_eq!(good.asked_by(&client).await, "UM0523");
    }
    assert_eq!(good.accepted.load(Ordering::Relaxed), 1, "nothing was sent over the others");
}
