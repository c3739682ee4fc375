//! What the tests share: an engine that ticks, compiling in this process, and components whose way out is recorded.

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use umbel_core::code::guest;
use umbel_core::digest::Digest;
use umbel_core::limits::{InstanceMode, Limits};
use umbel_core::{Coded, Problem};
use umbel_runtime::body::Body;
use umbel_runtime::calls::{HostCalls, Level, SendOptions, Stream, Target, Within};
use umbel_runtime::compile::{Exit, Job, Worker, work};
use umbel_runtime::{Budget, CallError, Component, Config, Engine, Granted, Image, Images, LoadError, Usage};
use umbel_testkit::{example, guest as guest_file, wait_for};
use umbel_wit::InterfaceName;

/// Compiles in this process, and counts how often.
#[derive(Default)]
pub(crate) struct Here {
    pub(crate) runs: AtomicUsize,
}

#[async_trait]
impl Worker for Here {
    async fn run(&self, job: &Job) -> Result<Exit, String> {
        self.runs.fetch_add(1, SeqCst);
        let args = job.args();
        let run = move || {
            let mut answer = Vec::new();
            (work(args, &mut answer), answer)
        };
        let (status, answer) = tokio::task::spawn_blocking(run).await.map_err(|e| e.to_string())?;
        match status {
            0 => Ok(Exit::Done),
            1 => Ok(Exit::Failed(answer)),
            status => Err(format!("status {status}")),
        }
    }
}

/// A thread that ticks an engine until it is dropped.
pub(crate) struct Ticking {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Ticking {
    pub(crate) fn of(engine: &Engine) -> Ticking {
        let stop = Arc::new(AtomicBool::new(false));
        let (tick, every, stopped) = (engine.ticker(), engine.tick_every(), stop.clone());
        let run = move || {
            while !stopped.load(SeqCst) {
                tick();
                std::thread::sleep(every);
            }
        };
        let thread = std::thread::Builder::new().name("epochs".into()).spawn(run).expect("a thread");
        Ticking { stop, thread: Some(thread) }
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

/// An engine with a cache of its own.
pub(crate) struct Rig {
    pub(crate) images: Images,
    _ticking: Ticking,
    _cache: tempfile::TempDir,
}

impl Rig {
    pub(crate) fn new(change: impl FnOnce(&mut Config)) -> Rig {
        let cache = tempfile::tempdir().expect("a temp folder");
        let mut config = Config::new(cache.path().join("code"));
        config.instances_max = 64;
        change(&mut config);
        let engine = Engine::new(&config).expect("an engine");
        let images = Images::new(engine.clone(), &config, Arc::<Here>::default()).expect("a cache");
        Rig { images, _ticking: Ticking::of(&engine), _cache: cache }
    }

    /// The rig that tests share while any of them runs, so that a component is compiled once for many tests.
    pub(crate) fn shared() -> Arc<Rig> {
        static SHARED: Mutex<Weak<Rig>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let rig = Arc::new(Rig::new(|_| ()));
            *shared = Arc::downgrade(&rig);
            rig
        })
    }

    pub(crate) async fn image(&self, path: &Path) -> Arc<Image> {
        load(&self.images, path).await.expect("a component that loads")
    }

    /// A component of the file.
    pub(crate) async fn subject(&self, path: &Path, mode: InstanceMode, limits: Limits) -> Subject {
        let image = self.image(path).await;
        Subject::new(self.images.engine(), image, mode, limits)
    }

    /// A component of a text.
    pub(crate) async fn wat(&self, text: &str, limits: Limits) -> Subject {
        let file = wat(text);
        self.subject(file.path(), InstanceMode::Fresh, limits).await
    }
}

/// Loads a file under the digest of its bytes.
pub(crate) async fn load(images: &Images, path: &Path) -> Result<Arc<Image>, LoadError> {
    let digest = Digest::of(&std::fs::read(path).expect("a file"));
    images.load(&digest.to_string(), path, "the test's component").await
}

/// A file with the wasm of a text.
pub(crate) fn wat(text: &str) -> tempfile::NamedTempFile {
    file(&wat::parse_str(text).expect("text that is wasm"))
}

/// A file with these bytes.
pub(crate) fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temp file");
    std::fs::write(file.path(), bytes).expect("writable");
    file
}

/// Where a component's log and calls go.
#[derive(Default)]
pub(crate) struct Outside {
    pub(crate) config: Mutex<BTreeMap<String, String>>,
    pub(crate) sent: Mutex<Vec<String>>,
    /// Where links lead, by interface and name.
    pub(crate) links: Mutex<BTreeMap<String, Target>>,
    /// The component that outgoing requests go to.
    pub(crate) http: Mutex<Option<Component>>,
    /// What they are answered with otherwise; unlinked when there is nothing.
    pub(crate) answer: Mutex<Option<u16>>,
    lines: Mutex<Vec<Line>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) stream: Stream,
    pub(crate) context: String,
    pub(crate) message: String,
}

impl Outside {
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.lines.lock().expect("no test panics with it").clone()
    }

    /// Puts a link in the place of the one of the same name.
    pub(crate) fn link(&self, interface: &str, name: &str, target: Target) {
        self.links.lock().expect("no test panics with it").insert(format!("{interface} {name}"), target);
    }

    /// All lines of one stream.
    pub(crate) fn said(&self, stream: Stream) -> String {
        let lines = self.lines();
        lines.iter().filter(|l| l.stream == stream).map(|l| format!("{}\n", l.message)).collect()
    }
}

impl HostCalls for Outside {
    fn http_send(
        &self,
        request: http::Request<Body>,
        _: SendOptions,
        within: Within,
    ) -> BoxFuture<'static, Result<http::Response<Body>, Problem>> {
        self.sent.lock().expect("no test panics with it").push(request.uri().to_string());
        if let Some(component) = self.http.lock().expect("no test panics with it").clone() {
            let answer = async move { component.http_within(request, within).await };
            return answer.map(|result| result.map_err(|e| Problem::from(&e as &dyn Coded))).boxed();
        }
        let answer = *self.answer.lock().expect("no test panics with it");
        async move {
            match answer {
                Some(status) => {
                    let mut response = http::Response::new(empty());
                    *response.status_mut() = status.try_into().expect("a status");
                    Ok(response)
                }
                None => Err(Problem::new(guest::UNLINKED, "no link serves it")),
            }
        }
        .boxed()
    }

    fn config_get(&self, key: &str) -> Option<String> {
        self.config.lock().expect("no test panics with it").get(key).cloned()
    }

    fn config_all(&self) -> Vec<(String, String)> {
        self.config.lock().expect("no test panics with it").clone().into_iter().collect()
    }

    fn log(&self, level: Level, stream: Stream, context: &str, message: &str) {
        let line = Line { level, stream, context: context.into(), message: message.into() };
        self.lines.lock().expect("no test panics with it").push(line);
    }

    fn target(
        &self,
        import: &InterfaceName,
        function: &str,
        link_name: Option<&str>,
    ) -> Result<Target, Problem> {
        let name = link_name.unwrap_or("default");
        let key = format!("{} {name}", import.unversioned);
        let target = self.links.lock().expect("no test panics with it").get_mut(&key).map(next);
        target.ok_or_else(|| {
            Problem::new(
                guest::UNLINKED,
                format!("subject called `{import}.{function}`, and no link serves it"),
            )
            .with_help(format!("umbel link put subject TARGET {}", import.unversioned))
        })
    }
}

/// The target for one call. One that is waited for or held is there once.
fn next(target: &mut Target) -> Target {
    match target {
        Target::Component(component) => Target::Component(component.clone()),
        Target::Server(server, link) => Target::Server(server.clone(), link.clone()),
        once => {
            let over = Problem::new(guest::NOT_RUNNING, "the one call was made");
            std::mem::replace(once, Target::Later(futures::future::ready(Err(over)).boxed()))
        }
    }
}

/// A component under test.
pub(crate) struct Subject {
    pub(crate) component: Component,
    pub(crate) outside: Arc<Outside>,
}

impl Subject {
    pub(crate) fn new(engine: &Engine, image: Arc<Image>, mode: InstanceMode, limits: Limits) -> Subject {
        let outside = Arc::<Outside>::default();
        let budget = Budget::new("subject", limits);
        let component =
            Component::new(engine, "subject", image, mode, budget, outside.clone(), Granted::default());
        Subject { component, outside }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.component.usage()
    }

    /// The text that a request of the path is answered with.
    pub(crate) async fn get(&self, path: &str) -> Result<String, CallError> {
        Ok(text(self.component.http(get(path)).await?).await)
    }

    /// The code that a request of the path ends with.
    pub(crate) async fn code(&self, path: &str) -> String {
        let error = self.get(path).await.expect_err("the call fails");
        assert!(!error.help().is_empty(), "every error says what to do");
        error.code().to_string()
    }

    /// Waits until no instance of it is left.
    pub(crate) async fn at_rest(&self) {
        wait_for("all places and all memory are given back", || {
            let usage = self.usage();
            (usage.calls_in_flight, usage.calls_waiting, usage.memory_bytes) == (0, 0, 0)
        })
        .await;
    }
}

pub(crate) fn guest_path(name: &str) -> PathBuf {
    guest_file(name)
}

/// The component of a guest program or an example.
pub(crate) fn any(name: &str) -> PathBuf {
    if name.starts_with("hello") && name != "hello-v2" || name == "echo" {
        example(name)
    } else {
        guest_path(name)
    }
}

/// A fresh component of a guest program or an example.
pub(crate) async fn subject(rig: &Rig, name: &str, limits: Limits) -> Subject {
    rig.subject(&any(name), InstanceMode::Fresh, limits).await
}

pub(crate) fn empty() -> Body {
    full("")
}

pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn get(path: &str) -> http::Request<Body> {
    request(path, empty())
}

pub(crate) fn request(path: &str, body: Body) -> http::Request<Body> {
    let uri = format!("http://subject.localhost{path}");
    http::Request::builder().method("POST").uri(uri).body(body).expect("a request")
}

pub(crate) async fn text(response: http::Response<Body>) -> String {
    let body = response.into_body().collect().await.expect("a whole body");
    String::from_utf8(body.to_bytes().to_vec()).expect("text")
}
