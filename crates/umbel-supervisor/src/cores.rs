//! The data path: one OS thread per core, each with a runtime of its own.
//!
//! A connection is accepted, routed, its guest run and answered on one thread. Work is given to a core once, as a function that makes
//! the future there, so the future need not be `Send`. The control plane has another runtime, which no guest can starve.

use crate::scope::Scope;
use crate::stop::Stop;
use crate::thread::{Thread, ThreadError};
use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{mpsc, oneshot, watch};

type Make = Box<dyn FnOnce(&Scope) + Send>;

thread_local! {
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
    static LOCAL: RefCell<Option<crate::scope::Spawner>> = const { RefCell::new(None) };
}

/// The threads of the data path.
pub struct Cores {
    cores: Vec<Core>,
    threads: Mutex<Vec<Thread>>,
    shutdown: watch::Sender<Option<Duration>>,
    stop: Stop,
}

struct Core {
    work: mpsc::UnboundedSender<Make>,
    tasks: Arc<std::sync::atomic::AtomicUsize>,
}

impl Cores {
    /// Starts `count` threads (at least one), named `{name}-{n}`.
    pub fn start(count: usize, name: &str) -> Result<Arc<Cores>, ThreadError> {
        let (shutdown, _) = watch::channel(None);
        let stop = Stop::new();
        let mut cores = Vec::new();
        let mut threads = Vec::new();
        for index in 0..count.max(1) {
            let name = format!("{name}-{index}");
            let runtime = Builder::new_current_thread();
            let (core, thread) = start_core(index, name, runtime, shutdown.subscribe(), stop.clone())?;
            cores.push(core);
            threads.push(thread);
        }
        Ok(Arc::new(Cores { cores, threads: Mutex::new(threads), shutdown, stop }))
    }

    /// How many cores there are.
    pub fn len(&self) -> usize {
        self.cores.len()
    }

    /// Never: there is at least one core.
    pub fn is_empty(&self) -> bool {
        self.cores.is_empty()
    }

    /// The index of the core that the caller runs on, if it runs on one.
    pub fn current() -> Option<usize> {
        CURRENT.get()
    }

    /// Requested when the cores shut down: what accepts connections there should stop accepting.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// How many tasks the core has at this moment.
    pub fn tasks(&self, core: usize) -> usize {
        self.cores[core % self.cores.len()].tasks.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Makes a future on core `core` (modulo their number) and runs it there to its end; a panic in it is contained and logged.
    /// Returns whether it was taken: after the shutdown nothing is.
    ///
    /// The queue to a core has no limit of its own: who gives work limits it, as the http-server limits connections.
    pub fn spawn<F, Fut>(&self, core: usize, make: F) -> bool
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let core = &self.cores[core % self.cores.len()];
        let counted = Counted::new(core.tasks.clone());
        let make: Make = Box::new(move |scope| {
            scope.spawn_local(async move {
                let _counted = counted;
                make().await;
            });
        });
        core.work.send(make).is_ok()
    }

    /// Runs a future on a core and waits for its result. `None` if it panicked or the cores shut down.
    pub async fn run<T, F, Fut>(&self, core: usize, make: F) -> Option<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
    {
        let (told, result) = oneshot::channel();
        self.spawn(core, move || async move {
            // Nobody may wait for the result any more.
            let _ = told.send(make().await);
        });
        result.await.ok()
    }

    /// Starts a future on the core that the caller runs on, without a queue. Returns whether it was started: not outside the
    /// cores, and not after the shutdown.
    pub fn spawn_here(future: impl Future<Output = ()> + 'static) -> bool {
        let spawner = LOCAL.with_borrow(Clone::clone);
        spawner.is_some_and(|spawner| spawner.spawn_local(future))
    }

    /// Takes no more work, waits for the tasks until the deadline, aborts what is left, and ends the threads. Returns whether all
    /// threads have ended: one whose task never yields cannot be ended.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        self.stop.request();
        self.shutdown.send_replace(Some(deadline));
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let mut all = true;
        // They drain at the same time, so that all deadlines end together; the grace is for aborted tasks to notice.
        let end = tokio::time::Instant::now() + deadline + Duration::from_secs(2);
        for thread in threads {
            all &= thread.stop(end.saturating_duration_since(tokio::time::Instant::now())).await;
        }
        if !all {
            tracing::error!("a core of the data path does not end: one of its tasks never yields");
        }
        all
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        self.stop.request();
        self.shutdown.send_replace(Some(Duration::ZERO));
    }
}

/// Counts a task while it lives, from the moment that it is given.
struct Counted(Arc<std::sync::atomic::AtomicUsize>);

impl Counted {
    fn new(count: Arc<std::sync::atomic::AtomicUsize>) -> Counted {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Counted(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

fn start_core(
    index: usize,
    name: String,
    mut runtime: Builder,
    shutdown: watch::Receiver<Option<Duration>>,
    stop: Stop,
) -> Result<(Core, Thread), ThreadError> {
    #[expect(clippy::disallowed_methods, reason = "the givers of work have the limits, see `Cores::spawn`")]
    let (work, queue) = mpsc::unbounded_channel();
    let (built, result) = std::sync::mpsc::sync_channel(1);
    let thread_name = name.clone();
    let thread = Thread::start(&name, move |_| {
        // A local runtime must be built on the thread that runs it.
        match runtime.enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => {
                let _ = built.send(Ok(()));
                run_core(index, &thread_name, &runtime, queue, shutdown);
                // Blocking calls of the core, such as name look-ups, are not waited for.
                runtime.shutdown_background();
            }
            Err(error) => drop(built.send(Err(error))),
        }
        drop(stop);
    })?;
    match result.recv() {
        Ok(Ok(())) => Ok((Core { work, tasks: Arc::default() }, thread)),
        Ok(Err(source)) => Err(ThreadError { name, source }),
        Err(_) => Err(ThreadError { name, source: std::io::Error::other("the thread ended at once") }),
    }
}

fn run_core(
    index: usize,
    name: &str,
    runtime: &LocalRuntime,
    mut queue: mpsc::UnboundedReceiver<Make>,
    mut shutdown: watch::Receiver<Option<Duration>>,
) {
    CURRENT.set(Some(index));
    runtime.block_on(async {
        let scope = Scope::new(name);
        LOCAL.set(Some(scope.spawner()));
        let deadline = loop {
            tokio::select! {
                biased;
                asked = shutdown.wait_for(Option::is_some) => break asked.ok().and_then(|asked| *asked),
                make = queue.recv() => match make {
                    Some(make) => make(&scope),
                    None => break None,
                },
            }
        };
        queue.close();
        // What was taken before is done: it may be a connection that was accepted.
        while let Ok(make) = queue.try_recv() {
            make(&scope);
        }
        let aborted = scope.drain(deadline.unwrap_or_default()).await;
        if aborted > 0 {
            tracing::warn!(core = name, aborted, "tasks were still running at the deadline");
        }
        LOCAL.set(None);
    });
}

#[cfg(test)]
mod tests;
