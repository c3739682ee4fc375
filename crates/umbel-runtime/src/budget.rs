//! Budgets: counting what a component uses and holding it within its limits.
//!
//! One [`Budget`] lives as long as the component's id, over updates of its image. The hot path is atomics only.

use crate::error::CallError;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use umbel_core::limits::Limits;

/// How much CPU a component may use at once after a pause, in seconds of its share.
const CPU_BURST: f64 = 0.1;
/// How many seconds' worth of log bytes may come at once.
const LOG_BURST: f64 = 10.0;

/// What a component has used since it was started, and what it uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Calls begun.
    pub calls: u64,
    /// Calls under way.
    pub calls_in_flight: u64,
    /// Calls waiting for an instance.
    pub calls_waiting: u64,
    /// Calls refused because a limit was reached.
    pub refused: u64,
    /// Calls that ended by a trap, a limit or a missing answer.
    pub traps: u64,
    /// CPU time of guest code and of making instances, in µs.
    pub cpu_us: u64,
    /// That part of it which long calls took in the background, by the clock of its threads; the rest is by the clock on the wall.
    pub cpu_background_us: u64,
    /// Bytes of linear memory of its instances now.
    pub memory_bytes: u64,
    /// The most of that at any time.
    pub memory_bytes_max_seen: u64,
    /// Log bytes taken.
    pub log_bytes: u64,
    /// Log bytes dropped for being above the rate.
    pub log_bytes_dropped: u64,
    /// Times a call had to wait because the CPU share was used up.
    pub cpu_throttled: u64,
    /// Times an instance asked for memory beyond its limit and did not get it.
    pub memory_refused: u64,
}

/// The budget of one component.
pub struct Budget {
    component: String,
    limits: Limits,
    instances: Arc<Semaphore>,
    // Instances that wait between the calls of those who have resources in them; as many as may run.
    sessions: Arc<Semaphore>,
    waiting: AtomicUsize,
    stopping: AtomicBool,
    over: AtomicBool,
    calls: AtomicU64,
    refused: AtomicU64,
    traps: AtomicU64,
    cpu_ns: AtomicU64,
    cpu_background_ns: AtomicU64,
    cpu_throttled: AtomicU64,
    memory: AtomicI64,
    memory_seen: AtomicI64,
    memory_refused: AtomicU64,
    log_bytes: AtomicU64,
    log_dropped: AtomicU64,
    cpu: Bucket,
    log: Bucket,
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget").field("component", &self.component).field("usage", &self.usage()).finish()
    }
}

impl Budget {
    /// A fresh budget for the component.
    pub fn new(component: &str, limits: Limits) -> Arc<Budget> {
        let now = Instant::now();
        let cpu_per_s = f64::from(limits.cpu_percent_max) / 100.0 * 1e9;
        let log_per_s = limits.log_bytes_per_s_max as f64;
        Arc::new(Budget {
            component: component.to_string(),
            instances: Arc::new(Semaphore::new(limits.instances_max.max(1) as usize)),
            sessions: Arc::new(Semaphore::new(limits.instances_max.max(1) as usize)),
            waiting: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            over: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            cpu_ns: AtomicU64::new(0),
            cpu_background_ns: AtomicU64::new(0),
            cpu_throttled: AtomicU64::new(0),
            memory: AtomicI64::new(0),
            memory_seen: AtomicI64::new(0),
            memory_refused: AtomicU64::new(0),
            log_bytes: AtomicU64::new(0),
            log_dropped: AtomicU64::new(0),
            cpu: Bucket::new(now, cpu_per_s, cpu_per_s * CPU_BURST),
            log: Bucket::new(now, log_per_s, log_per_s * LOG_BURST),
            limits,
        })
    }

    /// The limits it enforces.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What has been used.
    pub fn usage(&self) -> Usage {
        let free = self.instances.available_permits() as u64;
        Usage {
            calls: self.calls.load(Relaxed),
            calls_in_flight: u64::from(self.limits.instances_max.max(1)).saturating_sub(free),
            calls_waiting: self.waiting.load(Relaxed) as u64,
            refused: self.refused.load(Relaxed),
            traps: self.traps.load(Relaxed),
            cpu_us: self.cpu_ns.load(Relaxed) / 1_000,
            cpu_background_us: self.cpu_background_ns.load(Relaxed) / 1_000,
            memory_bytes: u64::try_from(self.memory.load(Relaxed)).unwrap_or(0),
            memory_bytes_max_seen: u64::try_from(self.memory_seen.load(Relaxed)).unwrap_or(0),
            log_bytes: self.log_bytes.load(Relaxed),
            log_bytes_dropped: self.log_dropped.load(Relaxed),
            cpu_throttled: self.cpu_throttled.load(Relaxed),
            memory_refused: self.memory_refused.load(Relaxed),
        }
    }

    /// Refuses new calls from now on.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// Ends the calls under way within about a second, also those without a limit of time.
    pub fn end(&self) {
        self.stop();
        self.over.store(true, Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// Waits until no call is under way or waiting. For a budget that is stopped, and for good: who comes after it is refused.
    pub async fn idle(&self) {
        // All instances at once are free when the last call has given its own back. Calls that wait are before us in the queue.
        let all = self.instances.acquire_many(self.limits.instances_max.max(1)).await;
        self.instances.close();
        drop(all);
    }

    /// Whether no call is under way or waiting.
    pub fn is_idle(&self) -> bool {
        self.instances.available_permits() >= self.limits.instances_max.max(1) as usize
            && self.waiting.load(Relaxed) == 0
    }

    /// Waits until a call may begin: a free instance, and CPU share left. At once in the usual case. Where `is_ring` says that who
    /// holds an instance waits for this very call, it does not wait for one.
    pub(crate) async fn admit_within(
        &self,
        is_ring: impl FnOnce() -> bool,
    ) -> Result<OwnedSemaphorePermit, CallError> {
        if self.stopping.load(Relaxed) {
            return Err(CallError::Stopping { component: self.component.clone() });
        }
        self.calls.fetch_add(1, Relaxed);
        let permit = self.place_among(&self.instances, is_ring).await?;
        if self.limits.cpu_percent_max > 0 {
            self.wait_for_share().await?;
        }
        Ok(permit)
    }

    async fn wait_for_share(&self) -> Result<(), CallError> {
        let share = async {
            while let Some(pause) = self.cpu_debt() {
                tokio::time::sleep(pause).await;
            }
        };
        tokio::time::timeout(self.patience(), share).await.map_err(|_| self.refuse())
    }

    /// A call does not wait longer for its turn than it might take itself.
    fn patience(&self) -> Duration {
        self.limits.call_max().unwrap_or(Duration::from_secs(3_600))
    }

    /// Waits until one more instance may be there for a session, for as long as that lives.
    pub(crate) async fn admit_session(
        &self,
        is_ring: impl FnOnce() -> bool,
    ) -> Result<OwnedSemaphorePermit, CallError> {
        self.place_among(&self.sessions, is_ring).await
    }

    /// One of the places of those who wait for something else than an instance.
    pub(crate) fn queue(&self) -> Result<WaitingPlace<'_>, CallError> {
        WaitingPlace::take(self)
    }

    async fn place_among(
        &self,
        places: &Arc<Semaphore>,
        is_ring: impl FnOnce() -> bool,
    ) -> Result<OwnedSemaphorePermit, CallError> {
        match places.clone().try_acquire_owned() {
            Ok(permit) => return Ok(permit),
            Err(_) if is_ring() => return Err(self.ring()),
            Err(_) => {}
        }
        let place = WaitingPlace::take(self)?;
        let acquired = tokio::time::timeout(self.patience(), places.clone().acquire_owned()).await;
        drop(place);
        match acquired {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(CallError::Stopping { component: self.component.clone() }),
            Err(_) => Err(self.refuse()),
        }
    }

    /// The error of a call that could only wait for its own end.
    pub(crate) fn ring(&self) -> CallError {
        self.refused.fetch_add(1, Relaxed);
        CallError::Ring { component: self.component.clone(), instances: self.limits.instances_max }
    }

    fn refuse(&self) -> CallError {
        self.refused.fetch_add(1, Relaxed);
        CallError::Busy {
            component: self.component.clone(),
            instances: self.limits.instances_max,
            waiting: self.limits.waiting_max,
        }
    }

    /// Books CPU time.
    pub(crate) fn charge_cpu(&self, spent: Duration, in_background: bool) {
        let ns = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.cpu_ns.fetch_add(ns, Relaxed);
        if in_background {
            self.cpu_background_ns.fetch_add(ns, Relaxed);
        }
        if self.limits.cpu_percent_max > 0 {
            self.cpu.take(ns as f64);
        }
    }

    /// How long to pause so that the CPU share is kept, if it is overdrawn.
    pub(crate) fn cpu_debt(&self) -> Option<Duration> {
        if self.limits.cpu_percent_max == 0 {
            return None;
        }
        let pause = self.cpu.debt(Instant::now())?;
        self.cpu_throttled.fetch_add(1, Relaxed);
        Some(pause.clamp(Duration::from_millis(1), Duration::from_millis(100)))
    }

    /// Linear memory of its instances now, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        u64::try_from(self.memory.load(Relaxed)).unwrap_or(0)
    }

    /// Books a change of linear memory.
    pub(crate) fn memory_changed(&self, bytes: i64) {
        let now = self.memory.fetch_add(bytes, Relaxed) + bytes;
        if now > self.memory_seen.load(Relaxed) {
            self.memory_seen.fetch_max(now, Relaxed);
        }
    }

    /// Books that an instance did not get the memory that it asked for.
    pub(crate) fn memory_refused(&self) {
        self.memory_refused.fetch_add(1, Relaxed);
    }

    /// Whether `bytes` of log fit the rate; books them either way.
    pub(crate) fn take_log(&self, bytes: usize) -> bool {
        let fits = self.log.try_take(Instant::now(), bytes as f64);
        let counter = if fits { &self.log_bytes } else { &self.log_dropped };
        counter.fetch_add(bytes as u64, Relaxed);
        fits
    }

    /// Books a call that ended badly by the component's own fault.
    pub(crate) fn trapped(&self) {
        self.traps.fetch_add(1, Relaxed);
    }
}

/// One of the `waiting_max` places; given back when dropped, also when the caller gives up.
pub(crate) struct WaitingPlace<'a>(&'a Budget);

impl<'a> WaitingPlace<'a> {
    fn take(budget: &'a Budget) -> Result<WaitingPlace<'a>, CallError> {
        if budget.waiting.fetch_add(1, Relaxed) >= budget.limits.waiting_max as usize {
            budget.waiting.fetch_sub(1, Relaxed);
            return Err(budget.refuse());
        }
        Ok(WaitingPlace(budget))
    }
}

impl Drop for WaitingPlace<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// A token bucket. It may go below zero by what was already spent when it was booked.
struct Bucket {
    state: std::sync::Mutex<(f64, Instant)>,
    per_s: f64,
    burst: f64,
}

impl Bucket {
    fn new(now: Instant, per_s: f64, burst: f64) -> Bucket {
        Bucket { state: std::sync::Mutex::new((burst, now)), per_s, burst }
    }

    fn refilled(&self, now: Instant) -> std::sync::MutexGuard<'_, (f64, Instant)> {
        // The pair is valid at every moment, so a panic elsewhere cannot have broken it.
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let elapsed = now.saturating_duration_since(state.1).as_secs_f64();
        state.0 = (state.0 + elapsed * self.per_s).min(self.burst);
        state.1 = now;
        state
    }

    fn take(&self, amount: f64) {
        self.refilled(Instant::now()).0 -= amount;
    }

    fn try_take(&self, now: Instant, amount: f64) -> bool {
        let mut state = self.refilled(now);
        if state.0 < amount {
            return false;
        }
        state.0 -= amount;
        true
    }

    fn debt(&self, now: Instant) -> Option<Duration> {
        let state = self.refilled(now);
        (state.0 < 0.0).then(|| Duration::from_secs_f64(-state.0 / self.per_s))
    }
}

#[cfg(test)]
mod tests;
