//! What the HTTP server itself costs: a static answer through the whole of `http_server`, or through plain hyper.
//!
//! ```text
//! cargo run --release -p umbel-builtin --example static -- ours 8001 1     # http_server on one core
//! cargo run --release -p umbel-builtin --example static -- hyper 8002      # hyper on one current-thread runtime
//! cargo run --release -p umbel-builtin --example static -- cores 8003      # the same on a thread of the data path
//! wrk -t1 -c32 -d3 http://127.0.0.1:8001/
//! ```

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use umbel_builtin::http_server::{Config, HttpServer};
use umbel_core::Problem;
use umbel_core::id::ProviderId;
use umbel_core::link::{Contract, Distance, Link, ResolvedLink, Values};
use umbel_provider::http::{Body, Handler, Request, Response};
use umbel_provider::{Factory, StartContext, Targets};
use umbel_supervisor::cores::Cores;

/// The allocator of the shipped binary, for both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TEXT: &[u8] = b"Hello from a static answer!\n";

struct Static;

impl Handler for Static {
    fn call(&self, _: Request) -> BoxFuture<'static, Result<Response, Problem>> {
        Box::pin(async {
            Ok(Response::new(Body::new(Full::new(Bytes::from_static(TEXT)).map_err(|e| match e {}))))
        })
    }
}

struct One(Arc<dyn Handler>);

impl Targets for One {
    fn http(&self, _: &str) -> Option<Arc<dyn Handler>> {
        Some(self.0.clone())
    }

    fn export(&self, _: &str, _: &str) -> Option<Arc<dyn umbel_wit::Serve>> {
        None
    }

    fn application_of(&self, _: &str) -> Option<String> {
        Some("static".into())
    }
}

async fn ours(port: u16, cores: usize) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config { listen: SocketAddr::from(([127, 0, 0, 1], port)), ..Config::default() };
    let server = HttpServer::new(config, Cores::start(cores, "bench")?);
    let cx = StartContext {
        id: ProviderId::new("bench")?,
        config: Values::new(),
        secrets: Default::default(),
        targets: Arc::new(One(Arc::new(Static))),
        folder: std::path::PathBuf::new(),
    };
    let provider = server.start(cx).await?;
    let link = Link {
        source_id: "bench".into(),
        target: "static".into(),
        name: "default".into(),
        contract: Contract::new("wasi", "http", &["incoming-handler"]),
        source_config: Vec::new(),
        target_config: Vec::new(),
        distance: Distance::Any,
    };
    provider.put_link(ResolvedLink::new(link, Values::new(), Values::new())).await?;
    std::future::pending().await
}

#[expect(clippy::disallowed_methods, reason = "the program that is compared with has no supervisor")]
async fn hyper_alone(port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = hyper::service::service_fn(|_| async {
                Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from_static(TEXT))))
            });
            let io = hyper_util::rt::TokioIo::new(stream);
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        });
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let (what, port) =
        (args.get(1).map_or("ours", String::as_str), args.get(2).map_or(Ok(8001), |p| p.parse())?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match what {
        "hyper" => runtime.block_on(hyper_alone(port)),
        // A process with a second thread pays more per system call; this tells that apart from what the server costs.
        "cores" => runtime.block_on(async {
            let cores = Cores::start(1, "bench")?;
            cores.spawn(0, move || async move { drop(hyper_alone(port).await) })?;
            std::future::pending().await
        }),
        _ => runtime.block_on(ours(port, args.get(3).map_or(Ok(1), |c| c.parse())?)),
    }
}
