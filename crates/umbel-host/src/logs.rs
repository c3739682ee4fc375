//! The log hub: lines of all components, numbered, kept for a while, and published.
//!
//! Lines arrive from the data path without waiting; what does not fit the queue is counted, and the count is told as a line.

use crate::error::HostError;
use crate::shared::Shared;
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tokio::sync::{Mutex, mpsc, oneshot};
use umbel_core::id::ComponentId;
use umbel_core::{Clock, Problem};
use umbel_lattice::extension::{LogLine, LogsRequest};
use umbel_lattice::{Message, subjects};
use umbel_runtime::calls::{Level, Stream};
use umbel_supervisor::ChildContext;

/// Lines that may wait to be taken in.
const QUEUE: usize = 8_192;
/// Lines kept of one component.
const LINES_MAX: usize = 1_000;
/// Bytes kept of one component.
const BYTES_MAX: usize = 256 << 10;
/// Components whose lines are kept, running or gone: beyond, those that have been silent for longest are forgotten.
const COMPONENTS_MAX: usize = 1_000;
/// Lines of one answer.
const ANSWER_MAX: usize = 1_000;

enum Ask {
    Line(Box<LogLine>),
    History(LogsRequest, oneshot::Sender<Vec<LogLine>>),
}

/// Where lines are handed in.
#[derive(Clone)]
pub struct LogSender {
    tx: mpsc::Sender<Ask>,
    lost: Arc<Lost>,
    clock: Arc<dyn Clock>,
}

/// Lines that did not fit the queue, by component, until they are told.
#[derive(Default)]
struct Lost {
    /// Of all components, since the start.
    total: AtomicU64,
    untold: std::sync::Mutex<BTreeMap<ComponentId, u64>>,
}

impl Lost {
    fn untold(&self) -> std::sync::MutexGuard<'_, BTreeMap<ComponentId, u64>> {
        // Numbers are valid at every moment.
        self.untold.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn add(&self, component: &ComponentId) {
        self.total.fetch_add(1, Relaxed);
        let mut untold = self.untold();
        match untold.get_mut(component) {
            Some(count) => *count += 1,
            None => drop(untold.insert(component.clone(), 1)),
        }
    }
}

/// The other end, held by whichever run of the child is on.
pub struct LogInbox(Mutex<mpsc::Receiver<Ask>>);

/// A hub's two ends.
pub fn channel(clock: Arc<dyn Clock>) -> (LogSender, LogInbox) {
    let (tx, rx) = mpsc::channel(QUEUE);
    (LogSender { tx, lost: Arc::default(), clock }, LogInbox(Mutex::new(rx)))
}

impl LogSender {
    /// Hands a line in. Never waits.
    pub fn send(
        &self,
        component: &ComponentId,
        application: Option<&str>,
        level: Level,
        stream: Stream,
        context: &str,
        message: &str,
    ) {
        let line = LogLine {
            seq: 0,
            unix_ms: u64::try_from(self.clock.unix_time().as_millis()).unwrap_or(u64::MAX),
            component: component.clone(),
            application: application.map(str::to_string),
            level: level.as_str().into(),
            stream: stream.as_str().into(),
            context: (!context.is_empty()).then(|| context.to_string()),
            message: message.into(),
            dropped_before: None,
        };
        if self.tx.try_send(Ask::Line(Box::new(line))).is_err() {
            self.lost.add(component);
        }
    }

    /// What was lost since it was asked last, as lines.
    fn told(&self) -> Vec<LogLine> {
        let untold = std::mem::take(&mut *self.lost.untold());
        let line = |(component, count)| LogLine {
            seq: 0,
            unix_ms: u64::try_from(self.clock.unix_time().as_millis()).unwrap_or(u64::MAX),
            component,
            application: None,
            level: Level::Warn.as_str().into(),
            stream: Stream::Host.as_str().into(),
            context: None,
            message: format!("{count} lines were lost: more came at once than the log could take in"),
            dropped_before: None,
        };
        untold.into_iter().map(line).collect()
    }

    /// Lines that were kept, oldest first.
    pub async fn history(&self, request: LogsRequest) -> Result<Vec<LogLine>, HostError> {
        let away = HostError::Away { part: "logs" };
        let (answer, answered) = oneshot::channel();
        if self.tx.send(Ask::History(request, answer)).await.is_err() {
            return Err(away);
        }
        answered.await.map_err(|_| away)
    }

    /// Lines lost so far because the queue was full.
    pub fn lost(&self) -> u64 {
        self.lost.total.load(Relaxed)
    }
}

/// What the lines of a provider that is only tried yet are marked with, where the context of others is.
pub const CANDIDATE: &str = "candidate";

/// Whether a provider is only tried yet: another one serves meanwhile, or is to serve again.
#[derive(Debug, Default)]
pub struct Trial(AtomicBool);

impl Trial {
    /// Of one that is tried.
    pub fn begun() -> Arc<Trial> {
        Arc::new(Trial(AtomicBool::new(true)))
    }

    /// It serves from now on.
    pub fn over(&self) {
        self.0.store(false, Relaxed);
    }

    /// The context of a line of it, of which it has said this itself.
    pub fn context<'a>(&self, own: &'a str) -> Cow<'a, str> {
        match (self.0.load(Relaxed), own) {
            (false, own) => own.into(),
            (true, "") => CANDIDATE.into(),
            (true, own) => format!("{CANDIDATE}: {own}").into(),
        }
    }
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// Lines that were kept once.
    dropped: u64,
}

impl Kept {
    fn push(&mut self, line: LogLine) {
        self.bytes += line.message.len();
        self.lines.push_back(line);
        while self.lines.len() > LINES_MAX || self.bytes > BYTES_MAX {
            match self.lines.pop_front() {
                Some(old) => {
                    self.bytes -= old.message.len();
                    self.dropped += 1;
                }
                None => break,
            }
        }
    }

    /// All lines, with what was before: that is said of the oldest.
    fn told(&self) -> impl Iterator<Item = (&LogLine, Option<u64>)> {
        let dropped = (self.dropped > 0).then_some(self.dropped);
        self.lines.iter().enumerate().map(move |(nth, line)| (line, dropped.filter(|_| nth == 0)))
    }
}

/// The child that owns the lines.
pub async fn run(shared: Arc<Shared>, cx: ChildContext) -> Result<(), Problem> {
    let mut inbox = shared.log_inbox.0.lock().await;
    let mut kept: BTreeMap<ComponentId, Kept> = BTreeMap::new();
    // Numbers go on over a restart of the host, so that whoever follows a log can resume: they begin at its start time in µs.
    let mut seq = u64::try_from(shared.clock.unix_time().as_micros()).unwrap_or(0);
    // Losses that were told already.
    let mut told = 0;
    cx.ready.notify();
    loop {
        let ask = tokio::select! {
            biased;
            ask = inbox.recv() => ask,
            () = cx.stop.requested() => return Ok(()),
        };
        match ask {
            None => return Ok(()),
            Some(Ask::Line(line)) => {
                // There is room again when a line has been taken out, and the loss belongs before what comes next.
                let lost = if shared.logs.lost() > told { shared.logs.told() } else { Vec::new() };
                told = shared.logs.lost();
                for mut line in lost.into_iter().chain([*line]) {
                    seq += 1;
                    line.seq = seq;
                    publish(&shared, &line).await;
                    if kept.len() >= COMPONENTS_MAX && !kept.contains_key(&line.component) {
                        forget_one(&mut kept);
                    }
                    kept.entry(line.component.clone()).or_default().push(line);
                }
            }
            // The asker may have gone; then nobody misses the answer.
            Some(Ask::History(request, answer)) => drop(answer.send(history(&kept, &request))),
        }
    }
}

fn forget_one(kept: &mut BTreeMap<ComponentId, Kept>) {
    let last = |kept: &Kept| kept.lines.back().map_or(0, |line| line.seq);
    let silent = kept.iter().min_by_key(|(_, kept)| last(kept)).map(|(id, _)| id.clone());
    silent.map(|id| kept.remove(&id));
}

async fn publish(shared: &Shared, line: &LogLine) {
    let subject = subjects::umbel::log(&shared.config.lattice, &line.component);
    if let Err(error) = shared.lattice.publish(Message::json(subject, line)).await {
        tracing::debug!(%error, "a log line was not published");
    }
}

fn history(kept: &BTreeMap<ComponentId, Kept>, request: &LogsRequest) -> Vec<LogLine> {
    let wanted = |(line, _): &(&LogLine, Option<u64>)| {
        request.component.as_ref().is_none_or(|c| *c == line.component)
            && request.application.as_ref().is_none_or(|a| line.application.as_ref() == Some(a))
            && request.since_seq.is_none_or(|seq| line.seq > seq)
    };
    let told = kept.values().flat_map(Kept::told).filter(wanted);
    let mut lines: Vec<LogLine> =
        told.map(|(line, dropped_before)| LogLine { dropped_before, ..line.clone() }).collect();
    lines.sort_by_key(|line| line.seq);
    let limit = if request.limit == 0 { ANSWER_MAX } else { request.limit.min(ANSWER_MAX) };
    lines.split_off(lines.len().saturating_sub(limit))
}

#[cfg(test)]
mod tests {
    use super::Trial;

    #[test]
    fn lines_of_what_is_only_tried_say_so() {
        let trial = Trial::begun();
        assert_eq!((&*trial.context(""), &*trial.context("db")), ("candidate", "candidate: db"));
        trial.over();
        assert_eq!((&*trial.context(""), &*trial.context("db")), ("", "db"));
    }
}
