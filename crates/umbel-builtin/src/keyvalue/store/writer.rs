//! The thread that owns the file.
//!
//! It takes what waits as one batch, carries it out in one transaction with one commit, shows it, answers, and tells the watchers.
//! When that fails nothing is shown, every write of the batch gets the error, and the file is opened and verified anew.

use super::super::error::KeyvalueError;
use super::super::place::Place;
use super::file::File;
use super::table::{Batch, Books, Change, Failed, View, Write, begin};
use super::{Answer, Shared};
use redb::{Database, Error};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use umbel_core::Problem;

/// Most writes that share one commit. More would make the first of them wait without sparing much.
const BATCH_MAX: usize = 512;

/// One write that waits.
pub(super) struct Job {
    pub(super) place: Arc<Place>,
    pub(super) write: Write,
    pub(super) answer: oneshot::Sender<Answer>,
    /// Its share of the memory that waiting writes may hold.
    pub(super) _room: OwnedSemaphorePermit,
}

/// What is sent to the thread.
pub(super) enum Order {
    Job(Job),
    /// Write what came before, then end.
    Close,
}

pub(super) struct Writer {
    file: File,
    // None after a failure, until the file has been opened anew.
    open: Option<(Database, Books)>,
    shared: Arc<Shared>,
}

impl Writer {
    /// Opens the file and shows what is in it.
    pub(super) fn open(file: File, shared: Arc<Shared>) -> Result<Writer, KeyvalueError> {
        let mut writer = Writer { file, open: None, shared };
        writer.open_again()?;
        Ok(writer)
    }

    fn open_again(&mut self) -> Result<(), KeyvalueError> {
        // The former state is let go of first, as two of the engine on one file would destroy it.
        self.let_go();
        let opened = self.file.open().and_then(|(db, books)| {
            let view = View::new(&db).map_err(|error| self.file.problem(error))?;
            Ok((db, books, view))
        });
        match opened {
            Ok((db, books, view)) => {
                self.shared.view.store(Some(Arc::new(view)));
                self.shared.failure.store(None);
                self.open = Some((db, books));
                Ok(())
            }
            Err(error) => {
                self.shared.failure.store(Some(Arc::new(Problem::from(&error))));
                Err(error)
            }
        }
    }

    fn let_go(&mut self) {
        self.shared.view.store(None);
        self.open = None;
    }

    /// Writes until the queue ends, then closes the file.
    pub(super) fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let (batch, more) = next_batch(&mut orders);
            if !batch.is_empty() {
                self.perform(batch);
            }
            if !more {
                break;
            }
        }
        // The file is closed before the queue is: whoever waits for the end of the queue can open the file again.
        self.let_go();
        drop(self);
        drop(orders);
    }

    fn perform(&mut self, batch: Vec<Job>) {
        let (answers, writes): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|job| ((job.answer, job._room), (job.place, job.write))).unzip();
        let count = writes.len();
        let (results, changes) = match self.store(writes) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(error = %Problem::from(&error), writes = count, "the key-value store was not written");
                // Reads go on as soon as possible; if it cannot be opened, the next write tries again.
                if let Err(error) = self.open_again() {
                    tracing::error!(error = %Problem::from(&error), "the key-value store cannot be opened again");
                }
                (vec![Err(error); count], Vec::new())
            }
        };
        for ((answer, room), result) in answers.into_iter().zip(results) {
            drop(room);
            // A caller that has gone away needs no answer.
            let _ = answer.send(result);
        }
        self.shared.watchers.tell(&changes);
    }

    fn store(
        &mut self,
        writes: Vec<(Arc<Place>, Write)>,
    ) -> Result<(Vec<Answer>, Vec<Change>), KeyvalueError> {
        if self.open.is_none() {
            self.open_again()?;
        }
        let Some((db, books)) = &mut self.open else { return Err(KeyvalueError::Closed) };
        let settings = self.shared.settings.load();
        // The engine may panic on pages that are damaged in ways it does not expect.
        let committed = catch_unwind(AssertUnwindSafe(|| commit(db, books, writes, &settings)))
            .unwrap_or_else(|_| Err(Error::Corrupted("its pages make no sense".into())));
        let (answers, changes, view) = committed.map_err(|error| self.file.problem(error))?;
        if let Some(view) = view {
            self.shared.view.store(Some(Arc::new(view)));
        }
        Ok((answers, changes))
    }
}

type Committed = (Vec<Answer>, Vec<Change>, Option<View>);

fn commit(
    db: &Database,
    books: &mut Books,
    writes: Vec<(Arc<Place>, Write)>,
    settings: &super::super::Settings,
) -> Result<Committed, Error> {
    let transaction = begin(db)?;
    let mut batch = Batch::new(&transaction, books)?;
    let mut answers = Vec::with_capacity(writes.len());
    for (place, write) in writes {
        match batch.perform(&place, write, settings) {
            Ok(done) => answers.push(Ok(done)),
            Err(Failed::Refused(error)) => answers.push(Err(error)),
            Err(Failed::Engine(error)) => return Err(error),
        }
    }
    if batch.changes.is_empty() {
        // Only refusals, or deletes of nothing.
        drop(batch);
        transaction.abort()?;
        return Ok((answers, Vec::new(), None));
    }
    let (after, changes) = batch.finish(&transaction)?;
    transaction.commit()?;
    *books = after;
    Ok((answers, changes, Some(View::new(db)?)))
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
