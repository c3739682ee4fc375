//! Where messages come from: subscriptions to no more than the kinds that are wanted.

use super::{Kind, Spy};
use crate::lattice::SubscribeOptions;
use crate::subscription::{Attached, Pushed, Sink};
use crate::{Lattice, Message, Result, subject};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use umbel_core::id::LatticeName;

/// Messages that wait for their reader; more are counted and left out.
const WAITING_MAX: usize = 8_192;

/// How long an answer waits for its request.
const HELD_MAX: Duration = Duration::from_millis(20);
/// Answers that wait so.
const HELD_LEN_MAX: usize = 1_024;

/// What inboxes begin with unless somebody says otherwise.
const USUAL_INBOXES: &str = "_INBOX";

/// A message, or what is known of those that were missed.
#[derive(Debug)]
pub enum Heard {
    /// A message, and when it was taken: µs since the listener began.
    Message(u64, Message),
    /// So many messages did not fit the queue.
    Lost(u64),
    /// The connection was lost and made again: what was sent meanwhile was not heard.
    Interrupted,
}

/// What was not heard, until it is told.
#[derive(Debug, Default)]
struct Missed {
    count: AtomicU64,
    is_interrupted: AtomicBool,
}

/// Hears the lattice as an observer until it is dropped.
#[derive(Debug)]
pub struct Listener {
    messages: mpsc::Receiver<(u64, Message)>,
    missed: Arc<Missed>,
    begun: Instant,
    /// What inboxes begin with, with the dot.
    inboxes: String,
    /// Messages to inboxes whose request has not been heard yet.
    held: VecDeque<(u64, Message)>,
    _attached: Vec<Attached>,
}

impl Listener {
    /// Subscribes to what belongs to the kinds, and to inboxes: answers go there. [`Kind::Other`] is everything.
    ///
    /// Errors: those of subscribing; over NATS, `UM0624` for a subject that the credentials do not allow.
    pub async fn start(lattice: &dyn Lattice, kinds: &BTreeSet<Kind>) -> Result<Listener> {
        let (tell, messages) = mpsc::channel(WAITING_MAX);
        let begun = Instant::now();
        let taker = Arc::new(Taker { begun, tell, missed: Arc::default() });
        let mut attached = Vec::new();
        let inboxes = inboxes(&lattice.inbox());
        for pattern in patterns(lattice.name(), kinds, &inboxes) {
            let options = SubscribeOptions { observer: true, ..SubscribeOptions::default() };
            attached.push(lattice.subscribe_with(&pattern, options).await?.attach(taker.clone()));
        }
        Ok(Listener {
            messages,
            missed: taker.missed.clone(),
            begun,
            inboxes: format!("{inboxes}."),
            held: VecDeque::new(),
            _attached: attached,
        })
    }

    /// What comes next; `None` when the lattice is closed. Cancel-safe.
    ///
    /// Over NATS every subscription is read by itself, and an answer may overtake its request: one whose request `spy` does not know is held
    /// for a moment.
    pub async fn next(&mut self, spy: &Spy) -> Option<Heard> {
        loop {
            if self.missed.is_interrupted.swap(false, Ordering::Relaxed) {
                return Some(Heard::Interrupted);
            }
            let lost = self.missed.count.swap(0, Ordering::Relaxed);
            if lost > 0 {
                return Some(Heard::Lost(lost));
            }
            if let Some((at_us, message)) = self.released(spy) {
                return Some(Heard::Message(at_us, message));
            }
            let over = self.held.front().map(|(at_us, _)| HELD_MAX.saturating_sub(self.since(*at_us)));
            let over = async {
                match over {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            let next = tokio::select! {
                biased;
                next = self.messages.recv() => next,
                () = over => continue,
            };
            match next {
                Some((at_us, message)) => {
                    let is_early = message.subject.starts_with(&self.inboxes) && !spy.knows(&message.subject);
                    if !is_early {
                        return Some(Heard::Message(at_us, message));
                    }
                    self.held.push_back((at_us, message));
                }
                None => return self.held.pop_front().map(|(at_us, message)| Heard::Message(at_us, message)),
            }
        }
    }

    /// A held message whose request is known by now, or that has waited long enough.
    fn released(&mut self, spy: &Spy) -> Option<(u64, Message)> {
        let has_waited = |at_us: u64| self.held.len() > HELD_LEN_MAX || self.since(at_us) >= HELD_MAX;
        let next = self
            .held
            .iter()
            .position(|(at_us, message)| has_waited(*at_us) || spy.knows(&message.subject))?;
        self.held.remove(next)
    }

    fn since(&self, at_us: u64) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_micros(at_us))
    }
}

/// Takes messages where they come, so that their times are true and their order is kept.
struct Taker {
    begun: Instant,
    tell: mpsc::Sender<(u64, Message)>,
    missed: Arc<Missed>,
}

impl Sink for Taker {
    fn take(&self, message: Message) -> Pushed {
        let at_us = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        match self.tell.try_send((at_us, message)) {
            Ok(()) => Pushed::Queued,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.missed.count.fetch_add(1, Ordering::Relaxed);
                Pushed::Lost
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Pushed::Gone,
        }
    }

    fn interrupted(&self) {
        self.missed.is_interrupted.store(true, Ordering::Relaxed);
    }
}

/// What inboxes begin with: `_INBOX` for everybody, unless credentials allow a connection no more than its own.
fn inboxes(own: &str) -> String {
    let root = match own.split_once('.') {
        Some((USUAL_INBOXES, _)) => USUAL_INBOXES,
        _ => own.rsplit_once('.').map_or(own, |(root, _)| root),
    };
    root.to_string()
}

/// What has to be subscribed to: none of them covers another, so nothing is heard twice.
fn patterns(lattice: &LatticeName, kinds: &BTreeSet<Kind>, inboxes: &str) -> Vec<String> {
    let mut all: Vec<String> = kinds.iter().flat_map(|kind| of_kind(lattice, *kind)).collect();
    all.push(format!("{inboxes}.>"));
    all.sort();
    all.dedup();
    let covers = |wide: &String, narrow: &String| wide != narrow && subject::matches(wide, narrow);
    all.iter().filter(|narrow| !all.iter().any(|wide| covers(wide, narrow))).cloned().collect()
}

fn of_kind(lattice: &LatticeName, kind: Kind) -> Vec<String> {
    let one = |text: String| vec![text];
    match kind {
        Kind::Calls => one(format!("{lattice}.>")),
        Kind::Control => vec![
            format!("wasmbus.ctl.v1.{lattice}.>"),
            format!("wasmbus.cfg.{lattice}.>"),
            format!("umbel.v1.{lattice}.host.>"),
        ],
        Kind::Events => vec![format!("wasmbus.evt.{lattice}.>"), format!("umbel.v1.{lattice}.events")],
        Kind::Providers => one(format!("wasmbus.rpc.{lattice}.>")),
        Kind::Applications => vec![
            format!("wadm.api.{lattice}.>"),
            format!("wadm.evt.{lattice}.>"),
            format!("wadm.cmd.{lattice}"),
            format!("wadm.notify.{lattice}"),
            format!("wadm.status.{lattice}.>"),
        ],
        Kind::State => vec!["$JS.>".into(), "$KV.>".into()],
        Kind::Logs => one(format!("umbel.v1.{lattice}.log.>")),
        Kind::Secrets => one("wasmcloud.secrets.>".into()),
        Kind::Other => one(">".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lattice: &str, kinds: &[Kind], expect: &[&str]) {
        let lattice = LatticeName::new(lattice).expect("a name");
        let kinds = kinds.iter().copied().collect();
        assert_eq!(patterns(&lattice, &kinds, "_INBOX"), expect, "{kinds:?}");
    }

    #[test]
    fn no_more_is_subscribed_to_than_what_is_wanted() {
        check("default", &[Kind::Calls], &["_INBOX.>", "default.>"]);
        check("default", &[Kind::Logs, Kind::Calls], &["_INBOX.>", "default.>", "umbel.v1.default.log.>"]);
        check("default", &Kind::ALL, &[">"]);
    }

    #[test]
    fn answers_are_heard_where_they_go() {
        assert_eq!(inboxes("_INBOX.default.7"), "_INBOX");
        assert_eq!(inboxes("team.a.x9"), "team.a");
    }

    #[test]
    fn nothing_is_heard_twice_whatever_the_lattice_is_called() {
        check("umbel", &[Kind::Logs, Kind::Calls], &["_INBOX.>", "umbel.>"]);
        check("wasmbus", &[Kind::Events, Kind::Calls], &["_INBOX.>", "umbel.v1.wasmbus.events", "wasmbus.>"]);
    }
}
