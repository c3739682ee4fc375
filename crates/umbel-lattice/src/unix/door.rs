//! One provider process, seen from its host.

use super::confine::Confine;
use super::frame::Frame;
use super::gate::Inner as GateInner;
use super::outbox::{Outbox, Posted};
use super::{SUBSCRIPTIONS_MAX, VERSION, WAITING_BYTES_MAX};
use crate::subscription::{Attached, Pushed, Sink};
use crate::wrpc::client_of;
use crate::{Lattice, LatticeError, Message, SubscribeOptions};
use bytes::BytesMut;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;
use umbel_core::code::wire;
use umbel_core::{Coded, Problem};

/// How many reply subjects are remembered, the oldest is forgotten first.
const REPLIES_MAX: usize = 16_384;

/// How many clients, each with one root for the replies to all its calls, are remembered.
const ROOTS_MAX: usize = 4_096;

/// How long a process may take to read why it is sent away.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// What has passed a door.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DoorStats {
    /// Messages from the process that were passed on.
    pub published: u64,
    /// Messages to the process.
    pub delivered: u64,
    /// What the process was not allowed to do: subscriptions and messages.
    pub denied: u64,
}

/// Holds the place of one process. Dropping it ends the connection.
pub struct Door {
    state: Arc<DoorState>,
    gate: Weak<GateInner>,
}

pub(super) struct DoorState {
    id: String,
    phase: watch::Sender<Phase>,
    published: AtomicU64,
    delivered: AtomicU64,
    denied: AtomicU64,
    outbox: Mutex<Weak<Outbox>>,
}

#[derive(Debug, Clone)]
enum Phase {
    Expected,
    Connected,
    Ended(Problem),
}

impl Door {
    pub(super) fn new(state: Arc<DoorState>, gate: Weak<GateInner>) -> Door {
        Door { state, gate }
    }

    /// Waits until the process has connected; what ended the connection if it has ended already.
    pub async fn connected(&self) -> Result<(), Problem> {
        let mut phase = self.state.phase.subscribe();
        match phase.wait_for(|phase| !matches!(phase, Phase::Expected)).await.as_deref() {
            Ok(Phase::Ended(problem)) => Err(problem.clone()),
            _ => Ok(()),
        }
    }

    /// Waits until the connection has ended, and says why.
    pub async fn closed(&self) -> Problem {
        let mut phase = self.state.phase.subscribe();
        match phase.wait_for(|phase| matches!(phase, Phase::Ended(_))).await.as_deref() {
            Ok(Phase::Ended(problem)) => problem.clone(),
            _ => lost(),
        }
    }

    /// Whether the process is connected.
    pub fn is_connected(&self) -> bool {
        matches!(*self.state.phase.borrow(), Phase::Connected)
    }

    /// What has passed.
    pub fn stats(&self) -> DoorStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DoorStats {
            published: read(&self.state.published),
            delivered: read(&self.state.delivered),
            denied: read(&self.state.denied),
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.upgrade() {
            gate.forget(&self.state);
        }
        self.state.close(&Problem::new(wire::CONNECTION_LOST, "the host has ended the connection"));
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Door({}, {:?})", self.state.id, self.stats())
    }
}

impl DoorState {
    pub(super) fn new(id: String) -> Arc<DoorState> {
        Arc::new(DoorState {
            id,
            phase: watch::Sender::new(Phase::Expected),
            published: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            outbox: Mutex::default(),
        })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Ends the connection, if there is one.
    pub(super) fn close(&self, why: &Problem) {
        if let Some(outbox) = self.lock().upgrade() {
            outbox.post(Frame::Closing { problem: why.clone() });
            outbox.close();
        }
        self.ended(why.clone());
    }

    fn ended(&self, why: Problem) {
        self.phase.send_if_modified(|phase| {
            let is_first = !matches!(phase, Phase::Ended(_));
            if is_first {
                *phase = Phase::Ended(why);
            }
            is_first
        });
    }

    /// The process has connected; `false` if nobody wants it any more.
    fn begin(&self, outbox: &Arc<Outbox>) -> bool {
        *self.lock() = Arc::downgrade(outbox);
        self.phase.send_if_modified(|phase| {
            let is_expected = matches!(phase, Phase::Expected);
            if is_expected {
                *phase = Phase::Connected;
            }
            is_expected
        })
    }

    fn lock(&self) -> MutexGuard<'_, Weak<Outbox>> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost() -> Problem {
    Problem::new(wire::CONNECTION_LOST, "the provider process has closed the connection")
}

/// Passes messages both ways until the connection ends.
pub(super) async fn converse(
    lattice: &Arc<dyn Lattice>,
    outbox: Arc<Outbox>,
    buffer: BytesMut,
    confine: Arc<dyn Confine>,
    door: Arc<DoorState>,
) {
    if !door.begin(&outbox) {
        outbox.close();
        return;
    }
    let inbox = lattice.inbox();
    outbox.post(Frame::Welcome {
        version: VERSION,
        lattice: lattice.name().to_string(),
        inbox: inbox.clone(),
        payload_bytes_max: lattice.payload_bytes_max() as u64,
    });
    let mut passing = Passing {
        lattice: lattice.clone(),
        outbox: outbox.clone(),
        confine,
        door: door.clone(),
        inbox: format!("{inbox}."),
        replies: Arc::new(Replies::new(lattice.name().as_str())),
        subscriptions: HashMap::new(),
    };
    let ended = tokio::select! {
        ended = passing.read(buffer) => ended,
        posted = outbox.drive() => match posted {
            Posted::Full => Err(Problem::new(
                wire::PEER_SLOW,
                format!("{WAITING_BYTES_MAX} bytes wait for the provider `{}`, which does not read", door.id),
            )),
            _ => Ok(()),
        },
    };
    // Nothing more is sent to it from here on.
    passing.subscriptions.clear();
    let why = match ended {
        Ok(()) => lost(),
        Err(problem) => {
            tracing::warn!(provider = %door.id, %problem, "the connection to a provider process is closed");
            outbox.post(Frame::Closing { problem: problem.clone() });
            let _ = tokio::time::timeout(FAREWELL_MAX, outbox.flush()).await;
            problem
        }
    };
    outbox.close();
    door.ended(why);
}

struct Passing {
    lattice: Arc<dyn Lattice>,
    outbox: Arc<Outbox>,
    confine: Arc<dyn Confine>,
    door: Arc<DoorState>,
    inbox: String,
    replies: Arc<Replies>,
    subscriptions: HashMap<u64, Attached>,
}

impl Passing {
    async fn read(&mut self, mut buffer: BytesMut) -> Result<(), Problem> {
        loop {
            while let Some(frame) = Frame::take(&mut buffer)? {
                self.take(frame).await?;
            }
            if !self.outbox.read(&mut buffer).await {
                return Ok(());
            }
        }
    }

    async fn take(&mut self, frame: Frame) -> Result<(), Problem> {
        match frame {
            Frame::Publish { is_request, message } => {
                self.publish(is_request, message).await;
                Ok(())
            }
            Frame::Subscribe { sid, pattern, group, is_observer } => {
                self.subscribe(sid, pattern, group, is_observer).await
            }
            Frame::Unsubscribe { sid } => {
                self.subscriptions.remove(&sid);
                Ok(())
            }
            Frame::Closing { .. } => Err(lost()),
            _ => Err(Problem::new(wire::WIRE_BROKEN, "the process sent a frame that is not for a host")),
        }
    }

    async fn publish(&self, is_request: bool, message: Message) {
        let subject = &message.subject;
        let is_own = subject.starts_with(&self.inbox) || self.replies.covers(subject);
        let foreign = message.reply.as_ref().filter(|reply| !reply.starts_with(&self.inbox));
        let allowed = foreign.map_or(Ok(()), |reply| self.confine.may_be_answered(reply));
        let allowed = allowed.and_then(|()| if is_own { Ok(()) } else { self.confine.may_publish(&message) });
        if let Err(problem) = allowed {
            self.deny(message, is_request, problem);
            return;
        }
        self.door.published.fetch_add(1, Ordering::Relaxed);
        if !is_request {
            if let Err(error) = self.lattice.publish(message).await {
                tracing::debug!(provider = %self.door.id, %error, "a message of a provider process was not sent");
            }
            return;
        }
        let reply = message.reply.clone();
        let status = match self.lattice.publish_request(message).await {
            Ok(()) => return,
            Err(LatticeError::NoResponders { .. }) => 503,
            Err(LatticeError::Busy { .. }) => 429,
            Err(error) => u64::from(error.kind().http_status()),
        };
        if let Some(reply) = reply {
            self.outbox.post(Frame::Status { reply, status });
        }
    }

    fn deny(&self, message: Message, is_request: bool, problem: Problem) {
        let before = self.door.denied.fetch_add(1, Ordering::Relaxed);
        if before.is_power_of_two() || before == 0 {
            tracing::warn!(provider = %self.door.id, denied = before + 1, %problem, "a provider process may not do that");
        }
        if let (true, Some(reply)) = (is_request, message.reply) {
            self.outbox.post(Frame::Status { reply, status: 403 });
        }
        self.outbox.post(Frame::Denied { subject: message.subject, problem });
    }

    async fn subscribe(
        &mut self,
        sid: u64,
        pattern: String,
        group: Option<String>,
        is_observer: bool,
    ) -> Result<(), Problem> {
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            let message = format!("`{}` has {SUBSCRIPTIONS_MAX} subscriptions already", self.door.id);
            return Err(Problem::new(wire::CONNECTION_LIMIT, message));
        }
        let allowed =
            if pattern.starts_with(&self.inbox) { Ok(()) } else { self.confine.may_subscribe(&pattern) };
        if let Err(problem) = allowed {
            self.door.denied.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(provider = %self.door.id, %problem, "a provider process may not subscribe there");
            self.outbox.post(Frame::NotSubscribed { sid, problem });
            return Ok(());
        }
        let pattern = self.confine.outside(pattern);
        let group = group.map(|group| self.confine.outside(group));
        let options = SubscribeOptions { group, observer: is_observer, ..SubscribeOptions::default() };
        match self.lattice.subscribe_with(&pattern, options).await {
            Ok(subscription) => {
                let sink = Towards {
                    sid,
                    outbox: self.outbox.clone(),
                    replies: self.replies.clone(),
                    door: self.door.clone(),
                    confine: self.confine.clone(),
                };
                self.outbox.post(Frame::Subscribed { sid });
                self.subscriptions.insert(sid, subscription.attach(Arc::new(sink)));
            }
            Err(error) => {
                self.outbox.post(Frame::NotSubscribed { sid, problem: Problem::from(&error) });
            }
        }
        Ok(())
    }
}

/// Takes messages of one subscription to the process.
struct Towards {
    sid: u64,
    outbox: Arc<Outbox>,
    replies: Arc<Replies>,
    door: Arc<DoorState>,
    confine: Arc<dyn Confine>,
}

impl Sink for Towards {
    fn take(&self, mut message: Message) -> Pushed {
        message.subject = self.confine.inside(message.subject);
        if let Some(reply) = &message.reply {
            self.replies.remember(reply);
        }
        self.door.delivered.fetch_add(1, Ordering::Relaxed);
        match self.outbox.post(Frame::Deliver { sid: self.sid, message }) {
            Posted::Taken => Pushed::Queued,
            Posted::Full => Pushed::Lost,
            Posted::Closed => Pushed::Gone,
        }
    }

    fn has_room(&self) -> bool {
        self.outbox.has_room()
    }

    fn interrupted(&self) {
        self.outbox.post(Frame::Interrupted { sid: self.sid });
    }

    fn ended(&self) {
        let problem = Problem::new(wire::CONNECTION_LOST, "the lattice was closed");
        self.outbox.post(Frame::Closing { problem });
        self.outbox.close();
    }
}

/// Where the process was asked, and so may answer.
struct Replies {
    /// The first token of what is said in the lattice; nothing there is an inbox, whatever a request says.
    lattice: String,
    known: Mutex<Known>,
}

/// First tokens of subjects that services listen on.
const SERVICES: [&str; 3] = ["umbel", "wadm", "wasmbus"];

#[derive(Default)]
struct Known {
    roots: HashSet<String>,
    single: HashSet<String>,
    order: VecDeque<String>,
}

impl Replies {
    fn new(lattice: &str) -> Replies {
        Replies { lattice: lattice.to_string(), known: Mutex::default() }
    }

    /// Whether it may be an inbox. What inboxes begin with is each host's own choice, so this says what does not.
    fn is_inbox(&self, subject: &str) -> bool {
        let first = subject.split('.').next().unwrap_or_default();
        !first.starts_with('$') && first != self.lattice && !SERVICES.contains(&first)
    }

    fn remember(&self, reply: &str) {
        if !self.is_inbox(reply) {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(root) = client_of(reply) {
            if !known.roots.contains(root) && known.roots.len() < ROOTS_MAX {
                known.roots.insert(root.to_string());
            }
            return;
        }
        if known.single.insert(reply.to_string()) {
            known.order.push_back(reply.to_string());
            if known.order.len() > REPLIES_MAX
                && let Some(oldest) = known.order.pop_front()
            {
                known.single.remove(&oldest);
            }
        }
    }

    /// Whether the subject is one of them, or below one.
    fn covers(&self, subject: &str) -> bool {
        if !self.is_inbox(subject) {
            return false;
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = subject.match_indices('.').map(|(at, _)| at).chain([subject.len()]);
        ends.map(|end| &subject[..end]).any(|above| {
            known.roots.contains(above) && above.len() < subject.len() || known.single.contains(above)
        })
    }
}
