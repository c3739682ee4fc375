//! Two engines, each with one pool for all of its components, whatever their limits.
//!
//! Components that do several things at once (the component model's `async`: WASI 0.3) need bookkeeping at every call that makes a call
//! between components half as expensive again. So those that do not have an engine without it ([`Style`]); compiling tells which it is.
//!
//! A pool reserves address space, not memory. Where address space is short (`ulimit -v`) the pools are made smaller step by
//! step, at last instances are allocated on demand, and [`Engine::shortfall`] says so.

use crate::config::Config;
use crate::error::{Cause, LoadError};
use crate::image::Image;
use crate::memory::reserved_by;
use crate::warm::Kept;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use umbel_core::Problem;
use umbel_core::code::runtime::SMALL_POOL;
use wasmtime::{Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Tables for each slot of the pool.
const TABLES_PER_SLOT: u32 = 8;
/// Core instances that one component may have.
const CORE_INSTANCES_MAX: u32 = 400;

/// Address space of one memory slot: 4 GiB and its guards.
const SLOT_BYTES: u64 = (4 << 30) + (64 << 20);

/// How memories are laid out. It decides the machine code, so the compile process must use the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A slot of a pool with this many; bounds are checked by guard pages.
    Pool(u32),
    /// Allocated when an instance is made; bounds are checked in code.
    OnDemand,
}

impl Layout {
    /// As an argument of the compile process.
    pub fn as_arg(self) -> &'static str {
        match self {
            Layout::Pool(_) => "pool",
            Layout::OnDemand => "on-demand",
        }
    }
}

/// What the code of a component may ask of its engine. It decides the machine code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// One thing at a time: all that WASI 0.2 can express.
    Plain,
    /// Several at once, with streams and futures.
    Concurrent,
}

/// One of the two engines.
pub(crate) struct Pool {
    pub(crate) wasmtime: wasmtime::Engine,
    /// What components keep of it.
    pub(crate) kept: Kept,
    // The address space of its slots.
    space: Vec<Range<u64>>,
}

/// The engines, their pools and their clock of epochs.
#[derive(Clone)]
pub struct Engine {
    // One for all parts: every call has a clone, and a counter that all cores write to costs as much as a lock.
    parts: Arc<Parts>,
}

struct Parts {
    plain: Pool,
    concurrent: Pool,
    started: Instant,
    // Milliseconds since `started`, as of the last tick: read once per call where a clock would cost more.
    now_ms: AtomicU64,
    tick: Duration,
    layout: Layout,
    shortfall: Option<Problem>,
    memory: Memory,
    background: OnceLock<Handle>,
}

/// Both engines, or why there is no room for one.
fn both(layout: Layout, keep_resident: usize, kept: usize) -> wasmtime::Result<(Pool, Pool)> {
    let pool = |style| -> wasmtime::Result<Pool> {
        let settings = settings(style, layout, keep_resident);
        let (made, space) = reserved_by(|| wasmtime::Engine::new(&settings));
        Ok(Pool { wasmtime: made?, kept: Kept::of(kept), space })
    };
    Ok((pool(Style::Plain)?, pool(Style::Concurrent)?))
}

impl Engine {
    /// Starts the engines with the largest pools that the machine allows, up to `config.instances_max` each.
    pub fn new(config: &Config) -> Result<Engine, LoadError> {
        let wanted = config.instances_max.max(1);
        let mut slots = wanted.min(slots_by_address_space());
        let mut last = None;
        while slots > 0 {
            match both(Layout::Pool(slots), config.keep_resident_bytes, slots as usize) {
                Ok(pools) => {
                    let shortfall = (slots < wanted).then(|| small_pool(wanted, Some(slots), last.as_ref()));
                    return Ok(Engine::with(pools, config, Layout::Pool(slots), shortfall));
                }
                Err(error) => last = Some(error),
            }
            slots /= 4;
        }
        let pools = both(Layout::OnDemand, 0, config.instances_max as usize);
        let pools = pools.map_err(|e| LoadError::Engine { source: Cause::of(&e) })?;
        let shortfall = Some(small_pool(wanted, None, last.as_ref()));
        Ok(Engine::with(pools, config, Layout::OnDemand, shortfall))
    }

    fn with(
        (plain, concurrent): (Pool, Pool),
        config: &Config,
        layout: Layout,
        shortfall: Option<Problem>,
    ) -> Engine {
        let tick = config.tick.max(Duration::from_millis(1));
        let now_ms = AtomicU64::new(0);
        let memory = Memory { held: AtomicU64::new(0), max: config.guest_memory_bytes_max };
        let parts = Parts {
            plain,
            concurrent,
            started: Instant::now(),
            now_ms,
            tick,
            layout,
            shortfall,
            memory,
            background: OnceLock::new(),
        };
        Engine { parts: Arc::new(parts) }
    }

    /// Advances the epoch. Whoever owns the engine calls this once per [`Config::tick`].
    pub fn tick(&self) {
        let now = u64::try_from(self.parts.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.parts.now_ms.store(now, Relaxed);
        self.parts.plain.wasmtime.increment_epoch();
        self.parts.concurrent.wasmtime.increment_epoch();
    }

    /// How often [`Engine::tick`] is to be called.
    pub fn tick_every(&self) -> Duration {
        self.parts.tick
    }

    /// A handle that only ticks, for the thread that does it.
    pub fn ticker(&self) -> impl Fn() + Send + 'static {
        let engine = self.clone();
        move || engine.tick()
    }

    /// Calls that compute for long go on there, so that the thread they came in by is free for others. Set once; without it they stay.
    pub fn move_long_calls_to(&self, background: Handle) {
        // Who sets it twice has two owners of the engine, which there are not.
        let _ = self.parts.background.set(background);
    }

    pub(crate) fn background(&self) -> Option<&Handle> {
        self.parts.background.get()
    }

    /// How many instances of the image may run at once, so that one component cannot take more than half of what all share: at least one.
    pub fn instances_max_of(&self, image: &Image) -> u32 {
        let Layout::Pool(slots) = self.parts.layout else { return u32::MAX };
        let needs = image.needs();
        let by_memories = (slots / 2).checked_div(needs.memories).unwrap_or(slots / 2);
        let by_tables = (slots * TABLES_PER_SLOT / 2).checked_div(needs.tables).unwrap_or(u32::MAX);
        by_memories.min(by_tables).min(slots / 2).max(1)
    }

    /// Linear memory of all guests.
    pub(crate) fn memory(&self) -> &Memory {
        &self.parts.memory
    }

    /// How memories are laid out.
    pub fn layout(&self) -> Layout {
        self.parts.layout
    }

    /// What is smaller than configured, if anything: to be announced.
    pub fn shortfall(&self) -> Option<&Problem> {
        self.parts.shortfall.as_ref()
    }

    /// The engine for components of that style.
    pub(crate) fn pool(&self, style: Style) -> &Pool {
        match style {
            Style::Plain => &self.parts.plain,
            Style::Concurrent => &self.parts.concurrent,
        }
    }

    /// The address space of all slots.
    pub(crate) fn space(&self) -> impl Iterator<Item = &Range<u64>> {
        self.parts.plain.space.iter().chain(&self.parts.concurrent.space)
    }

    pub(crate) fn now(&self) -> u64 {
        self.parts.now_ms.load(Relaxed)
    }

    /// When something that starts now and may take `ms` is over; `u64::MAX` when 0 (no limit). One tick is added, because now may
    /// be that old.
    pub(crate) fn deadline(&self, ms: u64) -> u64 {
        if ms == 0 {
            u64::MAX
        } else {
            self.now().saturating_add(ms).saturating_add(self.parts.tick.as_millis() as u64)
        }
    }
}

/// Linear memory of all guests of a host, which is bounded so that it is a guest that is refused memory, and not the system that runs out.
pub(crate) struct Memory {
    held: AtomicU64,
    max: u64,
}

impl Memory {
    /// Books more, for a component that holds `own` of it by then; false when it would be too much. One component may hold half of what
    /// all may.
    pub(crate) fn take(&self, more: u64, own: u64) -> bool {
        if own > self.max / 2 {
            return false;
        }
        let taken = self.held.fetch_add(more, Relaxed) + more;
        if taken > self.max {
            self.held.fetch_sub(more, Relaxed);
        }
        taken <= self.max
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Relaxed);
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }
}

/// The settings that decide the machine code and the pool.
pub(crate) fn settings(style: Style, layout: Layout, keep_resident: usize) -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true);
    let is_concurrent = style == Style::Concurrent;
    config.wasm_component_model_async(is_concurrent);
    config.concurrency_support(is_concurrent);
    // Several imports of one interface, each under a name of its own.
    config.wasm_component_model_implements(true);
    config.memory_init_cow(true);
    config.generate_address_map(true);
    config.max_wasm_stack(1 << 20);
    config.async_stack_size(2 << 20);
    match layout {
        Layout::Pool(slots) => {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots, keep_resident)));
        }
        Layout::OnDemand => {
            config.memory_reservation(0);
            config.memory_guard_size(0);
            config.memory_reservation_for_growth(1 << 20);
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        }
    }
    config
}

fn pool(slots: u32, keep_resident: usize) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        // Only counted, so that they are never what is short.
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES_MAX))
        .total_memories(slots)
        .total_tables(slots.saturating_mul(TABLES_PER_SLOT))
        .total_stacks(slots)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(16)
        .max_tables_per_component(64)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .table_elements(100_000)
        .max_unused_warm_slots(64)
        .linear_memory_keep_resident(keep_resident)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// How many slots of each pool a limited address space can hold, leaving room for everything else.
fn slots_by_address_space() -> u32 {
    let Some(bytes) = rustix::process::getrlimit(rustix::process::Resource::As).current else {
        return u32::MAX;
    };
    u32::try_from(bytes / 4 / SLOT_BYTES).unwrap_or(u32::MAX)
}

fn small_pool(wanted: u32, slots: Option<u32>, error: Option<&wasmtime::Error>) -> Problem {
    let message = match slots {
        Some(slots) => {
            format!("the instance pools have {slots} slots instead of {wanted}: address space is short")
        }
        None => format!(
            "instances are allocated on demand instead of from {wanted} pool slots: address space is short"
        ),
    };
    let problem = Problem::new(SMALL_POOL, message);
    match error {
        Some(error) => problem.with_cause(format!("{error:#}")),
        None => problem,
    }
}
