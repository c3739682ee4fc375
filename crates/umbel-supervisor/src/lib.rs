//! OTP supervision for tasks, threads and OS processes: the only place where anything is started.
//!
//! A system is a list of children. A supervisor starts them in order, restarts what fails by its policy, gives up on what
//! fails too often, and stops them in reverse, each with a deadline. Nothing is detached: what a child starts ends with it.
//! This crate must not know wasm, the lattice, or what its children are for.
//!
//! ```text
//!            Handle ──commands──▶ supervisor task ──▶ Machine::on_event (pure) ──▶ effects: start, stop, kill
//!              ▲                        │  ▲                                              │
//!              │                        │  └────────── exit, ready, detail ◀── child ◀────┘
//!              └──── watch: Tree ◀──────┘                                      (task, sub-supervisor,
//!                    immutable snapshots, coalesced                             process, thread)
//! ```
//!
//! What happens when a child fails too often is decided in one place, and documented at [`Intensity`].
//!
//! Read in this order:
//! [`spec`] says what should run · `machine` decides, purely · `task` performs · [`handle`] commands · [`view`] shows ·
//! [`context`] is what a child is given · [`scope`] holds the tasks of a child · [`process`] runs programs with limits, and long-running ones that leave nothing behind ·
//! [`guardian`] outlives a host that is killed and ends what it left ·
//! [`cores`] is the data path's threads, [`background`] those for long calls · [`thread`] is a plain thread with a stop flag · [`stop`] is how everything is asked to end.

pub mod background;
pub mod context;
pub mod cores;
pub mod error;
pub mod guardian;
pub mod handle;
pub mod process;
pub mod scope;
pub mod spec;
pub mod stop;
pub mod thread;
pub mod view;

mod contain;
mod machine;
mod task;

pub use background::Background;
pub use context::{ChildContext, Detail, Ready};
pub use cores::{CoreError, Cores};
pub use error::SupervisorError;
pub use handle::{Env, Handle, Supervisor};
pub use scope::{Scope, Spawner};
pub use spec::{Backoff, ChildSpec, Intensity, Order, Restart, Strategy, SupervisorSpec};
pub use stop::Stop;
pub use view::{State, Tree};
