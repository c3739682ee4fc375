//! Threads of low priority, for work that computes for long: what must answer at once is never kept from a core by it.

use crate::thread::ThreadError;
use tokio::runtime::{Builder, Handle, Runtime};

/// The nice value of the threads. Against a thread of ordinary priority they get about a fifteenth of a core that both want, and all of one
/// that nobody else wants.
pub const NICENESS: i32 = 12;

/// A runtime of its own on threads that give way to all others. Dropping it ends what still runs there, without waiting.
pub struct Background {
    // Taken when it ends.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Background {
    /// Starts `count` threads (at least one).
    pub fn start(count: usize, name: &str) -> Result<Background, ThreadError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(count.max(1))
            .thread_name(name)
            .enable_all()
            .on_thread_start(|| {
                // On Linux this is the calling thread's alone. Where it is refused, long calls compete with short ones.
                if let Err(error) = rustix::process::nice(NICENESS) {
                    tracing::warn!(%error, "a thread for long calls keeps its ordinary priority");
                }
            })
            .build()
            .map_err(|source| ThreadError { name: name.into(), source })?;
        Ok(Background { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Where work is given to it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Not waiting, because it may be dropped where waiting is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_threads_are_nice_and_nobody_else_becomes_so() {
        let background = Background::start(2, "background").expect("threads");
        let own = |_| rustix::process::getpriority_process(None).expect("it is told");
        let before = own(());
        let told = background.handle().spawn(async move { own(()) });
        let inside = background.handle().block_on(told).expect("it ends");
        assert_eq!((inside, own(())), (before + NICENESS, before));
    }
}
