//! Rates: what two readings of the same counters say about the time between them.

use serde::{Deserialize, Serialize};
use umbel_api::document::{ComponentUsage, Document, HostUsage, UsageList};
use umbel_core::limits::Limits;

/// Use over the last interval.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Top {
    /// The interval that rates are of, in ms.
    pub(super) interval_ms: u64,
    /// By component.
    pub(super) components: Vec<Row>,
    /// Processor time of the process by who used it; the sum is `cpu_percent`.
    pub(super) cpu: Vec<CpuPart>,
    /// Of the whole process, as a share of one core.
    pub(super) cpu_percent: f64,
    /// Resident memory by what it is; the sum is `resident_bytes`.
    pub(super) memory: Vec<MemoryPart>,
    /// Of the whole process.
    pub(super) resident_bytes: u64,
}

impl Document for Top {
    const TYPE: &'static str = "top/v1";
}

/// One component.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) application: Option<String>,
    pub(super) host_id: String,
    pub(super) state: String,
    /// Share of one core.
    pub(super) cpu_percent: f64,
    /// Linear memory of all its instances, which the limit of one instance is about.
    pub(super) memory_bytes: u64,
    /// What of it is resident: a guest has not touched all that it asked for.
    pub(super) resident_bytes: u64,
    pub(super) calls_per_s: f64,
    pub(super) calls_in_flight: u64,
    pub(super) calls_waiting: u64,
    pub(super) refused_per_s: f64,
    pub(super) traps_per_s: f64,
    pub(super) log_bytes_per_s: f64,
    pub(super) log_bytes_dropped_per_s: f64,
    pub(super) limits: Option<Limits>,
    /// Why it does not get on as fast as it would: which of its limits it is at.
    pub(super) held_back_by: Vec<String>,
}

/// A part of the process's processor time.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CpuPart {
    pub(super) part: String,
    pub(super) percent: f64,
    pub(super) threads: Option<u32>,
}

/// A part of the process's memory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MemoryPart {
    pub(super) part: String,
    pub(super) bytes: u64,
}

/// The threads that guests run on.
const DATA_PATH: &str = "data-path";
/// Those that calls which compute for long go on at.
const LONG_CALLS: &str = "long-calls";

/// What happened between two readings. A host that was not there before has no rates yet.
pub(super) fn between(before: &UsageList, now: &UsageList) -> Top {
    let mut top = Top {
        interval_ms: 0,
        components: Vec::new(),
        cpu: Vec::new(),
        cpu_percent: 0.0,
        memory: Vec::new(),
        resident_bytes: 0,
    };
    for host in &now.items {
        let before = before.items.iter().find(|old| old.host_id == host.host_id && old.at_us < host.at_us);
        if let Some(before) = before {
            add(&mut top, before, host);
        }
    }
    top
}

fn add(top: &mut Top, before: &HostUsage, now: &HostUsage) {
    let spent = Spent { us: (now.at_us - before.at_us) as f64 };
    top.interval_ms = (now.at_us - before.at_us) / 1_000;
    let pairs: Vec<(Option<&ComponentUsage>, &ComponentUsage)> = now
        .components
        .iter()
        .map(|now| (before.components.iter().find(|old| old.id == now.id), now))
        .collect();
    let (ran, waited) = grown(before, now, DATA_PATH);
    let (long, _) = grown(before, now, LONG_CALLS);
    let booked: f64 = pairs.iter().map(|(old, now)| since(*old, now, on_data_path)).sum();
    let booked_long: f64 = pairs.iter().map(|(old, now)| since(*old, now, in_background)).sum();
    // On the data path a component is booked the time on the clock, also while another process had its core: that part of it was no
    // processor time. In the background it is booked what its thread had.
    let on_core = if ran + waited > 0.0 { ran / (ran + waited) } else { 1.0 };
    let shares = Shares {
        data_path: if booked > 0.0 { on_core.min(ran / booked) } else { on_core },
        background: if booked_long > long { long / booked_long } else { 1.0 },
    };
    let linear: u64 = pairs.iter().map(|(_, now)| now.usage.memory_bytes).sum();
    let touched = (now.memory.instances_bytes as f64 / linear.max(1) as f64).min(1.0);
    let first = top.components.len();
    top.components.extend(pairs.iter().map(|(old, now_of)| {
        let resident_bytes = (now_of.usage.memory_bytes as f64 * touched) as u64;
        Row { resident_bytes, ..row(&spent, &now.host_id, *old, now_of, &shares) }
    }));
    let of_components: u64 = top.components[first..].iter().map(|row| row.resident_bytes).sum();
    let guests = spent.percent(booked * shares.data_path);
    let guests_long = spent.percent(booked_long * shares.background);
    add_part(&mut top.cpu, "components", guests + guests_long, None);
    for group in &now.threads {
        let old = before.threads.iter().find(|old| old.group == group.group).map_or(0, |old| old.cpu_us);
        let mut percent = spent.percent(group.cpu_us.saturating_sub(old) as f64);
        match group.group.as_str() {
            DATA_PATH => percent = (percent - guests).max(0.0),
            LONG_CALLS => percent = (percent - guests_long).max(0.0),
            _ => {}
        }
        add_part(&mut top.cpu, &name_of(&group.group), percent, (group.threads > 0).then_some(group.threads));
    }
    top.cpu_percent += spent.percent(now.cpu_us.saturating_sub(before.cpu_us) as f64);
    for (part, bytes) in [
        ("components", of_components),
        ("kept for further instances", now.memory.instances_bytes.saturating_sub(of_components)),
        ("compiled code", now.memory.code_bytes),
        ("the rest", now.memory.rest_bytes),
    ] {
        match top.memory.iter_mut().find(|known| known.part == part) {
            Some(known) => known.bytes += bytes,
            None => top.memory.push(MemoryPart { part: part.into(), bytes }),
        }
    }
    top.resident_bytes += now.memory.resident_bytes;
}

fn name_of(group: &str) -> String {
    match group {
        DATA_PATH => "data path, without components".into(),
        LONG_CALLS => "long calls, without components".into(),
        "ended" => "threads that have ended".into(),
        other => other.replace('-', " "),
    }
}

fn add_part(parts: &mut Vec<CpuPart>, part: &str, percent: f64, threads: Option<u32>) {
    match parts.iter_mut().find(|known| known.part == part) {
        Some(known) => {
            known.percent = rounded(known.percent + percent);
            known.threads = known.threads.zip(threads).map(|(a, b)| a + b).or(known.threads).or(threads);
        }
        None => parts.push(CpuPart { part: part.into(), percent: rounded(percent), threads }),
    }
}

/// The time between two readings.
struct Spent {
    us: f64,
}

impl Spent {
    fn percent(&self, us: f64) -> f64 {
        us / self.us * 100.0
    }

    fn per_s(&self, count: f64) -> f64 {
        rounded(count / self.us * 1e6)
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// How much of what is booked was processor time.
struct Shares {
    data_path: f64,
    background: f64,
}

fn on_data_path(usage: &ComponentUsage) -> u64 {
    usage.usage.cpu_us.saturating_sub(usage.usage.cpu_background_us)
}

fn in_background(usage: &ComponentUsage) -> u64 {
    usage.usage.cpu_background_us
}

/// What the threads of a group ran and waited for a core, in µs.
fn grown(before: &HostUsage, now: &HostUsage, name: &str) -> (f64, f64) {
    let group = |usage: &HostUsage| {
        let found = usage.threads.iter().find(|group| group.group == name);
        found.map_or((0, 0), |group| (group.cpu_us, group.waited_us))
    };
    let (old, new) = (group(before), group(now));
    (new.0.saturating_sub(old.0) as f64, new.1.saturating_sub(old.1) as f64)
}

/// How much a counter grew. It begins anew when its component does.
fn since(
    before: Option<&ComponentUsage>,
    now: &ComponentUsage,
    counter: impl Fn(&ComponentUsage) -> u64,
) -> f64 {
    let old = before.map_or(0, &counter);
    counter(now).saturating_sub(old) as f64
}

fn row(
    spent: &Spent,
    host_id: &str,
    before: Option<&ComponentUsage>,
    now: &ComponentUsage,
    shares: &Shares,
) -> Row {
    let rate = |counter: fn(&ComponentUsage) -> u64| spent.per_s(since(before, now, counter));
    let usage = &now.usage;
    let cpu_us = since(before, now, on_data_path) * shares.data_path
        + since(before, now, in_background) * shares.background;
    let mut row = Row {
        id: now.id.clone(),
        application: now.application.clone(),
        host_id: host_id.into(),
        state: now.state.clone(),
        cpu_percent: rounded(spent.percent(cpu_us)),
        memory_bytes: usage.memory_bytes,
        resident_bytes: 0,
        calls_per_s: rate(|usage| usage.usage.calls),
        calls_in_flight: usage.calls_in_flight,
        calls_waiting: usage.calls_waiting,
        refused_per_s: rate(|usage| usage.usage.refused),
        traps_per_s: rate(|usage| usage.usage.traps),
        log_bytes_per_s: rate(|usage| usage.usage.log_bytes),
        log_bytes_dropped_per_s: rate(|usage| usage.usage.log_bytes_dropped),
        limits: now.limits.clone(),
        held_back_by: Vec::new(),
    };
    let grew = |counter: fn(&ComponentUsage) -> u64| since(before, now, counter) > 0.0;
    let is_full =
        row.limits.as_ref().is_some_and(|l| usage.calls_in_flight >= u64::from(l.instances_max.max(1)));
    for (is_so, why) in [
        (grew(|usage| usage.usage.cpu_throttled), "cpu share used up"),
        (is_full || usage.calls_waiting > 0, "all instances busy"),
        (row.refused_per_s > 0.0, "calls refused"),
        (grew(|usage| usage.usage.memory_refused), "memory refused"),
        (row.log_bytes_dropped_per_s > 0.0, "log lines dropped"),
    ] {
        if is_so {
            row.held_back_by.push(why.into());
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use umbel_api::document::{MemoryUse, ThreadsUse, Usage};

    fn host(at_us: u64, guest_us: u64, data_us: u64, waited_us: u64, other_us: u64) -> UsageList {
        let threads = |group: &str, cpu_us, waited_us| ThreadsUse {
            group: group.into(),
            threads: 2,
            cpu_us,
            waited_us,
        };
        let component = ComponentUsage {
            id: "a".into(),
            application: None,
            state: "running".into(),
            limits: Some(Limits::default()),
            usage: Usage { cpu_us: guest_us, calls: guest_us / 10, ..Usage::default() },
        };
        let host = HostUsage {
            host_id: "N".into(),
            pid: 1,
            at_us,
            components: vec![component],
            cpu_us: data_us + other_us,
            threads: vec![threads(DATA_PATH, data_us, waited_us), threads("control-plane", other_us, 0)],
            memory: MemoryUse { resident_bytes: 60, instances_bytes: 10, code_bytes: 20, rest_bytes: 30 },
        };
        UsageList { items: vec![host] }
    }

    #[test]
    fn the_parts_are_the_whole_also_when_others_had_the_core() {
        for (guest, data, waited, other) in [
            (500_000, 800_000, 0, 100_000),
            (900_000, 500_000, 500_000, 0),
            (900_000, 100_000, 0, 0),
            (0, 0, 0, 0),
        ] {
            let before = host(1_000_000, 50, 70, 30, 10);
            let top = between(&before, &host(2_000_000, 50 + guest, 70 + data, 30 + waited, 10 + other));
            let sum: f64 = top.cpu.iter().map(|part| part.percent).sum();
            assert!((sum - top.cpu_percent).abs() < 0.05, "{sum} of {}: {top:?}", top.cpu_percent);
            assert_eq!(top.memory.iter().map(|part| part.bytes).sum::<u64>(), top.resident_bytes);
        }
        let top = between(&host(0, 0, 0, 0, 0), &host(1_000_000, 900_000, 500_000, 500_000, 0));
        assert_eq!(
            (top.components[0].cpu_percent, top.cpu_percent),
            (45.0, 50.0),
            "half of the time it had no core"
        );
        assert_eq!(top.components[0].calls_per_s, 90_000.0);
    }

    #[test]
    fn a_component_that_computes_in_the_background_is_shown_with_it() {
        let at = |at_us: u64, long_us: u64| {
            let mut list = host(at_us, 100 + long_us, 1_000, 0, 0);
            let host = &mut list.items[0];
            host.components[0].usage.cpu_background_us = long_us;
            let group = LONG_CALLS.into();
            // Threads of low priority wait long for a core.
            host.threads.push(ThreadsUse { group, threads: 2, cpu_us: long_us, waited_us: 3 * long_us });
            host.cpu_us += long_us;
            list
        };
        let top = between(&at(0, 0), &at(1_000_000, 900_000));
        assert_eq!((top.components[0].cpu_percent, top.cpu_percent), (90.0, 90.0), "{top:?}");
        assert_eq!(top.cpu.iter().map(|part| part.percent).sum::<f64>(), 90.0);
    }

    #[test]
    fn a_host_that_has_begun_anew_has_no_rates_yet() {
        let top = between(&host(9_000_000, 5, 5, 5, 5), &host(1_000, 9, 9, 9, 9));
        assert!(top.components.is_empty() && top.cpu.is_empty());
    }

    #[test]
    fn limits_that_are_reached_are_named() {
        let before = host(0, 0, 0, 0, 0);
        let mut now = host(1_000_000, 0, 0, 0, 0);
        let usage = &mut now.items[0].components[0].usage;
        (usage.cpu_throttled, usage.calls_waiting, usage.refused) = (1, 1, 1);
        (usage.memory_refused, usage.log_bytes_dropped) = (1, 1);
        let named = &between(&before, &now).components[0].held_back_by;
        assert_eq!(
            *named,
            [
                "cpu share used up",
                "all instances busy",
                "calls refused",
                "memory refused",
                "log lines dropped"
            ]
        );
    }
}
