//! A process as a supervised child.

use super::{ProcessError, Spec, run};
use crate::spec::ChildSpec;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::code::supervisor as code;
use umbel_core::{Coded, Problem};

/// Time beyond the process's own grace before the task that watches it is aborted.
const SLACK: Duration = Duration::from_secs(2);

impl ChildSpec {
    /// A child that is a long-running process. It counts as ready when it is started; its pid is shown in the tree.
    ///
    /// Asked to stop, its group gets SIGTERM, and SIGKILL after [`Spec::grace`], which is reported.
    pub fn process(id: impl Into<Arc<str>>, spec: Spec) -> ChildSpec {
        let shutdown = spec.grace.saturating_add(SLACK);
        let spec = Arc::new(spec);
        let child = ChildSpec::task(id, move |cx| {
            let spec = spec.clone();
            async move {
                let (ready, detail, own) = (cx.ready.clone(), cx.detail.clone(), spec.on_start.clone());
                let spec = Spec::clone(&spec).on_start(move |pid| {
                    detail.set(format!("pid {pid}"));
                    ready.notify();
                    if let Some(tell) = &own {
                        tell(pid);
                    }
                });
                let result = run(&spec, &cx.stop).await.and_then(|output| output.check(&spec.program));
                cx.detail.clear();
                match result {
                    Ok(_) | Err(ProcessError::Stopped { killed: false, .. }) => Ok(()),
                    Err(error @ ProcessError::Stopped { killed: true, .. }) => {
                        Err(Problem::new(code::CHILD_KILLED, error.to_string()).with_help(error.help()))
                    }
                    Err(error) => Err(Problem::from(&error)),
                }
            }
        });
        child.kind("process").shutdown(shutdown)
    }
}
