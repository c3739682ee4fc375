//! How a running tree is commanded and read from outside.

use crate::context::{Bell, Note};
use crate::error::SupervisorError;
use crate::machine::Key;
use crate::spec::{ChildSpec, Start, SupervisorSpec};
use crate::stop::Stop;
use crate::task;
use crate::view::{State, Tree};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};
use umbel_core::{Clock, Problem, SystemClock};

/// Commands that may wait for one supervisor; a sender above it waits.
const MAILBOX: usize = 256;

/// What a tree takes from its surroundings. Deadlines follow tokio's clock, which tests can pause.
#[derive(Clone)]
pub struct Env {
    /// Stamps the snapshots.
    pub clock: Arc<dyn Clock>,
    /// Where the jitter of backoffs begins; a simulation passes its own.
    pub seed: u64,
}

impl Env {
    /// This machine's clock, and a seed by chance.
    pub fn system() -> Env {
        Env { clock: Arc::new(SystemClock), seed: rand::random() }
    }
}

/// Starts trees.
pub struct Supervisor;

impl Supervisor {
    /// Starts a tree on the current runtime. It stops when [`Handle::shutdown`] is called, or when the last handle to it (and to
    /// its sub-supervisors) is dropped.
    pub fn start(name: impl Into<Arc<str>>, spec: SupervisorSpec, env: Env) -> Handle {
        let shared = Shared::new(name.into(), &env);
        let spec = Arc::new(spec);
        shared.add_subs(&spec.children, &env);
        let stop = Stop::new();
        // The mailbox is open before the task runs, so that commands can be sent at once.
        let mailbox = shared.open(stop.clone());
        let run = task::run(shared.clone(), spec, env, stop.clone(), mailbox, None);
        #[expect(
            clippy::disallowed_methods,
            reason = "the root is the one task that no supervisor holds; the handle does"
        )]
        tokio::spawn(async move {
            // How it ended is told by `Handle::ended`.
            let _ = run.await;
        });
        Handle { shared, alive: Some(Arc::new(Alive { stop })) }
    }
}

/// Asks the root to stop when nobody holds the tree any more.
struct Alive {
    stop: Stop,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.stop.request();
    }
}

/// Commands and shows one supervisor. It stays valid when the supervisor is restarted by its parent.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
    alive: Option<Arc<Alive>>,
}

impl Handle {
    /// A handle for the inside of the tree: it does not keep the tree alive.
    pub(crate) fn inner(shared: Arc<Shared>) -> Handle {
        Handle { shared, alive: None }
    }

    /// The name of the supervisor.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// Adds a child and waits until it is ready, or has completed. If it fails before that, the answer is its failure, and it
    /// stays supervised by its policy: it is on the list and may come up later.
    pub async fn start_child(&self, spec: ChildSpec) -> Result<(), SupervisorError> {
        self.ask(|reply| Command::Add { spec, wait: true, reply }).await
    }

    /// Adds a child, and does not wait for it.
    pub async fn add_child(&self, spec: ChildSpec) -> Result<(), SupervisorError> {
        self.ask(|reply| Command::Add { spec, wait: false, reply }).await
    }

    /// Gives a child another specification: it is stopped if it runs, and started as if it were new. Waits as `start_child` does.
    /// This, [`Handle::restart_child`] and [`Handle::revive_child`] are the ways out of `crash-loop`.
    pub async fn replace_child(&self, spec: ChildSpec) -> Result<(), SupervisorError> {
        self.ask(|reply| Command::Replace { spec, reply }).await
    }

    /// Stops a child and waits until it is down. It stays on the list as `stopped`, and is not restarted with its group.
    pub async fn stop_child(&self, id: &str) -> Result<(), SupervisorError> {
        self.ask(|reply| Command::Stop { id: id.into(), reply }).await
    }

    /// Stops a child if it runs and starts it again, its failures forgiven. Waits as `start_child` does.
    pub async fn restart_child(&self, id: &str) -> Result<(), SupervisorError> {
        self.ask(|reply| Command::Restart { id: id.into(), reply }).await
    }

    /// Has a child run: one that is down or backs off is started at once, one that runs goes on; the failures of both are
    /// forgiven. It is the supervisor that looks, so nothing that happens meanwhile is missed. Does not wait for the child.
    pub async fn revive_child(&self, id: &str) -> Result<(), SupervisorError> {
        self.ask(|reply| Command::Revive { id: id.into(), reply }).await
    }

    /// Stops a child, waits until it is down, and takes it off the list.
    pub async fn remove_child(&self, id: &str) -> Result<(), SupervisorError> {
        self.ask(|reply| Command::Remove { id: id.into(), reply }).await
    }

    /// The latest snapshot. Changes are published within some milliseconds, many at once.
    pub fn tree(&self) -> Arc<Tree> {
        self.shared.tree.borrow().clone()
    }

    /// Follows the snapshots.
    pub fn watch(&self) -> watch::Receiver<Arc<Tree>> {
        self.shared.tree.subscribe()
    }

    /// Waits until a snapshot fulfils the predicate, and returns it. `None` if the tree is gone before.
    pub async fn wait_for(&self, mut predicate: impl FnMut(&Tree) -> bool) -> Option<Arc<Tree>> {
        let mut watch = self.watch();
        watch.wait_for(|tree| predicate(tree)).await.ok().map(|tree| tree.clone())
    }

    /// The sub-supervisor of that id, if there is one.
    pub fn child(&self, id: &str) -> Option<Handle> {
        let shared = self.shared.lock().subs.get(id).cloned()?;
        Some(Handle { shared, alive: self.alive.clone() })
    }

    /// Waits until the first children are all started: each is ready, completed, stopped by hand, or in a crash loop.
    /// An error if the supervisor ends before.
    pub async fn ready(&self) -> Result<(), SupervisorError> {
        let mut progress = self.shared.progress.subscribe();
        let progress = progress.wait_for(|progress| !matches!(progress, Progress::Starting)).await;
        match progress.as_deref() {
            Ok(Progress::Started) => Ok(()),
            Ok(Progress::Ended(Err(problem))) => {
                Err(SupervisorError::Failed { id: self.id().to_string(), problem: Box::new(problem.clone()) })
            }
            _ => Err(self.not_running()),
        }
    }

    /// Waits until the supervisor has ended: with success after a shutdown, or with the problem that it escalates.
    pub async fn ended(&self) -> Result<(), Problem> {
        let mut progress = self.shared.progress.subscribe();
        match progress.wait_for(|progress| matches!(progress, Progress::Ended(_))).await.as_deref() {
            Ok(Progress::Ended(result)) => result.clone(),
            _ => Ok(()),
        }
    }

    /// Stops the whole tree under this supervisor and waits until it is down; the deadlines of the children bound it.
    /// Meant for the root: a sub-supervisor that is shut down so is restarted by its parent's policy; use `stop_child` there.
    pub async fn shutdown(&self) {
        let stop = self.shared.lock().current.as_ref().map(|current| current.stop.clone());
        if let Some(stop) = stop {
            stop.request();
        }
        // How it ended is told by `ended`; here it only matters that it did.
        let _ = self.ended().await;
    }

    fn not_running(&self) -> SupervisorError {
        SupervisorError::NotRunning { supervisor: self.id().to_string() }
    }

    async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<(), SupervisorError> {
        let mailbox = self.shared.lock().current.as_ref().map(|current| current.mailbox.clone());
        let mailbox = mailbox.ok_or_else(|| self.not_running())?;
        let (reply, answer) = oneshot::channel();
        mailbox.send(command(reply)).await.map_err(|_| self.not_running())?;
        answer.await.map_err(|_| self.not_running())?
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("id", &self.shared.id).finish_non_exhaustive()
    }
}

pub(crate) type Reply = oneshot::Sender<Result<(), SupervisorError>>;

/// What a handle asks of the supervisor's task.
pub(crate) enum Command {
    Add { spec: ChildSpec, wait: bool, reply: Reply },
    Replace { spec: ChildSpec, reply: Reply },
    Stop { id: Arc<str>, reply: Reply },
    Restart { id: Arc<str>, reply: Reply },
    Revive { id: Arc<str>, reply: Reply },
    Remove { id: Arc<str>, reply: Reply },
}

/// How far the present run of a supervisor is.
#[derive(Debug, Clone)]
pub(crate) enum Progress {
    Starting,
    Started,
    Ended(Result<(), Problem>),
}

/// What handles and the supervisor's task share. It outlives the runs of a sub-supervisor.
pub(crate) struct Shared {
    pub(crate) id: Arc<str>,
    pub(crate) tree: watch::Sender<Arc<Tree>>,
    pub(crate) progress: watch::Sender<Progress>,
    slots: Mutex<Slots>,
}

#[derive(Default)]
pub(crate) struct Slots {
    /// The run that takes commands.
    current: Option<Current>,
    /// The sub-supervisors, by id.
    pub(crate) subs: HashMap<Arc<str>, Arc<Shared>>,
    /// Who is told that the tree has changed.
    pub(crate) parent: Option<(Arc<Bell>, Key)>,
}

struct Current {
    mailbox: mpsc::Sender<Command>,
    stop: Stop,
}

impl Shared {
    pub(crate) fn new(id: Arc<str>, env: &Env) -> Arc<Shared> {
        let tree = Tree {
            id: id.to_string(),
            kind: "supervisor".to_string(),
            state: State::Starting,
            restarts: 0,
            since_unix_ms: env.clock.unix_time().as_millis() as u64,
            last_exit: None,
            detail: None,
            children: Vec::new(),
        };
        Arc::new(Shared {
            id,
            tree: watch::Sender::new(Arc::new(tree)),
            progress: watch::Sender::new(Progress::Starting),
            slots: Mutex::default(),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the shared parts of all sub-supervisors in the specifications, so that their handles exist before they run.
    pub(crate) fn add_subs(&self, children: &[ChildSpec], env: &Env) {
        for child in children {
            self.sub(child, env);
        }
    }

    /// The shared part of a child that is a supervisor.
    pub(crate) fn sub(&self, child: &ChildSpec, env: &Env) -> Option<Arc<Shared>> {
        let Start::Supervisor(spec) = &child.start else { return None };
        let mut slots = self.lock();
        let sub =
            slots.subs.entry(child.id.clone()).or_insert_with(|| Shared::new(child.id.clone(), env)).clone();
        drop(slots);
        sub.add_subs(&spec.children, env);
        Some(sub)
    }

    /// Opens the mailbox of a new run.
    pub(crate) fn open(&self, stop: Stop) -> mpsc::Receiver<Command> {
        let (mailbox, commands) = mpsc::channel(MAILBOX);
        self.progress.send_replace(Progress::Starting);
        self.lock().current = Some(Current { mailbox, stop });
        commands
    }

    /// The run takes no more commands.
    pub(crate) fn close(&self) {
        self.lock().current = None;
    }

    pub(crate) fn publish(&self, tree: Tree) {
        self.tree.send_replace(Arc::new(tree));
        let parent = self.lock().parent.clone();
        if let Some((bell, key)) = parent {
            bell.ring(Note::Changed(key));
        }
    }
}
