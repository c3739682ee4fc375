//! A long-running process as it is asked for.

use super::cgroup::CgroupLimits;
use super::record::Policy;
use super::running::OnLine;
use super::{Home, Spec};
use crate::spec::ChildSpec;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::supervisor as code;

/// Time beyond the process's own grace before the task that drives it is aborted.
const SLACK: Duration = Duration::from_secs(7);

/// A long-running process: what to run, and what holds it.
///
/// Of the [`Spec`], program, arguments, environment, folder, stdin, limits, niceness, sandbox and grace are used. It always leads a
/// session of its own and, as root, what it mounts is seen by it alone and goes with it, and cgroups are
/// read-only for it; the death signal follows the policy; its lines go to `on_line`, and neither captures nor deadline apply.
#[derive(Clone)]
pub struct Service {
    /// Its name in this home: 1 to 64 letters, digits, `.`, `_`, `-`. Also of its run folder and its cgroup.
    pub name: String,
    /// What to run.
    pub spec: Spec,
    /// What becomes of it without its host. Default: it ends.
    pub policy: Policy,
    /// What it and all its descendants may use together.
    pub limits: CgroupLimits,
    /// Told each line that it prints. Called on the runtime; must not block.
    pub on_line: OnLine,
    /// Kept in its record.
    pub data: serde_json::Value,
}

impl Service {
    /// A process without limits whose lines go to nowhere, and which ends with its host.
    pub fn new(name: impl Into<String>, spec: Spec) -> Service {
        Service {
            name: name.into(),
            spec,
            policy: Policy::End,
            limits: CgroupLimits::default(),
            on_line: Arc::new(|_, _| {}),
            data: serde_json::Value::Null,
        }
    }

    /// What becomes of it without its host.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Service {
        self.policy = policy;
        self
    }

    /// What it may use.
    #[must_use]
    pub fn limits(mut self, limits: CgroupLimits) -> Service {
        self.limits = limits;
        self
    }

    /// Who is told its lines.
    #[must_use]
    pub fn on_line(mut self, tell: impl Fn(super::Stream, &[u8]) + Send + Sync + 'static) -> Service {
        self.on_line = Arc::new(tell);
        self
    }

    /// What is kept in its record.
    #[must_use]
    pub fn data(mut self, data: serde_json::Value) -> Service {
        self.data = data;
        self
    }

    /// What is needed of one that runs already.
    pub(super) fn adopted(on_line: OnLine) -> Service {
        Service { on_line, ..Service::new("", Spec::new("")) }
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("process::Service")
            .field("name", &self.name)
            .field("spec", &self.spec)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl ChildSpec {
    /// A child that is a long-running process with a cgroup and a record. It counts as ready when it is started.
    ///
    /// Asked to stop, its group gets SIGTERM, and all of it is killed after [`Spec::grace`], which is reported. One that is to be
    /// talked to has a task of its own instead, which drives a [`super::Running`].
    pub fn service(id: impl Into<Arc<str>>, home: Home, service: Service) -> ChildSpec {
        let shutdown = service.spec.grace.saturating_add(SLACK);
        let service = Arc::new(service);
        let child = ChildSpec::task(id, move |cx| {
            let (home, service) = (home.clone(), service.clone());
            async move {
                let running = home.start(&service).await.map_err(|error| Problem::from(&error))?;
                cx.detail.set(format!("pid {}", running.pid()));
                cx.ready.notify();
                let asked = tokio::select! {
                    _ = running.exited() => false,
                    () = cx.stop.requested() => true,
                };
                cx.detail.clear();
                let program = || service.spec.program.display().to_string();
                let stopped =
                    running.stop(service.spec.grace).await.map_err(|error| Problem::from(&error))?;
                if stopped.killed {
                    let message = format!("`{}` was stopped, and killed because it did not end", program());
                    return Err(Problem::new(code::CHILD_KILLED, message));
                }
                if asked || stopped.exit.is_success() {
                    return Ok(());
                }
                Err(Problem::new(
                    code::PROCESS_FAILED,
                    format!("`{}` ended with {}", program(), stopped.exit),
                ))
            }
        });
        child.kind("process").shutdown(shutdown)
    }
}
