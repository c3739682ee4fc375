//! Providers that are processes: where they live, how they are started, and what tells that one has ended.
//!
//! ```text
//!  reference ─▶ executable (of an archive, or this very program) ─▶ Home::start: cgroup, record, run folder
//!                                                                       │ stdin: HostData
//!  components ─▶ Remote ─▶ lattice ─▶ Gate: one unix socket for all ◀───┘ connects with its token
//!                  ▲
//!                  └── lost, as soon as the process or its connection has ended: callers are told at once
//! ```

mod contain;
mod left;
mod log;
mod program;
pub(crate) mod reach;
mod run;

pub use left::{forgo, leftovers};
pub use program::{collect, prepare};
pub use run::{ProcessProvider, start};

use crate::fetch::blocking;
use crate::shared::Shared;
use left::Left;
use reach::{Called, catalog_of, links_of};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{OnceCell, RwLock, watch};
use umbel_artifact::par::Executables;
use umbel_core::code::host as code;
use umbel_core::digest::Digest;
use umbel_core::id::ProviderId;
use umbel_core::limits::Containment;
use umbel_core::{Coded, Problem};
use umbel_lattice::unix::Gate;
use umbel_lattice::wrpc::{Lent, Server, ServerLimits, ServerSpec};
use umbel_provider::sdk::spawn_in;
use umbel_supervisor::process::{Cgroups, Home, Policy};
use umbel_supervisor::{Handle, Scope, guardian};

/// What a provider process is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The program.
    pub program: Program,
    /// What holds it.
    pub containment: Containment,
}

/// What a provider process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// An archive.
    Archive {
        /// What names it.
        reference: String,
        /// What it is, if that is known: what its name means may change.
        digest: Option<String>,
    },
    /// A provider of this build, in a process of its own.
    Builtin(&'static str),
}

/// How this program starts itself again for its processes.
#[derive(Debug, Clone)]
pub struct Own {
    /// The program; `/proc/self/exe` is the one that runs, even if its file has been replaced.
    pub path: PathBuf,
    /// Its arguments that make it the guardian; one more follows.
    pub guardian: Vec<String>,
    /// Its arguments that make it a provider; its name follows.
    pub provider: Vec<String>,
}

/// The provider processes of one host. Nothing of it is made before the first one is started, but what an older host has left is
/// looked at at the start.
#[derive(Default)]
pub struct Processes {
    ground: OnceCell<Ground>,
    // Made before the first process, and not with the ground: what an older host has left is swept before there is a tree.
    guardian: OnceCell<()>,
    // What an older host has left, until it is ordered again or ended.
    left: Mutex<Vec<Left>>,
    // Whether all that was ordered before is there.
    restored: watch::Sender<bool>,
    // Executables of archives by what they were unpacked from.
    unpacked: Mutex<HashMap<String, Digest>>,
    // Held by whoever starts a process, until its executable is not needed any more.
    starting: RwLock<()>,
}

struct Ground {
    home: Home,
    gate: Gate,
    executables: Executables,
    // What the connections and readers of the gate run in.
    tasks: Scope,
    // Components that processes call, as long as one has a link to them: one server each, however many call.
    called: tokio::sync::Mutex<HashMap<String, Weak<Server>>>,
    // Names of the processes that there are.
    names: Arc<Mutex<HashSet<String>>>,
}

/// The name and the address of one process, which no other has while this is held. A provider that is replaced has two processes for a
/// while: the second is told the same id, and what is sent to it goes to another address.
struct Place {
    name: String,
    address: String,
    names: Arc<Mutex<HashSet<String>>>,
}

impl Place {
    /// The place of a process that an older host has left.
    fn of(names: &Arc<Mutex<HashSet<String>>>, name: &str, address: &str) -> Place {
        names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_string());
        Place { name: name.to_string(), address: address.to_string(), names: names.clone() }
    }

    fn take(names: &Arc<Mutex<HashSet<String>>>, id: &ProviderId) -> Place {
        let first = name_of(id);
        let mut taken = names.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut name, mut address) = (first.clone(), id.to_string());
        for number in 2_u32.. {
            if taken.insert(name.clone()) {
                break;
            }
            // No id has a slash.
            (name, address) = (format!("{first}.{number}"), format!("{id}/{number}"));
        }
        Place { name, address, names: names.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

impl Processes {
    /// Ends what an older host has left, or, if that is the policy, expects it to come back.
    pub async fn sweep(&self, shared: &Arc<Shared>) -> Result<(), Problem> {
        if !shared.state.join("processes").exists() {
            return Ok(());
        }
        let ground = self.ground(shared).await?;
        let swept = ground.home.sweep(shared.config.processes == Policy::Adopt).await;
        for record in swept.adoptable {
            match Left::new(shared, ground, record) {
                Ok(left) => self.left().push(left),
                Err(record) => left::end(ground, *record).await,
            }
        }
        for name in &swept.ended {
            tracing::warn!(process = name, "a process that an earlier host had left was ended");
        }
        for error in &swept.problems {
            tracing::error!(%error, help = error.help(), "a process that an earlier host had left was not ended");
        }
        Ok(())
    }

    /// All that was ordered before is there: what an older host has left is not waited for any more.
    pub fn restored(&self) {
        self.restored.send_replace(true);
    }

    /// Whether an older host has left something that nobody has ordered again yet.
    pub fn has_left(&self) -> bool {
        !self.left().is_empty()
    }

    fn left(&self) -> MutexGuard<'_, Vec<Left>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ground(&self, shared: &Arc<Shared>) -> Result<&Ground, Problem> {
        self.ground.get_or_try_init(|| Ground::open(shared)).await
    }

    /// Starts the guardian, if this program can be one and it does not run yet.
    async fn guard(&self, shared: &Arc<Shared>, ground: &Ground) -> Result<(), Problem> {
        let Some(root) = shared.root() else { return Ok(()) };
        self.guard_in(root, shared, ground).await
    }

    async fn guard_in(&self, root: &Handle, shared: &Arc<Shared>, ground: &Ground) -> Result<(), Problem> {
        let Some(own) = &shared.config.own else { return Ok(()) };
        let start = || async {
            let args = own.guardian.iter().map(Into::into).collect();
            let grace = shared.config.adopt_grace;
            let guardian = guardian::child_spec(&ground.home, own.path.clone(), args, grace);
            root.add_child(guardian).await.map_err(coded)
        };
        self.guardian.get_or_try_init(start).await.copied()
    }
}

impl Ground {
    async fn open(shared: &Arc<Shared>) -> Result<Ground, Problem> {
        let (folder, programs) = (shared.state.join("processes"), shared.state.join("programs"));
        let host = shared.id.to_string();
        let opened = blocking(move || {
            let home = Home::open(&folder, &host, Cgroups::detect()).map_err(coded)?;
            let executables = Executables::open(programs).map_err(coded)?;
            Ok((home, executables))
        });
        let (home, executables) = opened.await?;
        let tasks = Scope::new("provider connections");
        let socket = home.folder().join("lattice.sock");
        let gate = Gate::open(shared.local.clone(), &socket, spawn_in(&tasks)).map_err(|source| {
            Problem::new(code::PROVIDER_NOT_STARTED, "the socket of provider processes cannot be opened")
                .with_cause(format!("{}: {source}", socket.display()))
        })?;
        Ok(Ground { home, gate, executables, tasks, called: Default::default(), names: Arc::default() })
    }

    /// Lets processes call the component.
    async fn serve(&self, shared: &Arc<Shared>, component: &str) -> Result<Arc<Server>, Problem> {
        let mut called = self.called.lock().await;
        called.retain(|_, server| server.strong_count() > 0);
        if let Some(server) = called.get(component).and_then(Weak::upgrade) {
            return Ok(server);
        }
        let catalog = catalog_of(shared, component);
        let spec = ServerSpec {
            id: component.to_string(),
            catalog,
            serve: Arc::new(Called { shared: Arc::downgrade(shared), component: component.to_string() }),
            links: links_of(shared, component),
            lent: Lent::new(),
            group: None,
            is_quick: false,
            limits: ServerLimits::default(),
        };
        let server = Server::start(shared.local.clone(), spawn_in(&self.tasks), spec).await;
        let server = Arc::new(server.map_err(coded)?);
        called.insert(component.to_string(), Arc::downgrade(&server));
        Ok(server)
    }
}

/// Longest id that is a name of cgroups and folders as it is, with room for a number behind it.
const NAME_MAX: usize = 60;

/// A name for cgroups and folders: that of the id, or where it cannot be one, its digest.
fn name_of(id: &ProviderId) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let id = id.as_str();
    if id.len() <= NAME_MAX && id.chars().all(fits) && !id.starts_with('.') {
        return id.to_string();
    }
    Digest::of(id.as_bytes()).hex()[..32].to_string()
}

fn coded(error: impl Coded) -> Problem {
    Problem::from(&error)
}
