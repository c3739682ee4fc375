//! An image: one component, compiled and pre-linked, shared by all components of the same bytes.

use crate::cache::{Cache, Key, Loaded, Trimmed};
use crate::carry::types::Resources;
use crate::compile::{Worker, compile};
use crate::config::Config;
use crate::ctx::Ctx;
use crate::engine::{Engine, Pool, Style};
use crate::error::{Cause, LoadError};
use crate::linker::{Contract, Linker};
use crate::serve::{self, Exported};
use crate::wit;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use umbel_core::{Coded, Kind};
use umbel_wit::Interface;
use wasmtime::component::InstancePre;
use wasmtime_wasi::p2::bindings as p2;
use wasmtime_wasi::p3::bindings as p3;
use wasmtime_wasi_http::p2::bindings as http_p2;
use wasmtime_wasi_http::p3::bindings as http_p3;

/// How an image can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// `wasi:http/incoming-handler@0.2`.
    HttpP2,
    /// `wasi:http/handler@0.3`.
    HttpP3,
    /// `wasi:cli/run@0.2`.
    CommandP2,
    /// `wasi:cli/run@0.3`.
    CommandP3,
    /// None of these: contracts that are called over links.
    Contracts,
}

impl World {
    /// Whether it answers HTTP requests.
    pub fn is_http(self) -> bool {
        matches!(self, World::HttpP2 | World::HttpP3)
    }

    /// Whether it runs from a beginning to an end.
    pub fn is_command(self) -> bool {
        matches!(self, World::CommandP2 | World::CommandP3)
    }
}

pub(crate) enum Entry {
    HttpP2(http_p2::ProxyPre<Ctx>),
    HttpP3(http_p3::ServicePre<Ctx>),
    CommandP2(p2::CommandPre<Ctx>),
    CommandP3(p3::CommandPre<Ctx>),
    Contracts,
}

/// What one instance takes of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    pub memories: u32,
    pub tables: u32,
}

/// A compiled, pre-linked component.
pub struct Image {
    digest: String,
    imports: Vec<String>,
    exports: Vec<String>,
    unlinked: Vec<String>,
    code_bytes: u64,
    needs: Needs,
    style: Style,
    pub(crate) contracts: BTreeMap<String, Contract>,
    pub(crate) exported: Vec<Exported>,
    pub(crate) resources: Resources,
    pub(crate) pre: InstancePre<Ctx>,
    pub(crate) entry: Entry,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image")
            .field("digest", &self.digest)
            .field("world", &self.world())
            .field("style", &self.style)
            .finish()
    }
}

impl Image {
    /// The digest of the component's bytes.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How it can be called.
    pub fn world(&self) -> World {
        match self.entry {
            Entry::HttpP2(_) => World::HttpP2,
            Entry::HttpP3(_) => World::HttpP3,
            Entry::CommandP2(_) => World::CommandP2,
            Entry::CommandP3(_) => World::CommandP3,
            Entry::Contracts => World::Contracts,
        }
    }

    /// The names of its imports, as in its WIT world.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// The names of its exports.
    pub fn exports(&self) -> &[String] {
        &self.exports
    }

    /// The engine that its instances are of.
    pub(crate) fn pool<'a>(&self, engine: &'a Engine) -> &'a Pool {
        engine.pool(self.style)
    }

    pub(crate) fn needs(&self) -> Needs {
        self.needs
    }

    /// The imports that the host does not serve itself, so that they need a link.
    pub fn needs_link(&self) -> &[String] {
        &self.unlinked
    }

    /// A function of the import that no link can serve, and the type in it because of which, as WIT.
    pub fn not_carried(&self, import: &str) -> Option<(&str, &str)> {
        let (function, ty) = self.contracts.get(import)?.not_carried.as_ref()?;
        Some((function, ty))
    }

    /// What it imports of a contract that needs a link: functions and types.
    pub fn imported(&self, import: &str) -> Option<&Interface> {
        self.contracts.get(import).map(|contract| &contract.interface)
    }

    /// Bytes of machine code and data that are mapped.
    pub fn code_bytes(&self) -> u64 {
        self.code_bytes
    }
}

type Loading = BoxFuture<'static, Result<Arc<Image>, LoadError>>;

/// All images of a host: found by digest, compiled at most once.
#[derive(Clone)]
pub struct Images {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    plain: Linker,
    concurrent: Linker,
    cache: Arc<Cache>,
    worker: Arc<dyn Worker>,
    limits: crate::config::CompileLimits,
    code_bytes_max: u64,
    // Held only to look up or insert; never while anything is compiled or read.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    ready: HashMap<String, Weak<Image>>,
    // Weak: work that nobody waits for any more is dropped, with its compile process. Kept but not polled it would hold that
    // process, and its place among the compile processes, for ever.
    loading: HashMap<String, WeakShared<Loading>>,
    // What cannot become an image, and when that was found: trying again costs as much as the first time, at the cost of others.
    hopeless: HashMap<String, (LoadError, Instant)>,
}

/// How long bytes count as hopeless.
const HOPELESS_FOR: Duration = Duration::from_secs(600);
/// How many are remembered.
const HOPELESS_MAX: usize = 256;

impl Images {
    /// Opens the cache and prepares the linker.
    pub fn new(engine: Engine, config: &Config, worker: Arc<dyn Worker>) -> Result<Images, LoadError> {
        let cache = Arc::new(Cache::open(&config.cache_dir)?);
        let linker = |style| {
            let linker = Linker::new(engine.pool(style), style);
            linker.map_err(|e| LoadError::Engine { source: Cause::of(&e) })
        };
        let (plain, concurrent) = (linker(Style::Plain)?, linker(Style::Concurrent)?);
        let inner = Inner {
            engine,
            plain,
            concurrent,
            cache,
            worker,
            limits: config.compile,
            code_bytes_max: config.code_bytes_max,
            known: Mutex::default(),
        };
        Ok(Images { inner: Arc::new(inner) })
    }

    /// The engine they run on.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// Whether the compiled code is at hand, so that [`Images::load`] will be quick.
    pub fn is_compiled(&self, digest: &str) -> bool {
        let known = self.inner.known();
        if known.ready.get(digest).is_some_and(|image| image.strong_count() > 0) {
            return true;
        }
        drop(known);
        let key = Key::of(digest, &self.inner.engine);
        self.inner.cache.contains(&key)
    }

    /// Removes compiled code beyond [`Config::code_bytes_max`], the least recently used first; that of images in use stays. Waits
    /// for the disk.
    pub fn trim_code(&self) -> Result<Trimmed, LoadError> {
        let in_use = {
            let known = self.inner.known();
            let ready = known.ready.iter().filter(|(_, image)| image.strong_count() > 0);
            // What is being loaded may be on the disk and not yet mapped.
            let digests = ready.map(|(digest, _)| digest).chain(known.loading.keys());
            digests.map(|digest| Key::of(digest, &self.inner.engine)).collect()
        };
        self.inner.cache.trim(&in_use, self.inner.code_bytes_max)
    }

    /// The interfaces of the component at `path` whose bytes have the digest, as WIT. Nothing is compiled.
    pub async fn wit(&self, digest: &str, path: &Path, what: &str) -> Result<String, LoadError> {
        let output = self.inner.cache.scratch(&Key::of(digest, &self.inner.engine));
        wit::run(&*self.inner.worker, path, output.path(), what).await
    }

    /// The image of the component at `path` whose bytes have the digest. Whoever asks for the same digest meanwhile waits for
    /// the same work; a caller that goes away does not stop it for the others.
    pub async fn load(&self, digest: &str, path: &Path, what: &str) -> Result<Arc<Image>, LoadError> {
        let loading = {
            let mut known = self.inner.known();
            if let Some(image) = known.ready.get(digest).and_then(Weak::upgrade) {
                return Ok(image);
            }
            if let Some((error, since)) = known.hopeless.get(digest)
                && since.elapsed() < HOPELESS_FOR
            {
                return Err(error.clone());
            }
            known.joined(digest).unwrap_or_else(|| {
                let inner = self.inner.clone();
                let (key, digest, path, what) =
                    (digest.to_string(), digest.to_string(), path.to_path_buf(), what.to_string());
                let work = async move { inner.load(digest, path, what).await }.boxed().shared();
                known.loading.extend(work.downgrade().map(|weak| (key, weak)));
                work
            })
        };
        let result = loading.clone().await;
        let mut known = self.inner.known();
        // Somebody may have begun anew after this work ended.
        if known.joined(digest).is_none_or(|current| current.ptr_eq(&loading)) {
            known.loading.remove(digest);
        }
        if let Err(error) = &result {
            known.remember(digest, error);
        }
        result
    }
}

impl Known {
    /// Takes note of an error that will come again for the same bytes.
    fn remember(&mut self, digest: &str, error: &LoadError) {
        let same_again = error.kind() == Kind::Invalid || matches!(error, LoadError::Limit { .. });
        if !same_again {
            return;
        }
        self.hopeless.retain(|_, (_, since)| since.elapsed() < HOPELESS_FOR);
        if self.hopeless.len() < HOPELESS_MAX {
            self.hopeless.insert(digest.to_string(), (error.clone(), Instant::now()));
        }
    }

    /// The work for this digest that is under way.
    fn joined(&self, digest: &str) -> Option<Shared<Loading>> {
        self.loading.get(digest).and_then(WeakShared::upgrade)
    }
}

impl Inner {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // Both maps are valid at every moment, so a panic elsewhere cannot have broken them.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(
        self: Arc<Self>,
        digest: String,
        path: PathBuf,
        what: String,
    ) -> Result<Arc<Image>, LoadError> {
        let key = Key::of(&digest, &self.engine);
        let loaded = match self.clone().read(key.clone()).await? {
            Some(loaded) => loaded,
            None => {
                let layout = self.engine.layout();
                compile(&*self.worker, &self.cache, &key, &path, &what, layout, self.limits).await?;
                self.clone().read(key).await?.ok_or_else(|| LoadError::Worker {
                    reason: "the code that it wrote is not there or not authentic".into(),
                })?
            }
        };
        let image = Arc::new(self.link(digest.clone(), &loaded)?);
        let mut known = self.known();
        known.ready.retain(|_, image| image.strong_count() > 0);
        known.loading.retain(|_, loading| loading.upgrade().is_some());
        known.ready.insert(digest, Arc::downgrade(&image));
        Ok(image)
    }

    /// Reads and verifies on a thread for blocking work: a large file takes a while.
    async fn read(self: Arc<Self>, key: Key) -> Result<Option<Loaded>, LoadError> {
        let task = tokio::task::spawn_blocking(move || self.cache.load(&key, &self.engine));
        task.await.unwrap_or_else(|e| Err(LoadError::Worker { reason: e.to_string() }))
    }

    fn link(&self, digest: String, (component, style): &Loaded) -> Result<Image, LoadError> {
        let linker = match style {
            Style::Plain => &self.plain,
            Style::Concurrent => &self.concurrent,
        };
        let linked = linker.link(component)?;
        let engine = component.engine();
        let exports = exports(engine, component);
        let exported = serve::exported(engine, component, &linked.resources);
        let callable = exported.iter().any(|exported| !exported.name.unversioned.starts_with("wasi:cli/"));
        let entry = entry(linked.pre.clone(), &exports, callable)?;
        let required = component.resources_required();
        // What it does not tell comes from instances that it imports; it has none.
        let needs = required.map_or(Needs { memories: 1, tables: 1 }, |r| Needs {
            memories: r.num_memories,
            tables: r.num_tables,
        });
        let range = component.image_range();
        let code_bytes = (range.end as usize - range.start as usize) as u64;
        Ok(Image {
            digest,
            imports: linked.imports,
            exports,
            // Types alone need nobody who serves them.
            unlinked: linked
                .contracts
                .iter()
                .filter(|(_, c)| !c.interface.functions.is_empty())
                .map(|(n, _)| n.clone())
                .collect(),
            code_bytes,
            needs,
            style: *style,
            contracts: linked.contracts,
            exported,
            resources: linked.resources,
            pre: linked.pre,
            entry,
        })
    }
}

fn exports(engine: &wasmtime::Engine, component: &wasmtime::component::Component) -> Vec<String> {
    component.component_type().exports(engine).map(|(name, _)| name.to_string()).collect()
}

/// Chooses the first world that fits, HTTP before commands: a component that has both is a service.
fn entry(pre: InstancePre<Ctx>, exports: &[String], callable: bool) -> Result<Entry, LoadError> {
    let has = |prefix: &str| exports.iter().any(|e| e.starts_with(prefix));
    let failed = |e: wasmtime::Error| LoadError::Import { import: "its world".into(), source: Cause::of(&e) };
    if has("wasi:http/handler@0.3") {
        return http_p3::ServicePre::new(pre).map(Entry::HttpP3).map_err(failed);
    }
    if has("wasi:http/incoming-handler@0.2") {
        return http_p2::ProxyPre::new(pre).map(Entry::HttpP2).map_err(failed);
    }
    if has("wasi:cli/run@0.3") {
        return p3::CommandPre::new(pre).map(Entry::CommandP3).map_err(failed);
    }
    if has("wasi:cli/run@0.2") {
        return p2::CommandPre::new(pre).map(Entry::CommandP2).map_err(failed);
    }
    if callable {
        return Ok(Entry::Contracts);
    }
    let exports = if exports.is_empty() { "nothing".to_string() } else { exports.join(", ") };
    Err(LoadError::World { exports })
}
