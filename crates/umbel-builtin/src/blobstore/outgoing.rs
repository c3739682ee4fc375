//! `outgoing-value`: bytes on their way to become an object.
//!
//! ```text
//!  write-body ──▶ task: output-stream ─▶ partial file        write-data names the object, before or after the bytes are written
//!                                            │
//!  finish, or write-data if the stream has ended ──▶ fsync, rename: the object is there
//! ```
//!
//! Dropped before that, nothing is left of it. A component of the first drafts of wasi:blobstore has no `finish`; what it gives to
//! `write-data` after it has dropped the stream is whole, so it is stored then, and a later `finish` finds nothing to do.

use super::disk::ended;
use super::error::BlobError;
use super::opened::{Keep, Opened};
use super::partial::Partial;
use super::store::{ObjectId, Space};
use bytes::Bytes;
use futures::channel::mpsc as pieces;
use futures::{FutureExt, StreamExt};
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Pieces that wait to be written, beside those that are.
const PIECES_MAX: usize = 16;

/// Bytes that are written in one go, as far as they are there.
const BATCH_BYTES: usize = 1 << 20;

/// Bytes after which the disk is asked to begin. Otherwise all of a large object would wait in memory for the `fsync` at its end.
const SYNC_BYTES: u64 = 32 << 20;

/// How long a finished value waits for its stream to end, or for the next piece.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// A value to be.
pub(crate) struct Outgoing {
    state: tokio::sync::Mutex<State>,
    /// What a warning says if it is dropped too early.
    unfinished: Mutex<Option<ObjectId>>,
    opened: Opened,
}

enum State {
    /// No bytes yet, and maybe the object that it becomes.
    New { target: Option<Target> },
    /// A task writes what comes.
    Written { task: Receiving, target: Option<Target> },
    /// It is an object.
    Stored,
    /// It has failed, or is being stored by a call that ended early.
    Spent,
}

/// Where it goes. The container may be of another store than the value.
pub(crate) struct Target {
    pub(crate) space: Arc<dyn Keep>,
    pub(crate) id: ObjectId,
}

/// The task's other end. Dropping it ends the task and removes what it wrote.
struct Receiving {
    asks: mpsc::Sender<Ask>,
    whole: oneshot::Receiver<Result<Partial, BlobError>>,
}

enum Ask {
    /// Answered when all that was sent is written and the stream is open; dropped when the stream has ended.
    CaughtUp(oneshot::Sender<()>),
    /// Wait no longer than [`END_PATIENCE`] for each further piece.
    Finish,
}

impl Receiving {
    /// Waits for all of it to be on the disk. The task goes on as long as this is waited for.
    async fn end(self) -> Result<Partial, BlobError> {
        let lost = |_| BlobError::from(std::io::Error::other("the writing task ended"));
        self.whole.await.map_err(lost)?
    }
}

impl Outgoing {
    /// A value of the space.
    pub(crate) fn new(opened: Opened) -> Outgoing {
        let state = State::New { target: None };
        Outgoing { state: state.into(), unfinished: Mutex::default(), opened }
    }

    /// Opens the stream; its other end is the sender.
    pub(crate) async fn write_body(&self) -> Result<pieces::Sender<Bytes>, BlobError> {
        let mut state = self.state.lock().await;
        let State::New { target } = &mut *state else { return Err(BlobError::ValueUsed) };
        let (sender, task) = self.receive().await?;
        *state = State::Written { task, target: target.take() };
        Ok(sender)
    }

    async fn receive(&self) -> Result<(pieces::Sender<Bytes>, Receiving), BlobError> {
        let permit = self.opened.permit()?;
        let (partial, file) = self.opened.on_disk(Space::partial).await?;
        let (sender, pieces) = pieces::channel(PIECES_MAX);
        let (asks, asked) = mpsc::channel(2);
        let (told, whole) = oneshot::channel();
        let mut writer = Writer::new(file, self.opened.clone());
        let started = self.opened.tasks.spawn(async move {
            // Held until the file is closed.
            let _permit = permit;
            let result = writer.receive(pieces, asked).await;
            // Closed before it is removed: to free a large file takes a while, and the removal is done where that harms nobody.
            drop(writer);
            // Without a result nobody waits for it any more: the file goes with this task.
            if let Some(result) = result {
                let _ = told.send(result.map(|()| partial));
            }
        });
        match started {
            true => Ok((sender, Receiving { asks, whole })),
            false => Err(std::io::Error::other("the provider is being stopped").into()),
        }
    }

    /// Says which object it becomes, and stores it if its stream has ended.
    pub(crate) async fn write_data(&self, target: Target) -> Result<(), BlobError> {
        let mut state = self.state.lock().await;
        match std::mem::replace(&mut *state, State::Spent) {
            State::New { target: None } => {
                self.note(Some(&target.id));
                *state = State::New { target: Some(target) };
                Ok(())
            }
            State::Written { task, target: None } => {
                let (caught_up, answer) = oneshot::channel();
                let asked = task.asks.send(Ask::CaughtUp(caught_up)).await;
                if asked.is_ok() && answer.await.is_ok() {
                    self.note(Some(&target.id));
                    *state = State::Written { task, target: Some(target) };
                    return Ok(());
                }
                self.store(task.end().await?, target).await?;
                *state = State::Stored;
                Ok(())
            }
            other => {
                *state = other;
                Err(BlobError::ValueUsed)
            }
        }
    }

    /// Its bytes are complete: makes it the object.
    pub(crate) async fn finish(&self) -> Result<(), BlobError> {
        let mut state = self.state.lock().await;
        self.note(None);
        match std::mem::replace(&mut *state, State::Spent) {
            State::Written { task, target: Some(target) } => {
                // It may have ended already.
                let _ = task.asks.send(Ask::Finish).await;
                self.store(task.end().await?, target).await?;
            }
            State::New { target: Some(target) } => {
                let empty = |space: &Space| {
                    let (partial, file) = space.partial()?;
                    file.sync_all()?;
                    Ok(partial)
                };
                self.store(self.opened.on_disk(empty).await?, target).await?;
            }
            State::New { target: None } | State::Written { target: None, .. } => {
                return Err(BlobError::ValueUnnamed);
            }
            State::Stored => {}
            State::Spent => return Err(BlobError::ValueUsed),
        }
        *state = State::Stored;
        Ok(())
    }

    async fn store(&self, partial: Partial, target: Target) -> Result<(), BlobError> {
        target.space.put(partial, &target.id).await
    }

    fn note(&self, id: Option<&ObjectId>) {
        *self.unfinished.lock().unwrap_or_else(PoisonError::into_inner) = id.cloned();
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        let unfinished = self.unfinished.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(ObjectId { container, object }) = unfinished {
            tracing::warn!(
                ?container,
                ?object,
                "an outgoing-value was dropped before it was finished: nothing is stored"
            );
        }
    }
}

/// Writes one body.
struct Writer {
    file: Arc<File>,
    opened: Opened,
    written: u64,
    /// Of them, those that the disk has been asked for.
    synced: u64,
    syncing: Option<JoinHandle<Result<(), BlobError>>>,
}

impl Writer {
    fn new(file: File, opened: Opened) -> Writer {
        Writer { file: Arc::new(file), opened, written: 0, synced: 0, syncing: None }
    }

    /// Writes what comes until the stream ends and all is on the disk; nothing when nobody asks for it any more.
    async fn receive(
        &mut self,
        mut pieces: pieces::Receiver<Bytes>,
        mut asked: mpsc::Receiver<Ask>,
    ) -> Option<Result<(), BlobError>> {
        let mut patience = None;
        while !asked.is_closed() {
            tokio::select! {
                // What was sent before a question was asked is written before it is answered.
                biased;
                piece = pieces.next() => {
                    let written = match piece {
                        Some(piece) => self.write(batch(piece, &mut pieces)).await,
                        None => return Some(self.sync().await),
                    };
                    if let Err(error) = written {
                        return Some(Err(error));
                    }
                }
                ask = asked.recv() => match ask? {
                    Ask::CaughtUp(answer) => drop(answer.send(())),
                    Ask::Finish => patience = Some(END_PATIENCE),
                },
                () = wait(patience) => return Some(Err(BlobError::BodyOpen)),
            }
        }
        None
    }

    async fn write(&mut self, batch: Vec<Bytes>) -> Result<(), BlobError> {
        let bytes: u64 = batch.iter().map(|piece| piece.len() as u64).sum();
        self.written += bytes;
        let bytes_max = self.opened.limits.object_bytes_max;
        if self.written > bytes_max {
            return Err(BlobError::ObjectTooLarge { bytes_max });
        }
        let file = self.file.clone();
        let needed = self.opened.limits.free_bytes_min.saturating_add(bytes);
        let write = move |space: &Space| {
            if space.free_bytes()? < needed {
                return Err(BlobError::StoreFull);
            }
            for piece in batch {
                (&*file).write_all(&piece)?;
            }
            Ok(())
        };
        self.opened.on_disk(write).await?;
        if self.written - self.synced >= SYNC_BYTES {
            self.synced = self.written;
            self.synced().await?;
            let file = self.file.clone();
            self.syncing = Some(self.opened.disk.start(move || Ok(file.sync_data()?)).await);
        }
        Ok(())
    }

    /// Waits for the disk to have done what it was asked before.
    async fn synced(&mut self) -> Result<(), BlobError> {
        match self.syncing.take() {
            Some(syncing) => ended(syncing.await),
            None => Ok(()),
        }
    }

    async fn sync(&mut self) -> Result<(), BlobError> {
        self.synced().await?;
        let file = self.file.clone();
        self.opened.disk.run(move || Ok(file.sync_all()?)).await
    }
}

/// The piece and those that wait behind it.
fn batch(first: Bytes, pieces: &mut pieces::Receiver<Bytes>) -> Vec<Bytes> {
    let mut bytes = first.len();
    let mut batch = vec![first];
    while bytes < BATCH_BYTES
        && let Some(Some(piece)) = pieces.next().now_or_never()
    {
        bytes += piece.len();
        batch.push(piece);
    }
    batch
}

async fn wait(patience: Option<Duration>) {
    match patience {
        Some(patience) => tokio::time::sleep(patience).await,
        None => std::future::pending().await,
    }
}
