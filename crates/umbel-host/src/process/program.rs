//! The program of a provider process: what a reference comes to, and what of unpacked archives is kept.

use super::{Plan, Program, coded};
use crate::error::HostError;
use crate::fetch::{blocking, obtain};
use crate::provider::Maker;
use crate::shared::Shared;
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use umbel_artifact::par::{self, Policy, Target};
use umbel_core::Problem;
use umbel_core::code::host as code;
use umbel_core::digest::Digest;
use umbel_core::event::ProviderClaims;
use umbel_core::reference::{Location, Reference};

/// What is started.
pub(super) struct Executable {
    pub(super) path: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) claims: Option<ProviderClaims>,
    /// Which program it is: another one under the same reference is another.
    pub(super) what: String,
}

/// Makes sure that the program is there and can be run here, without starting it.
pub async fn prepare(shared: &Arc<Shared>, plan: &Plan) -> Result<(), Problem> {
    shared.processes.ground(shared).await?;
    executable(shared, &plan.program).await.map(drop)
}

/// The executable that a program is.
pub(super) async fn executable(shared: &Arc<Shared>, program: &Program) -> Result<Executable, Problem> {
    match program {
        Program::Builtin(name) => {
            let own = shared.config.own.as_ref().ok_or_else(|| {
                Problem::new(code::PROVIDER_NOT_STARTED, "this host cannot start itself as a provider")
            })?;
            let args = own.provider.iter().cloned().chain([(*name).to_string()]).collect();
            let what = build_of(&own.path)?;
            Ok(Executable { path: own.path.clone(), args, claims: None, what })
        }
        Program::Archive { reference, digest } => {
            let parsed = Reference::new(reference).map_err(coded)?;
            let path = match parsed.location() {
                Location::File(path) => path.clone(),
                Location::Oci(_) => obtain(shared, reference, digest.clone(), |_| Ok(())).await?.0.path,
                _ => {
                    let what = "archives are read from files and registries".into();
                    return Err(Problem::from(&HostError::NoProvider { reference: reference.clone(), what }));
                }
            };
            let shared = shared.clone();
            blocking(move || unpack(&shared, &parsed, &path)).await
        }
    }
}

/// Which build of this program a file is. It is not read: that would take longer than the start.
fn build_of(path: &Path) -> Result<String, Problem> {
    let metadata = std::fs::metadata(path).map_err(|source| {
        Problem::new(code::PROVIDER_NOT_STARTED, format!("`{}` cannot be looked at", path.display()))
            .with_cause(source.to_string())
    })?;
    let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
    Ok(format!("{}:{}:{}:{seconds}.{nanos}", metadata.dev(), metadata.ino(), metadata.len()))
}

fn unpack(shared: &Shared, reference: &Reference, path: &Path) -> Result<Executable, Problem> {
    let file = File::open(path).map_err(|source| {
        Problem::new(code::PROVIDER_NOT_STARTED, format!("the archive `{}` cannot be read", path.display()))
            .with_cause(source.to_string())
    })?;
    let Some(ground) = shared.processes.ground.get() else {
        return Err(Problem::new(code::PROVIDER_NOT_STARTED, "the host is not ready for provider processes"));
    };
    let policy = Policy { signed_only: false, unix_time: shared.clock.unix_time() };
    let limits = par::Limits::default();
    let executable = ground.executables.extract(file, &Target::of_this_machine(), &policy, &limits);
    let executable = executable.map_err(|error| par::of_file(&error, path))?;
    let mut unpacked = shared.processes.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
    unpacked.insert(reference.to_string(), executable.digest);
    drop(unpacked);
    let claims = executable.claims.map(|token| token.for_event(shared.clock.unix_time()));
    let what = executable.digest.to_string();
    Ok(Executable { path: executable.path, args: Vec::new(), claims, what })
}

/// Removes the executables of archives that no provider is made of, be it one that runs or one that is ordered. Returns how many.
pub async fn collect(shared: &Arc<Shared>) -> Result<u64, Problem> {
    if !shared.state.join("programs").exists() {
        return Ok(0);
    }
    shared.processes.ground(shared).await?;
    // Between unpacking one and starting it nobody else needs it yet.
    let _alone = shared.processes.starting.write().await;
    let keep = needed(shared);
    let shared = shared.clone();
    let collect = move || match shared.processes.ground.get() {
        Some(ground) => ground.executables.collect(&keep).map_err(coded),
        None => Ok(0),
    };
    blocking(collect).await
}

fn needed(shared: &Shared) -> HashSet<Digest> {
    let providers = shared.providers.all();
    let makers = providers.values().flat_map(|slot| [slot.maker(), slot.ordered().maker]);
    let mut unpacked = shared.processes.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
    let references: HashSet<String> = makers
        .filter_map(|maker| match &*maker {
            Maker::Process(plan, _) => match &plan.program {
                Program::Archive { reference, .. } => Some(reference.clone()),
                Program::Builtin(_) => None,
            },
            _ => None,
        })
        .collect();
    unpacked.retain(|reference, _| references.contains(reference));
    let running = providers.values().filter_map(|slot| Digest::new(&slot.process()?.what).ok());
    unpacked.values().cloned().chain(running).collect()
}
