//! The thread that owns the state file.
//!
//! It takes what waits as one batch, plans it, stores it with one fsync, shows it and answers. When storing fails, nothing is
//! shown, every write of the batch gets the error, and the file is opened and verified anew with the next batch: reads and
//! messages go on meanwhile.

use super::disk::{Disk, Table};
use super::memory::Memory;
use super::plan::{Change, Place, Plan, Sums, Write, plan};
use crate::Result;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Most writes that share one fsync. More would make the first of them wait without sparing much.
const BATCH_MAX: usize = 512;

/// One write that waits.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) place: Place,
    pub(crate) write: Write,
    pub(crate) answer: oneshot::Sender<Result<u64>>,
}

/// What is sent to the writer thread.
#[derive(Debug)]
pub(crate) enum Order {
    /// A write.
    Job(Job),
    /// Write what came before, then end.
    Close,
}

struct Writer<D: Disk> {
    disk: D,
    // None after a failure, until the file has been opened anew.
    table: Option<Box<dyn Table>>,
    memory: Arc<Memory>,
    sums: Sums,
}

/// Opens the file, says so, and writes until the queue ends.
pub(crate) fn run(
    disk: impl Disk,
    mut orders: mpsc::Receiver<Order>,
    opened: oneshot::Sender<Result<Arc<Memory>>>,
) {
    let mut writer = match Writer::open(disk) {
        Ok(writer) => writer,
        Err(error) => {
            // Nobody left to tell: then nobody wanted it open.
            let _ = opened.send(Err(error));
            return;
        }
    };
    if opened.send(Ok(writer.memory.clone())).is_err() {
        return;
    }
    loop {
        let (batch, more) = next_batch(&mut orders);
        if !batch.is_empty() {
            writer.perform(batch);
        }
        if !more {
            break;
        }
    }
    // The file is closed before the queue is: whoever waits for the end of the queue can open the file again.
    drop(writer);
    drop(orders);
}

/// What waits now, at least one unless the queue has ended; and whether more may come.
fn next_batch(orders: &mut mpsc::Receiver<Order>) -> (Vec<Job>, bool) {
    let mut batch = Vec::new();
    let mut next = orders.blocking_recv();
    loop {
        match next {
            Some(Order::Job(job)) => batch.push(job),
            Some(Order::Close) | None => return (batch, false),
        }
        if batch.len() >= BATCH_MAX {
            return (batch, true);
        }
        next = match orders.try_recv() {
            Ok(order) => Some(order),
            Err(mpsc::error::TryRecvError::Empty) => return (batch, true),
            Err(mpsc::error::TryRecvError::Disconnected) => None,
        };
    }
}

impl<D: Disk> Writer<D> {
    fn open(mut disk: D) -> Result<Writer<D>> {
        let loaded = disk.open()?;
        let memory = Arc::new(Memory::new(loaded.entries, loaded.sums.revision));
        Ok(Writer { disk, table: Some(loaded.table), memory, sums: loaded.sums })
    }

    fn perform(&mut self, batch: Vec<Job>) {
        let (writes, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|job| ((job.place, job.write), job.answer)).unzip();
        let results = match self.store(&writes) {
            Ok(plan) => plan.answers,
            Err(error) => {
                tracing::warn!(%error, writes = writes.len(), "the state was not written");
                self.table = None;
                vec![Err(error); writes.len()]
            }
        };
        for (answer, result) in answers.into_iter().zip(results) {
            // A caller that has gone away needs no answer.
            let _ = answer.send(result);
        }
    }

    fn store(&mut self, writes: &[(Place, Write)]) -> Result<Plan> {
        if self.table.is_none() {
            self.open_again()?;
        }
        let memory = &self.memory;
        let plan = plan(writes, self.sums, super::STATE_BYTES_MAX, |place| memory.stored(place));
        if let Some(table) = &mut self.table
            && !plan.changes.is_empty()
        {
            table.store(&plan.changes, &plan.sums)?;
        }
        self.sums = plan.sums;
        self.memory.apply(&plan.changes);
        Ok(plan)
    }

    /// After a failed write nobody knows whether it is in the file. What is there now counts.
    fn open_again(&mut self) -> Result<()> {
        let loaded = self.disk.open()?;
        let mut missing: HashMap<Place, _> = self.memory.all().into_iter().collect();
        let mut sums = loaded.sums;
        let mut changes = Vec::new();
        for (place, stored) in loaded.entries {
            let known = missing.remove(&place);
            if known.is_none_or(|known| known.revision != stored.revision) {
                changes.push(Change { place, revision: stored.revision, value: Some(stored.value) });
            }
        }
        changes.sort_by_key(|change| change.revision);
        for place in missing.into_keys() {
            sums.revision += 1;
            changes.push(Change { place, revision: sums.revision, value: None });
        }
        self.memory.apply(&changes);
        self.sums = sums;
        self.table = Some(loaded.table);
        Ok(())
    }
}
