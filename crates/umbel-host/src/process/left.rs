//! What an older host has left: processes that go on without one until they are taken over.
//!
//! ```text
//!  host killed ─▶ the process keeps its state, and knocks at the socket
//!                    │                         │ nobody opens within the grace: guardian and process see to its end
//!  next host: sweep ─┴▶ expects it with its token ─▶ ordered again as it is: config and links are put again
//!                                              └──▶ ordered otherwise, or not at all: it is ended
//! ```

use super::log::Log;
use super::program::Executable;
use super::run::{Connected, over, rules};
use super::{Ground, Place, Plan, Program, coded};
use crate::shared::Shared;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::host as code;
use umbel_core::id::ProviderId;
use umbel_core::limits::Containment;
use umbel_core::link::LinkKey;
use umbel_core::settings::Settings;
use umbel_lattice::unix::{Door, DoorSpec, Token};
use umbel_provider::{Provider, StartContext};
use umbel_supervisor::process::{Policy, Record};
use umbel_supervisor::{ChildContext, ChildSpec, Restart};

/// How long a process may take to come back once its socket is open. It tries many times in a second.
const BACK_MAX: Duration = Duration::from_secs(5);
/// How long ending all of them may take.
const END_MAX: Duration = Duration::from_secs(10);

/// What is kept of a process for the next host. Only its owner can read it: the token is a secret.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    provider: ProviderId,
    address: String,
    token: String,
    made: Made,
}

/// What a process was made of. One that is ordered again is taken over if nothing of this has changed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    /// What was ordered.
    reference: String,
    /// What that came to.
    what: String,
    args: Vec<String>,
    #[serde(default)]
    containment: Containment,
}

impl Made {
    pub(super) fn new(plan: &Plan, executable: &Executable) -> Made {
        let reference = match &plan.program {
            Program::Archive { reference, .. } => reference.clone(),
            Program::Builtin(name) => format!("builtin:{name}"),
        };
        let (what, args) = (executable.what.clone(), executable.args.clone());
        Made { reference, what, args, containment: plan.containment }
    }
}

impl Kept {
    pub(super) fn new(id: &ProviderId, address: &str, token: &Token, made: Made) -> Kept {
        Kept { provider: id.clone(), address: address.into(), token: token.reveal().into(), made }
    }

    /// As it is kept in the process's record; what ends with its host needs no more than a name for people.
    pub(super) fn data(&self, policy: Policy) -> serde_json::Value {
        let whole = (policy == Policy::Adopt).then(|| serde_json::to_value(self).ok()).flatten();
        whole.unwrap_or_else(|| serde_json::json!({ "provider": self.provider.as_str() }))
    }
}

/// A process that an older host has left, and that may come back.
pub(super) struct Left {
    id: ProviderId,
    made: Made,
    record: Record,
    held: (Door, Place),
}

impl Left {
    /// Expects the process. `Err` is the record of one that says too little of itself.
    pub(super) fn new(shared: &Arc<Shared>, ground: &Ground, record: Record) -> Result<Left, Box<Record>> {
        let kept = serde_json::from_value::<Kept>(record.data.clone()).ok();
        let Some((kept, token)) = kept.and_then(|kept| Token::kept(&kept.token).map(|token| (kept, token)))
        else {
            return Err(Box::new(record));
        };
        let confine = rules(shared, &kept.provider, &kept.address);
        let spec = DoorSpec { id: kept.provider.to_string(), confine };
        let door = ground.gate.expect_again(spec, token);
        let place = Place::of(&ground.names, &record.name, &kept.address);
        Ok(Left { id: kept.provider, made: kept.made, record, held: (door, place) })
    }

    /// Takes the process over: waits until it is back, tells it the config, and what of its links is gone. All of it is ended if that fails.
    pub(super) async fn adopt(
        self,
        shared: &Arc<Shared>,
        ground: &Ground,
        (cx, settings): (&StartContext, &Settings),
        log: Arc<Log>,
    ) -> Result<Connected, Problem> {
        let Left { record, held, .. } = self;
        let on_line = Arc::new(move |stream, line: &[u8]| log.line(stream, line));
        let running = ground.home.adopt(record, on_line).await.map_err(coded)?;
        let back = tokio::select! {
            back = tokio::time::timeout(BACK_MAX, held.0.connected()) => back.unwrap_or_else(|_| {
                let message = format!("the process did not come back within {BACK_MAX:?}");
                Err(Problem::new(code::PROVIDER_EXITED, message))
            }),
            why = over(&running, &held.0) => Err(why),
        };
        if let Err(problem) = back {
            // Dropping it would end it too, but nobody would wait for that.
            let _ = running.stop(Duration::ZERO).await;
            return Err(problem);
        }
        let pid = running.pid();
        let connected = Connected::new(shared, ground, &cx.id, running, held, None).await?;
        match renew(shared, cx, settings, &connected.remote).await {
            Ok(()) => {
                tracing::info!(provider = %cx.id, pid, "a process of an earlier host was taken over");
                Ok(connected)
            }
            Err(problem) => {
                connected.end().await;
                Err(problem)
            }
        }
    }

    async fn end(self, ground: &Ground) {
        end(ground, self.record).await;
    }
}

/// What may have changed while there was no host. Links that are there are put again with all others.
async fn renew(
    shared: &Shared,
    cx: &StartContext,
    settings: &Settings,
    remote: &umbel_provider::remote::Remote,
) -> Result<(), Problem> {
    remote.put_settings(settings.clone()).await?;
    let tables = shared.tables.borrow().clone();
    let there: HashSet<LinkKey> =
        tables.links_with(cx.id.as_str()).into_iter().map(|resolved| resolved.link.key()).collect();
    for gone in remote.links().into_iter().filter(|key| !there.contains(key)) {
        remote.del_link(&gone).await?;
    }
    Ok(())
}

/// Ends what is left of a process.
pub(super) async fn end(ground: &Ground, record: Record) {
    let name = record.name.clone();
    match ground.home.end(record).await {
        Ok(()) => tracing::warn!(process = name, "a process that an earlier host had left was ended"),
        Err(error) => {
            tracing::error!(%error, process = name, "a process that an earlier host had left was not ended")
        }
    }
}

fn take(shared: &Shared, id: &ProviderId) -> Vec<Left> {
    shared.processes.left().extract_if(.., |left| left.id == *id).collect()
}

/// Ends what an older host has left of a provider that is no process any more.
pub async fn forgo(shared: &Arc<Shared>, id: &ProviderId) -> Result<(), Problem> {
    let of_provider = take(shared, id);
    if of_provider.is_empty() {
        return Ok(());
    }
    let ground = shared.processes.ground(shared).await?;
    for left in of_provider {
        left.end(ground).await;
    }
    Ok(())
}

/// The process of the provider that an older host has left, if it is what is ordered. Others of the provider are ended first: they may have
/// its data open.
pub(super) async fn claim(
    shared: &Arc<Shared>,
    ground: &Ground,
    id: &ProviderId,
    made: &Made,
) -> Option<Left> {
    let mut of_provider = take(shared, id);
    let at = of_provider.iter().position(|left| left.made == *made);
    let found = at.map(|at| of_provider.swap_remove(at));
    for other in of_provider {
        other.end(ground).await;
    }
    found
}

/// The child that ends what nobody has ordered again: when all that was ordered before is there, when the grace is over, or with the host.
pub fn leftovers(shared: &Arc<Shared>) -> ChildSpec {
    let shared = shared.clone();
    ChildSpec::task("leftovers", move |cx| run(shared.clone(), cx))
        .restart(Restart::Temporary)
        .shutdown(END_MAX)
}

async fn run(shared: Arc<Shared>, cx: ChildContext) -> Result<(), Problem> {
    cx.ready.notify();
    let ground = shared.processes.ground(&shared).await?;
    // The older host's guardian has left them to this host.
    let guarded = shared.processes.guard_in(&cx.supervisor, &shared, ground).await;
    let mut restored = shared.processes.restored.subscribe();
    tokio::select! {
        _ = restored.wait_for(|restored| *restored) => {}
        () = tokio::time::sleep(shared.config.adopt_grace) => {}
        () = cx.stop.requested() => {}
    }
    let unclaimed = std::mem::take(&mut *shared.processes.left());
    for left in unclaimed {
        left.end(ground).await;
    }
    guarded
}
