//! Does the steps of a plan, phase by phase, many at once within a phase. Every step may be done again.

use crate::plan::Step;
use futures::StreamExt;
use std::collections::BTreeSet;
use umbel_core::code::host::PROVIDER_EXISTS;
use umbel_core::link::Link;
use umbel_core::{Coded, Problem};
use umbel_lattice::control::{Client, ControlError, StartProvider, StopProvider};

/// What became of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// The step.
    pub step: Step,
    /// Whether the host accepted it.
    pub result: Result<(), Problem>,
}

/// Does the steps, which are in the order of their phases. At most `concurrency` requests are under way.
pub async fn execute(client: &Client, steps: Vec<Step>, concurrency: usize) -> Vec<Done> {
    let mut done: Vec<Done> = Vec::with_capacity(steps.len());
    let mut steps = steps.into_iter().peekable();
    while let Some(phase) = steps.peek().map(Step::phase) {
        let mut batch = Vec::new();
        while let Some(step) = steps.next_if(|step| step.phase() == phase) {
            batch.push(step);
        }
        let failed: BTreeSet<String> = done
            .iter()
            .filter(|done| done.result.is_err())
            .filter_map(|done| done.step.part_id().map(str::to_owned))
            .collect();
        // What replaces a part elsewhere could not be started: the part that runs is kept until it can.
        batch.retain(|step| phase < 5 || step.part_id().is_none_or(|id| !failed.contains(id)));
        let steps = batch.into_iter().map(|step| run(client.clone(), step)).collect::<Vec<_>>();
        let results = futures::stream::iter(steps);
        done.extend(results.buffer_unordered(concurrency.max(1)).collect::<Vec<Done>>().await);
    }
    done
}

async fn run(client: Client, step: Step) -> Done {
    let result = match &step {
        Step::PutConfig { name, values } => client.put_config(name, values).await.map(drop),
        Step::DelConfig { name } => client.del_config(name).await.map(drop),
        Step::StartProvider(start) | Step::RenewProvider(start) => {
            client.start_provider(start).await.map(drop)
        }
        Step::ChangeProvider(start) => match client.start_provider(start).await {
            Err(error) if error.code() == PROVIDER_EXISTS => replace_provider(&client, start).await,
            other => other.map(drop),
        },
        Step::ReplaceProvider(start) => replace_provider(&client, start).await,
        Step::StartComponent(scale)
        | Step::ScaleComponent(scale)
        | Step::UpdateComponent(scale)
        | Step::StopComponent(scale) => client.scale(scale).await.map(drop),
        Step::StopProvider(stop) => client.stop_provider(stop).await.map(drop),
        Step::PutLink(link) => put_link(&client, link).await,
        Step::DelLink(key) => client.del_link(key).await.map(drop),
    };
    Done { step, result: result.map_err(Problem::from) }
}

/// Another provider takes the place of the one that runs.
async fn replace_provider(client: &Client, start: &StartProvider) -> Result<(), ControlError> {
    let stop = StopProvider {
        host_id: start.host_id.clone(),
        provider_id: start.provider_id.clone(),
        generation: start.generation,
    };
    client.stop_provider(&stop).await?;
    client.start_provider(start).await.map(drop)
}

/// Hosts of wasmCloud 1.x refuse to replace a link by one to another target: there it is deleted first.
async fn put_link(client: &Client, link: &Link) -> Result<(), ControlError> {
    match client.put_link(link).await {
        Err(ControlError::Refused { problem }) if problem.message.contains("already exists") => {
            client.del_link(&link.key()).await?;
            client.put_link(link).await.map(drop)
        }
        other => other.map(drop),
    }
}
