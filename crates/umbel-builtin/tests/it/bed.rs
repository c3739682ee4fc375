//! A server on a free port, components that are closures, and a client that writes bytes.

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use umbel_builtin::http_server::{Config, HttpServer, Limits};
use umbel_core::Problem;
use umbel_core::id::ProviderId;
use umbel_core::link::{Contract, Distance, Link, ResolvedLink, Values};
use umbel_provider::http::{Body, Handler, Request, Response};
use umbel_provider::{Factory, Provider, StartContext, Targets};
use umbel_supervisor::cores::Cores;

/// Long enough for a loaded machine; reached only by a failing test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the condition holds.
pub(crate) async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < end, "did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

struct Closure<F>(F);

impl<F, Fut> Handler for Closure<F>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    fn call(&self, request: Request) -> BoxFuture<'static, Result<Response, Problem>> {
        Box::pin((self.0)(request))
    }
}

pub(crate) fn handler<F, Fut>(answer: F) -> Arc<dyn Handler>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    Arc::new(Closure(answer))
}

pub(crate) fn text(text: impl Into<Bytes>) -> Response {
    Response::new(Body::new(Full::new(text.into()).map_err(|never| match never {})))
}

/// Answers with the given text.
pub(crate) fn says(words: &'static str) -> Arc<dyn Handler> {
    handler(move |_| async move { Ok(text(words)) })
}

/// Answers with the request's body as it comes, trailers included.
pub(crate) fn echo() -> Arc<dyn Handler> {
    handler(|request| async move { Ok(Response::new(request.into_body())) })
}

#[derive(Default)]
pub(crate) struct Components(Mutex<HashMap<String, Component>>);

struct Component {
    handler: Option<Arc<dyn Handler>>,
    app: String,
}

impl Components {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Component>> {
        self.0.lock().expect("no test panics with the lock held")
    }

    pub(crate) fn set(&self, id: &str, app: &str, handler: Option<Arc<dyn Handler>>) {
        self.lock().insert(id.into(), Component { handler, app: app.into() });
    }
}

impl Targets for Components {
    fn http(&self, component: &str) -> Option<Arc<dyn Handler>> {
        self.lock().get(component).and_then(|component| component.handler.clone())
    }

    fn export(&self, _: &str, _: &str) -> Option<Arc<dyn umbel_wit::Serve>> {
        None
    }

    fn application_of(&self, component: &str) -> Option<String> {
        self.lock().get(component).map(|component| component.app.clone())
    }
}

pub(crate) struct Bed {
    pub(crate) server: HttpServer,
    pub(crate) components: Arc<Components>,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) port: u16,
}

pub(crate) fn link(name: &str, component: &str, config: &[(&str, &str)]) -> ResolvedLink {
    ResolvedLink::new(
        Link {
            source_id: "http".into(),
            target: component.into(),
            name: name.into(),
            contract: Contract::new("wasi", "http", &["incoming-handler"]),
            source_config: Vec::new(),
            target_config: Vec::new(),
            distance: Distance::Any,
        },
        config.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect(),
        Values::new(),
    )
}

impl Bed {
    pub(crate) async fn new(limits: Limits) -> Bed {
        Bed::with(Config { listen: ([127, 0, 0, 1], 0).into(), limits, ..Config::default() }).await
    }

    pub(crate) async fn with(config: Config) -> Bed {
        Bed::on(config, Cores::start(2, "test").expect("threads")).await
    }

    pub(crate) async fn on(config: Config, cores: Arc<Cores>) -> Bed {
        let server = HttpServer::new(config, cores);
        let components = Arc::new(Components::default());
        let provider = Bed::provider(&server, &components).await;
        let port = server.addresses()[0].port();
        Bed { server, components, provider, port }
    }

    pub(crate) async fn provider(server: &HttpServer, components: &Arc<Components>) -> Arc<dyn Provider> {
        let cx = StartContext {
            id: ProviderId::new("http").expect("an id"),
            config: Values::new(),
            secrets: Default::default(),
            targets: components.clone(),
            folder: std::path::PathBuf::new(),
        };
        server.start(cx).await.expect("the server starts")
    }

    /// One application `app` that the bare port leads to.
    pub(crate) async fn serving(limits: Limits, handler: Arc<dyn Handler>) -> Bed {
        let bed = Bed::new(limits).await;
        bed.add("default", "app", handler, &[]).await.expect("the first link");
        bed
    }

    /// A component `{app}-main`, and a link to it.
    pub(crate) async fn add(
        &self,
        name: &str,
        app: &str,
        handler: Arc<dyn Handler>,
        config: &[(&str, &str)],
    ) -> Result<(), Problem> {
        let id = format!("{app}-{name}");
        self.components.set(&id, app, Some(handler));
        self.provider.put_link(link(name, &id, config)).await
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.expect("the server accepts")
    }

    /// Writes `bytes` and reads until the server closes.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // The server may close before it has read everything.
        let _ = stream.write_all(bytes.as_ref()).await;
        read_to_end(&mut stream).await
    }

    /// A GET for a host and path; status and body.
    pub(crate) async fn get(&self, host: &str, path: &str) -> (u16, String) {
        parse(&self.raw(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await)
    }
}

pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read =
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server closes");
    // A reset after the answer is a close as well.
    let _ = read;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until `end` was read.
pub(crate) async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    let reading = async {
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&answer).contains(end) {
            let read = stream.read(&mut piece).await.expect("the connection holds");
            assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&piece[..read]);
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Status and body of an answer.
pub(crate) fn parse(answer: &str) -> (u16, String) {
    let status = answer.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_string())
}
