//! Everything that runs in a host, as one list.
//!
//! Started from top to bottom, stopped from bottom to top: orders end first, then providers stop taking calls and drain, then
//! components, and what tells of all this goes last.

use crate::shared::{Host, rebind};
use crate::{
    artifacts, collect, component, control, event_log, exports, heartbeat, logs, process, provider, resume,
    tables,
};
use std::time::Duration;
use umbel_core::Problem;
use umbel_supervisor::{ChildSpec, Intensity, Strategy, SupervisorSpec};

/// The children of a host, in order. The binary puts those of manager and API after them.
pub fn children(host: &Host) -> Vec<ChildSpec> {
    let shared = host.0.clone();
    let task = |run: fn(_, _) -> _| {
        let shared = shared.clone();
        move |cx| run(shared.clone(), cx)
    };
    let mut children = vec![
        epochs(host),
        ChildSpec::task("logs", task(|s, cx| Box::pin(logs::run(s, cx)) as Run)),
        ChildSpec::task("events", task(|s, cx| Box::pin(event_log::run(s, cx)) as Run)),
        ChildSpec::task("tables", task(|s, cx| Box::pin(tables::run(s, cx)) as Run)),
        ChildSpec::task("rebind", task(|s, cx| Box::pin(rebind(s, cx)) as Run)),
        ChildSpec::supervisor(component::BRANCH, many()),
        ChildSpec::supervisor(provider::BRANCH, many()),
        ChildSpec::task("trim", task(|s, cx| Box::pin(heartbeat::trim(s, cx)) as Run)),
        ChildSpec::task("collect", task(|s, cx| Box::pin(collect::run(s, cx)) as Run)),
        ChildSpec::task("exports", task(|s, cx| Box::pin(exports::run(s, cx)) as Run)),
        ChildSpec::task("artifacts", task(|s, cx| Box::pin(artifacts::run(s, cx)) as Run)),
        ChildSpec::task("heartbeat", task(|s, cx| Box::pin(heartbeat::run(s, cx)) as Run)),
        ChildSpec::task("resume", task(|s, cx| Box::pin(resume::run(s, cx)) as Run)),
        ChildSpec::task("control", task(|s, cx| Box::pin(control::run(s, cx)) as Run)),
    ];
    if shared.processes.has_left() {
        children.push(process::leftovers(&shared));
    }
    children
}

type Run = std::pin::Pin<Box<dyn Future<Output = Result<(), Problem>> + Send>>;

/// The root: one fails, one is restarted.
pub fn root() -> SupervisorSpec {
    SupervisorSpec::new(Strategy::OneForOne).intensity(Intensity::new(10, Duration::from_secs(60)))
}

/// Children that come and go and do not depend on one another.
fn many() -> SupervisorSpec {
    SupervisorSpec::new(Strategy::OneForOne).together()
}

/// The thread that lets running guests be looked at. A thread, because it must tick however busy every runtime is.
fn epochs(host: &Host) -> ChildSpec {
    let engine = host.0.images.engine().clone();
    let every = host.0.tick();
    ChildSpec::thread("epochs", move |cx| {
        let tick = engine.ticker();
        cx.ready.notify();
        while !cx.stop.wait(every) {
            tick();
        }
        Ok(())
    })
}
