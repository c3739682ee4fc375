//! The interfaces of a component as WIT text: its world, and every interface that the world names.
//!
//! Whoever wrote the file decides how much work reading it is, so it is done by the compile process, under limits.

mod print;

use crate::compile::{Exit, Job, Task, Worker};
use crate::config::CompileLimits;
use crate::engine::Layout;
use crate::error::{Cause, LoadError};
use crate::inspect;
use std::path::Path;
use std::time::Duration;
use umbel_core::Problem;
use wit_parser::decoding::{DecodedWasm, decode};

/// Bytes of the text.
pub const WIT_BYTES_MAX: usize = 4 << 20;

/// What describing one component may use: far less than compiling it.
pub(crate) const LIMITS: CompileLimits = CompileLimits {
    memory_bytes: 1 << 30,
    cpu: Duration::from_secs(20),
    wall: Duration::from_secs(30),
    code_bytes: WIT_BYTES_MAX as u64 + 1,
};

/// The text of a component's bytes; `what` names them in messages.
pub(crate) fn describe(what: &str, bytes: &[u8]) -> Result<String, LoadError> {
    inspect::check(what, bytes)?;
    let failed = |reason: String| LoadError::Wit { what: what.into(), source: Cause(reason) };
    let decoded = decode(bytes).map_err(|error| failed(format!("{error:#}")))?;
    let text = match &decoded {
        DecodedWasm::Component(resolve, world) => print::component(resolve, *world),
        DecodedWasm::WitPackage(resolve, package) => print::packages(resolve, *package),
    };
    match text.len() {
        0..=WIT_BYTES_MAX => Ok(text),
        more => Err(failed(format!("its text has {more} bytes, and at most {WIT_BYTES_MAX} are shown"))),
    }
}

/// Describes the component at `input` through the worker, which writes to `output`.
pub(crate) async fn run(
    worker: &dyn Worker,
    input: &Path,
    output: &Path,
    what: &str,
) -> Result<String, LoadError> {
    let job = Job {
        task: Task::Describe,
        input: input.to_path_buf(),
        output: output.to_path_buf(),
        what: what.into(),
        layout: Layout::OnDemand,
        limits: LIMITS,
    };
    match worker.run(&job).await {
        Ok(Exit::Done) => tokio::fs::read_to_string(output)
            .await
            .map_err(|source| LoadError::Cache { path: output.to_path_buf(), source: source.into() }),
        Ok(Exit::Failed(answer)) => Err(match serde_json::from_slice::<Problem>(&answer) {
            Ok(problem) => LoadError::from(problem),
            Err(_) => LoadError::Worker { reason: "it gave no answer".into() },
        }),
        Ok(Exit::Limit(limit)) => {
            Err(LoadError::Wit { what: what.into(), source: Cause(format!("it needs more than {limit}")) })
        }
        Err(reason) => Err(LoadError::Worker { reason }),
    }
}

#[cfg(test)]
mod tests;
