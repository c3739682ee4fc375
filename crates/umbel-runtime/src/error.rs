//! What loading a component and calling it can end with.

use std::path::PathBuf;
use umbel_core::code::{Code, guest, runtime};
use umbel_core::{Coded, Problem};

/// Why bytes did not become an [`Image`](crate::Image).
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// Not WebAssembly at all.
    #[error("{what} is not WebAssembly: it begins with {found}")]
    NotWasm {
        /// What was given.
        what: String,
        /// Its first bytes, in hex.
        found: String,
    },
    /// Broken structure.
    #[error("{what} is damaged at byte {offset}: {reason}")]
    Damaged {
        /// What was given.
        what: String,
        /// Where.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A core module.
    #[error("{what} is a core module that cannot be made a component: {reason}")]
    Module {
        /// What was given.
        what: String,
        /// What it lacks.
        reason: String,
    },
    /// An actor-era module.
    #[error(
        "{what} is an actor module of wasmCloud before 1.0: it imports the interface of its actors (waPC)"
    )]
    Actor {
        /// What was given.
        what: String,
    },
    /// Exports no contract that can be called.
    #[error("the component exports {exports}, and none of it can be called from outside")]
    World {
        /// Its exports, or `nothing`.
        exports: String,
    },
    /// An import that cannot be linked.
    #[error("the import `{import}` cannot be served")]
    Import {
        /// The import's name.
        import: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// Invalid code.
    #[error("the component does not compile")]
    Compile {
        /// The compiler's words.
        #[source]
        source: Cause,
    },
    /// The compile process hit a limit.
    #[error("compiling the component needs more than its {limit}")]
    Limit {
        /// Which one, with its figure.
        limit: String,
    },
    /// The compile process failed in another way.
    #[error("the compile process failed: {reason}")]
    Worker {
        /// How it ended.
        reason: String,
    },
    /// Its interfaces.
    #[error("the interfaces of {what} cannot be told")]
    Wit {
        /// What was given.
        what: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The cache folder.
    #[error("the cache of compiled code at {path} cannot be used")]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: Cause,
    },
    /// The engine.
    #[error("the wasm engine could not be started")]
    Engine {
        /// The engine's words.
        #[source]
        source: Cause,
    },
    /// What the compile process found, as it told it.
    #[error("{}", .problem.message)]
    Told {
        /// The problem.
        problem: Problem,
        /// Its causes.
        #[source]
        source: Option<Box<Causes>>,
    },
}

/// An error of a library in words, so that several waiters can share it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub String);

impl Cause {
    /// The whole chain of an engine error on one line.
    pub(crate) fn of(error: &wasmtime::Error) -> Cause {
        Cause(format!("{error:#}"))
    }
}

impl From<std::io::Error> for Cause {
    fn from(error: std::io::Error) -> Cause {
        Cause(error.to_string())
    }
}

/// Causes that came over a wire as texts, as a chain of errors again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct Causes {
    text: String,
    #[source]
    next: Option<Box<Causes>>,
}

impl From<Problem> for LoadError {
    fn from(problem: Problem) -> LoadError {
        let chain = |next, text: &String| Some(Box::new(Causes { text: text.clone(), next }));
        let source = problem.causes.iter().rev().fold(None, chain);
        LoadError::Told { problem, source }
    }
}

impl Coded for LoadError {
    fn code(&self) -> Code {
        match self {
            LoadError::NotWasm { .. } => runtime::NOT_WASM,
            LoadError::Damaged { .. } => runtime::DAMAGED_WASM,
            LoadError::Module { .. } => runtime::MODULE_NOT_COMPONENT,
            LoadError::Actor { .. } => runtime::ACTOR_MODULE,
            LoadError::World { .. } => runtime::UNSUPPORTED_WORLD,
            LoadError::Import { .. } => runtime::UNSATISFIABLE_IMPORT,
            LoadError::Compile { .. } => runtime::COMPILE_FAILED,
            LoadError::Limit { .. } => runtime::COMPILE_LIMIT,
            LoadError::Worker { .. } => runtime::COMPILE_WORKER,
            LoadError::Wit { .. } => runtime::WIT,
            LoadError::Cache { .. } => runtime::CACHE_IO,
            LoadError::Engine { .. } => runtime::ENGINE,
            LoadError::Told { problem, .. } => problem.code,
        }
    }

    fn help(&self) -> String {
        match self {
            LoadError::Told { problem, .. } => problem.help.clone(),
            other => other.code().entry().help.to_string(),
        }
    }
}

/// Why a call into a component has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The guest trapped.
    #[error("{component} trapped: {reason}")]
    Trapped {
        /// The component's id.
        component: String,
        /// The trap, one line.
        reason: String,
    },
    /// Out of time.
    #[error("{component} did not answer within {limit_ms} ms")]
    Timeout {
        /// The component's id.
        component: String,
        /// Its budget.
        limit_ms: u64,
    },
    /// Out of memory, by its budget.
    #[error("{component} reached its memory limit of {limit_bytes} bytes")]
    Memory {
        /// The component's id.
        component: String,
        /// Its budget.
        limit_bytes: u64,
    },
    /// Out of memory, by the machine.
    #[error("the host has no more memory for {component}: {reason}")]
    HostMemory {
        /// The component's id.
        component: String,
        /// The system's answer.
        reason: String,
    },
    /// Out of stack.
    #[error("{component} recursed too deep: {reason}")]
    Stack {
        /// The component's id.
        component: String,
        /// Where.
        reason: String,
    },
    /// Returned without a response.
    #[error("{component} returned without setting a response")]
    NoResponse {
        /// The component's id.
        component: String,
    },
    /// Over `instances` and `waiting`.
    #[error(
        "{component} has {instances} calls running and {waiting} waiting, which is all its budget allows"
    )]
    Busy {
        /// The component's id.
        component: String,
        /// Its budget of instances.
        instances: u32,
        /// Its budget of waiting calls.
        waiting: u32,
    },
    /// Over the host's pool.
    #[error("no slot of the host's instance pool is free for {component}")]
    Pool {
        /// The component's id.
        component: String,
    },
    /// The guest's own error answer.
    #[error("{component} answered with the error {error}")]
    Guest {
        /// The component's id.
        component: String,
        /// The error code of wasi:http.
        error: String,
    },
    /// Draining.
    #[error("{component} is being stopped")]
    Stopping {
        /// The component's id.
        component: String,
    },
    /// The instance that a resident is has ended, and there is no other yet.
    #[error("{component} is not there: its instance has ended")]
    Over {
        /// The component's id.
        component: String,
    },
    /// A call over a link ended the call that made it.
    #[error("{}", problem.message)]
    Link {
        /// What happened there.
        problem: Box<Problem>,
    },
    /// Calls over links led to calls, too often.
    #[error("{component} was called by {depth} calls within one another")]
    Depth {
        /// The component's id.
        component: String,
        /// The limit.
        depth: u32,
    },
    /// All instances are held by calls that wait for this one.
    #[error("{component} was called back by what it waits for, and its {instances} instances are all busy")]
    Ring {
        /// The component's id.
        component: String,
        /// Its budget of instances.
        instances: u32,
    },
    /// Instantiation failed.
    #[error("{component} could not be instantiated: {reason}")]
    Instantiate {
        /// The component's id.
        component: String,
        /// The engine's words.
        reason: String,
    },
    /// A command's failure.
    #[error("{component} ended with status {status}")]
    Command {
        /// The component's id.
        component: String,
        /// Its exit status.
        status: i32,
    },
    /// The request does not fit wasi:http.
    #[error("the request cannot be handed to {component}: {reason}")]
    Request {
        /// The component's id.
        component: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No such export.
    #[error("{component} has no {wanted} export")]
    NoExport {
        /// The component's id.
        component: String,
        /// The kind of export.
        wanted: &'static str,
    },
}

impl Coded for CallError {
    fn code(&self) -> Code {
        match self {
            CallError::Trapped { .. } => guest::TRAPPED,
            CallError::Timeout { .. } => guest::CALL_TIMEOUT,
            CallError::Memory { .. } => guest::MEMORY_LIMIT,
            CallError::HostMemory { .. } => guest::HOST_MEMORY,
            CallError::Stack { .. } => guest::STACK_OVERFLOW,
            CallError::NoResponse { .. } => guest::NO_RESPONSE,
            CallError::Busy { .. } => guest::INSTANCES_LIMIT,
            CallError::Pool { .. } => guest::POOL_EXHAUSTED,
            CallError::Guest { .. } => guest::GUEST_ERROR,
            CallError::Stopping { .. } => guest::STOPPING,
            CallError::Over { .. } => guest::NOT_RUNNING,
            CallError::Link { problem } => problem.code,
            CallError::Depth { .. } => guest::CALL_DEPTH,
            CallError::Ring { .. } => guest::INSTANCES_RING,
            CallError::Instantiate { .. } => guest::INSTANTIATE,
            CallError::Command { .. } => guest::COMMAND_FAILED,
            CallError::Request { .. } => guest::INVALID_REQUEST,
            CallError::NoExport { .. } => guest::NOT_HTTP,
        }
    }

    fn help(&self) -> String {
        match self {
            CallError::Link { problem } => problem.help.clone(),
            other => other.code().entry().help.to_string(),
        }
    }
}
