//! What components use of their budgets, and the process of the machine: counters, of which whoever reads twice makes rates.

use crate::fetch::blocking;
use crate::inventory;
use crate::shared::Shared;
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::io;
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::code::host::WORKER_UNAVAILABLE;
use umbel_core::id::ComponentId;
use umbel_lattice::extension::{ComponentUsage, MemoryUse, ThreadsUse, UsageReport};
use umbel_runtime::Engine;

/// Threads by the beginning of their names; the kernel keeps 15 bytes of one.
const GROUPS: [(&str, &str); 3] =
    [("umbel-data-", "data-path"), ("umbel-backgroun", "long-calls"), ("umbel-control", "control-plane")];
/// All other threads that live.
const OTHERS: &str = "background";
/// What threads used that have ended.
const ENDED: &str = "ended";

/// The counters of this moment.
pub async fn report(shared: &Arc<Shared>) -> Result<UsageReport, Problem> {
    let engine = shared.images.engine().clone();
    let process = blocking(move || {
        read(&engine).map_err(|error| {
            Problem::new(WORKER_UNAVAILABLE, "the system does not say what the process uses")
                .with_cause(error.to_string())
        })
    });
    let (cpu_us, threads, memory) = process.await?;
    let mut components = Vec::new();
    for slot in shared.slots.all().values() {
        let status = slot.status();
        components.push(ComponentUsage {
            id: slot.id.clone(),
            application: slot.desired.borrow().application.clone(),
            state: status.state,
            limits: status.budget.as_ref().map(|budget| budget.limits().clone()),
            usage: inventory::usage(slot),
        });
    }
    // Providers that are components use what those use.
    for slot in shared.providers.all().values() {
        let (Some(provider), Ok(id)) = (slot.component(), ComponentId::new(slot.id.as_str())) else {
            continue;
        };
        components.push(ComponentUsage {
            id,
            application: slot.order().application.clone(),
            state: slot.status().0,
            limits: Some(provider.budget().limits().clone()),
            usage: inventory::used(provider.usage()),
        });
    }
    components.sort_by(|a, b| a.id.cmp(&b.id));
    let at_us = u64::try_from(shared.uptime().as_micros()).unwrap_or(u64::MAX);
    Ok(UsageReport { pid: std::process::id(), at_us, components, cpu_us, threads, memory })
}

type Process = (u64, Vec<ThreadsUse>, MemoryUse);

fn read(engine: &Engine) -> io::Result<Process> {
    let mut threads: Vec<ThreadsUse> = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let path = entry?.path();
        let (Ok(name), Ok(sched)) =
            (fs::read_to_string(path.join("comm")), fs::read_to_string(path.join("schedstat")))
        else {
            // It ended meanwhile.
            continue;
        };
        let mut numbers =
            sched.split_ascii_whitespace().map(|number| number.parse::<u64>().unwrap_or(0) / 1_000);
        let (ran_us, waited_us) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let group =
            GROUPS.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or(OTHERS, |(_, group)| group);
        match threads.iter_mut().find(|known| known.group == group) {
            Some(known) => {
                known.threads += 1;
                known.cpu_us += ran_us;
                known.waited_us += waited_us;
            }
            None => {
                threads.push(ThreadsUse { group: group.into(), threads: 1, cpu_us: ran_us, waited_us });
            }
        }
    }
    // Read after the threads, so that it is never less than their sum by what ran between.
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let total = u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000;
    let living: u64 = threads.iter().map(|group| group.cpu_us).sum();
    let ended = total.saturating_sub(living);
    threads.push(ThreadsUse { group: ENDED.into(), threads: 0, cpu_us: ended, waited_us: 0 });
    threads.sort_by(|a, b| a.group.cmp(&b.group));
    let resident = engine.resident()?;
    let memory = MemoryUse {
        resident_bytes: resident.total_bytes(),
        instances_bytes: resident.instances_bytes,
        code_bytes: resident.code_bytes,
        rest_bytes: resident.rest_bytes,
    };
    Ok((total, threads, memory))
}
