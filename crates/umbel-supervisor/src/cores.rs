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
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use umbel_core::code::supervisor as code;
use umbel_core::{Code, Coded};

/// Pieces of work that may wait for one core until it takes them up; more than there may be connections.
const QUEUE_MAX: usize = 16_384;

type Make = Box<dyn FnOnce(&Scope) + Send>;

thread_local! {
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
    static LOCAL: RefCell<Option<crate::scope::Spawner>> = const { RefCell::new(None) };
}

/// Why a core does not do what it was given.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoreError {
    /// Too much waits there already.
    #[error("core {core} has {waiting_max} pieces of work waiting, and takes no more")]
    Full {
        /// The core.
        core: usize,
        /// The limit.
        waiting_max: usize,
    },
    /// It has been shut down, or the work panicked.
    #[error("core {core} gave no result")]
    Ended {
        /// The core.
        core: usize,
    },
}

impl Coded for CoreError {
    fn code(&self) -> Code {
        match self {
            CoreError::Full { .. } => code::CORE_FULL,
            CoreError::Ended { .. } => code::CORE_ENDED,
        }
    }
}

/// The threads of the data path.
pub struct Cores {
    cores: Vec<Core>,
    threads: Mutex<Vec<Thread>>,
    shutdown: watch::Sender<Option<Duration>>,
    stop: Stop,
}

struct Core {
    work: mpsc::Sender<Make>,
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

    /// The core with the fewest tasks at this moment.
    pub fn quietest(&self) -> usize {
        (0..self.cores.len()).min_by_key(|core| self.tasks(*core)).unwrap_or_default()
    }

    /// Makes a future on core `core` (modulo their number) and runs it there to its end; a panic in it is contained and logged.
    ///
    /// # Errors
    /// It was not taken: too much waits for the core, or it has been shut down.
    pub fn spawn<F, Fut>(&self, core: usize, make: F) -> Result<(), CoreError>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let index = core % self.cores.len();
        let core = &self.cores[index];
        let counted = Counted::new(core.tasks.clone());
        let make: Make = Box::new(move |scope| {
            scope.spawn_local(async move {
                let _counted = counted;
                make().await;
            });
        });
        core.work.try_send(make).map_err(|error| match error {
            TrySendError::Full(_) => CoreError::Full { core: index, waiting_max: QUEUE_MAX },
            TrySendError::Closed(_) => CoreError::Ended { core: index },
        })
    }

    /// Runs a future on a core and waits for its result. Dropping this ends it there.
    ///
    /// # Errors
    /// It was not taken, or it ended without a result: it panicked, or the cores shut down.
    pub async fn run<T, F, Fut>(&self, core: usize, make: F) -> Result<T, CoreError>
    where
        T: Send + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
    {
        let (mut told, result) = oneshot::channel();
        self.spawn(core, move || async move {
            tokio::select! {
                biased;
                () = told.closed() => {}
                value = async { make().await } => drop(told.send(value)),
            }
        })?;
        result.await.map_err(|_| CoreError::Ended { core: core % self.cores.len() })
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
    let (work, queue) = mpsc::channel(QUEUE_MAX);
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
    mut queue: mpsc::Receiver<Make>,
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
