//! Open files: every connection is one, and where none is left nothing can be opened, no state, no child process, no answer.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than anything here needs; with an endless limit, programs that close all that they might have inherited take forever.
const FILES_MAX: u64 = 1 << 20;

/// Raises the soft limit to the hard one, which a process may do itself; the limit that holds then.
pub(crate) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = attainable();
    if limit.current.is_some_and(|current| current < wanted)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit })
    {
        tracing::warn!(%error, wanted, "the limit of open files cannot be raised");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(FILES_MAX)
}

/// What [`raise`] would reach.
pub(crate) fn attainable() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(FILES_MAX).min(FILES_MAX)
}
