//! The event log: every event of the lattice, or of this host where others share it, with a number, kept in memory for who resumes and on disk
//! for who looks back.

use crate::error::HostError;
use crate::fetch::blocking;
use crate::shared::Shared;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use umbel_core::Problem;
use umbel_core::event::Event;
use umbel_lattice::extension::{EventsReply, EventsRequest, NumberedEvent};
use umbel_lattice::{Message, subjects};
use umbel_supervisor::ChildContext;

/// Events kept in memory.
const KEPT_MAX: usize = 10_000;
/// Events of one answer.
const ANSWER_MAX: usize = 1_000;
/// The file is moved to `.1` when it has grown to this.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// A file that cannot be moved is tried again when it has grown by this.
const RETRY_BYTES: u64 = 1 << 20;

/// A question about the past.
pub type Ask = (EventsRequest, oneshot::Sender<EventsReply>);

/// Asks the log.
pub async fn history(shared: &Shared, request: EventsRequest) -> Result<EventsReply, HostError> {
    let away = HostError::Away { part: "events" };
    let (answer, answered) = oneshot::channel();
    if shared.event_asks.send((request, answer)).await.is_err() {
        return Err(away);
    }
    answered.await.map_err(|_| away)
}

struct Log {
    kept: VecDeque<NumberedEvent>,
    seq: u64,
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    /// When the file is moved aside.
    move_at: u64,
}

impl Log {
    /// Opens the file and takes up the numbering where it ended. A last line that was cut off is left out.
    fn open(path: PathBuf) -> Log {
        let mut kept = VecDeque::new();
        for name in [rotated(&path), path.clone()] {
            let Ok(file) = File::open(&name) else { continue };
            // Bytes, not text: a line that was cut off within a character must not hide those after it.
            for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
                if let Ok(event) = serde_json::from_slice::<NumberedEvent>(&line) {
                    kept.push_back(event);
                    if kept.len() > KEPT_MAX {
                        kept.pop_front();
                    }
                }
            }
        }
        let seq = kept.back().map_or(0, |e: &NumberedEvent| e.seq);
        let mut log = Log { kept, seq, path, file: None, bytes: 0, move_at: FILE_BYTES_MAX };
        log.reopen();
        log
    }

    fn reopen(&mut self) {
        match OpenOptions::new().create(true).append(true).open(&self.path) {
            Ok(mut file) => {
                self.bytes = file.metadata().map_or(0, |m| m.len());
                // Ends a line that an earlier process left unfinished.
                if self.bytes > 0 {
                    let _ = file.write_all(b"\n");
                }
                self.file = Some(file);
            }
            // The log in memory goes on; a full disk must not take the host down.
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "the event log is not written to disk")
            }
        }
    }

    fn push(&mut self, event: Event) -> NumberedEvent {
        self.seq += 1;
        let numbered = NumberedEvent { seq: self.seq, event };
        self.write(&numbered);
        self.kept.push_back(numbered.clone());
        if self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
        numbered
    }

    fn write(&mut self, event: &NumberedEvent) {
        let Some(file) = &mut self.file else { return };
        let mut line = serde_json::to_vec(event).expect("events are plain JSON data");
        line.push(b'\n');
        self.bytes += line.len() as u64;
        if let Err(error) = file.write_all(&line) {
            tracing::warn!(path = %self.path.display(), %error, "an event was not written to disk");
        }
        if self.bytes > self.move_at {
            self.move_aside();
        }
    }

    fn move_aside(&mut self) {
        match std::fs::rename(&self.path, rotated(&self.path)) {
            Ok(()) => {
                self.move_at = FILE_BYTES_MAX;
                self.reopen();
            }
            Err(error) => {
                self.move_at = self.bytes + RETRY_BYTES;
                tracing::warn!(path = %self.path.display(), %error, "the full event log cannot be moved aside");
            }
        }
    }

    fn answer(&self, request: &EventsRequest) -> EventsReply {
        let limit = if request.limit == 0 { ANSWER_MAX } else { request.limit.min(ANSWER_MAX) };
        let events: Vec<NumberedEvent> = match request.since_seq {
            Some(since) => self.kept.iter().filter(|e| e.seq > since).take(limit).cloned().collect(),
            None => self.kept.iter().skip(self.kept.len().saturating_sub(limit)).cloned().collect(),
        };
        EventsReply { events, oldest_seq: self.kept.front().map_or(self.seq + 1, |e| e.seq) }
    }
}

fn rotated(path: &Path) -> PathBuf {
    path.with_extension("jsonl.1")
}

/// The child that owns the log. Heartbeats are left out: they are the inventory, again and again.
pub async fn run(shared: Arc<Shared>, cx: ChildContext) -> Result<(), Problem> {
    let mut asks: tokio::sync::MutexGuard<'_, mpsc::Receiver<Ask>> = shared.event_inbox.lock().await;
    let name = &shared.config.lattice;
    let subjects = [subjects::evt::any(name), subjects::umbel::event_any(name)];
    let [told, own] = subjects.each_ref().map(|subject| shared.local.observe(subject));
    let mut events = told.await.map_err(|e| Problem::from(&e))?;
    let mut own = own.await.map_err(|e| Problem::from(&e))?;
    let path = shared.state.join("events.jsonl");
    // Megabytes to read and to parse, which others must not wait for.
    let mut log = blocking(move || Ok(Log::open(path))).await?;
    cx.ready.notify();
    loop {
        tokio::select! {
            message = events.next() => match message {
                None => return Err(Problem::from(&HostError::Away { part: "events" })),
                Some(message) => take(&shared, &mut log, &message).await,
            },
            message = own.next() => match message {
                None => return Err(Problem::from(&HostError::Away { part: "events" })),
                Some(message) => take(&shared, &mut log, &message).await,
            },
            ask = asks.recv() => match ask {
                None => return Ok(()),
                // The asker may have gone; then nobody misses the answer.
                Some((request, answer)) => drop(answer.send(log.answer(&request))),
            },
            () = cx.stop.requested() => {
                while let Some(message) = events.try_next().or_else(|| own.try_next()) {
                    take(&shared, &mut log, &message).await;
                }
                return Ok(());
            }
        }
    }
}

async fn take(shared: &Shared, log: &mut Log, message: &Message) {
    let Ok(event) = serde_json::from_slice::<Event>(&message.payload) else { return };
    if event.name() == "host_heartbeat" {
        return;
    }
    let numbered = log.push(event);
    let message = Message::json(subjects::umbel::events(&shared.config.lattice), &numbered);
    if let Err(error) = shared.lattice.publish(message).await {
        tracing::debug!(%error, "an event was not published");
    }
}

#[cfg(test)]
mod tests;
