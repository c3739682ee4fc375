//! Tells components what has changed.
//!
//! Each link from the provider to a component has a bounded queue and a task that takes one change after another from it; the calls of
//! `wasi:keyvalue/watcher` run on the data path, where guests belong. The writer never waits: what a queue cannot take is dropped,
//! and that is logged once until it can again.

use super::config::Watching;
use super::place::{Place, owner};
use super::store::Change;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use umbel_core::code::guest;
use umbel_core::id::ProviderId;
use umbel_core::link::LinkKey;
use umbel_core::{Coded, Problem};
use umbel_provider::Targets;
use umbel_supervisor::Scope;
use umbel_supervisor::cores::Cores;
use umbel_wit::serve::Link;
use umbel_wit::value::Resource;
use umbel_wit::{Call, Value};

const INTERFACE: &str = "wasi:keyvalue/watcher";

/// Changes that may wait for one watcher.
const WAITING_MAX: usize = 1_024;

/// Memory that they may hold, in KiB.
const WAITING_KIB_MAX: u32 = 16 << 10;

/// Opens a bucket for a watcher that is told of a change in it; a store that is gone has none.
type Open = Arc<dyn Fn(&Arc<Place>) -> Option<Resource> + Send + Sync>;

/// All watchers of a provider.
pub(crate) struct Watchers {
    provider: String,
    targets: Arc<dyn Targets>,
    cores: Arc<Cores>,
    timeout_ms: Arc<AtomicU64>,
    open: Open,
    tasks: Scope,
    by_link: Mutex<HashMap<LinkKey, Arc<Watcher>>>,
    // What the writer looks at.
    all: ArcSwap<Vec<Arc<Watcher>>>,
}

/// One link to a watching component.
struct Watcher {
    component: String,
    watching: Watching,
    queue: mpsc::Sender<Event>,
    room: Arc<Semaphore>,
    gone: Arc<AtomicBool>,
    // Whether it has been logged that changes are dropped.
    behind: AtomicBool,
}

struct Event {
    change: Change,
    _room: OwnedSemaphorePermit,
}

impl Watchers {
    /// Components will be called on `cores`, with a bucket that `open` opens.
    pub(crate) fn new(
        provider: &ProviderId,
        targets: Arc<dyn Targets>,
        cores: Arc<Cores>,
        timeout: Duration,
        open: impl Fn(&Arc<Place>) -> Option<Resource> + Send + Sync + 'static,
    ) -> Watchers {
        let watchers = Watchers {
            provider: provider.to_string(),
            targets,
            cores,
            timeout_ms: Arc::default(),
            open: Arc::new(open),
            tasks: Scope::new("keyvalue watchers"),
            by_link: Mutex::default(),
            all: ArcSwap::default(),
        };
        watchers.set_timeout(timeout);
        watchers
    }

    pub(crate) fn set_timeout(&self, timeout: Duration) {
        self.timeout_ms.store(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The link is there, or has changed.
    pub(crate) fn put(&self, key: LinkKey, component: String, watching: Watching) {
        self.change(|by_link| {
            if by_link.get(&key).is_some_and(|w| w.component == component && w.watching == watching) {
                return;
            }
            let (queue, waiting) = mpsc::channel(WAITING_MAX);
            let watcher = Arc::new(Watcher {
                component,
                watching,
                queue,
                room: Arc::new(Semaphore::new(WAITING_KIB_MAX as usize)),
                gone: Arc::default(),
                behind: AtomicBool::new(false),
            });
            let link = Link { source_id: self.provider.clone(), name: key.name.clone(), ..Link::default() };
            let telling = Telling {
                gone: watcher.gone.clone(),
                component: watcher.component.clone(),
                link: Arc::new(link),
                targets: self.targets.clone(),
                cores: self.cores.clone(),
                timeout_ms: self.timeout_ms.clone(),
                open: self.open.clone(),
            };
            self.tasks.spawn(telling.run(waiting));
            if let Some(former) = by_link.insert(key, watcher) {
                former.gone.store(true, Ordering::Release);
            }
        });
    }

    /// The link is gone. A call in flight finishes; what waits is not told any more.
    pub(crate) fn del(&self, key: &LinkKey) {
        self.change(|by_link| {
            if let Some(former) = by_link.remove(key) {
                former.gone.store(true, Ordering::Release);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<LinkKey, Arc<Watcher>>)) {
        let mut by_link = self.by_link.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut by_link);
        self.all.store(Arc::new(by_link.values().cloned().collect()));
    }

    /// Whether anybody watches.
    #[cfg(feature = "keyvalue_redis")]
    pub(crate) fn is_empty(&self) -> bool {
        self.all.load().is_empty()
    }

    /// Queues the changes for whom they concern. Never waits.
    pub(crate) fn tell(&self, changes: &[Change]) {
        let all = self.all.load();
        for watcher in all.iter() {
            let application = self.targets.application_of(&watcher.component);
            let owner = owner(&watcher.watching.target, application.as_deref(), &watcher.component);
            for change in changes {
                if *change.place.owner == *owner && watcher.wants(change, &owner) {
                    watcher.queue(change.clone());
                }
            }
        }
    }

    /// Tells what waits, within the deadline.
    pub(crate) async fn stop(&self, deadline: Duration) {
        self.change(HashMap::clear);
        let aborted = self.tasks.drain(deadline).await;
        if aborted > 0 {
            tracing::warn!(
                watchers = aborted,
                "watchers of a key-value store did not answer before it ended"
            );
        }
    }
}

impl Watcher {
    fn wants(&self, change: &Change, owner: &str) -> bool {
        let bucket = self.watching.target.bucket.as_deref();
        let here = |name: &str| {
            change.place.bucket.strip_prefix(owner).and_then(|rest| rest.strip_prefix('/')) == Some(name)
        };
        bucket.is_none_or(here) && self.watching.wants(&change.key, change.value.is_none())
    }

    fn queue(&self, change: Change) {
        let bytes = change.key.len() + change.value.as_ref().map_or(0, |value| value.len());
        let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).clamp(1, WAITING_KIB_MAX);
        let queued = match self.room.clone().try_acquire_many_owned(kib) {
            Ok(room) => self.queue.try_send(Event { change, _room: room }).is_ok(),
            Err(_) => false,
        };
        if queued {
            self.behind.store(false, Ordering::Relaxed);
        } else if !self.behind.swap(true, Ordering::Relaxed) {
            tracing::warn!(component = %self.component, "a watcher is slower than the changes; some are not told");
        }
    }
}

/// The task of one watcher.
struct Telling {
    // Not the watcher itself, so that the queue ends when the link is gone.
    gone: Arc<AtomicBool>,
    component: String,
    link: Arc<Link>,
    targets: Arc<dyn Targets>,
    cores: Arc<Cores>,
    timeout_ms: Arc<AtomicU64>,
    open: Open,
}

impl Telling {
    async fn run(self, mut waiting: mpsc::Receiver<Event>) {
        let mut failing = false;
        while let Some(event) = waiting.recv().await {
            // A link that was taken back tells nothing more; one whose provider is stopping tells what waits.
            if self.gone.load(Ordering::Acquire) {
                return;
            }
            let told = self.tell(event.change).await;
            if let Err(problem) = &told
                && !failing
            {
                tracing::warn!(component = %self.component, %problem, "a watcher was not told of a change");
            }
            failing = told.is_err();
        }
    }

    async fn tell(&self, change: Change) -> Result<(), Problem> {
        let target = self.targets.export(&self.component, INTERFACE);
        let target = target.ok_or_else(|| {
            let message = format!("`{}` does not run here, or does not export `{INTERFACE}`", self.component);
            Problem::new(guest::NOT_RUNNING, message)
        })?;
        let Some(bucket) = (self.open)(&change.place) else { return Ok(()) };
        let mut args = vec![Value::Own(bucket), change.key.into()];
        let function = if change.value.is_some() { "on-set" } else { "on-delete" };
        args.extend(change.value.map(Value::Bytes));
        let patience = Duration::from_millis(self.timeout_ms.load(Ordering::Relaxed));
        let call = Call {
            link: self.link.clone(),
            interface: INTERFACE.into(),
            version: None,
            function: function.into(),
            args,
            patience: Some(patience),
        };
        let answer = self.cores.run(self.cores.quietest(), move || target.call(call));
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(result)) => result.map(drop),
            Ok(Err(error)) => Err(Problem::from(&error as &dyn Coded)),
            Err(_) => Err(Problem::new(guest::CALL_TIMEOUT, format!("no answer within {patience:?}"))),
        }
    }
}
