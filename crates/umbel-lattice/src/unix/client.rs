//! The process's end of the connection: a [`Lattice`] without buckets.

use super::frame::Frame;
use super::gate::first;
use super::outbox::{Outbox, Posted};
use super::{HELLO_MAX, VERSION};
use crate::bucket::Bucket;
use crate::lattice::{PAYLOAD_BYTES_MAX, STATUS, check_payload};
use crate::subscription::Sender;
use crate::{Lattice, LatticeError, Message, Result, Spawn, SubscribeOptions, Subscription, subject};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use umbel_core::Problem;
use umbel_core::code::wire;
use umbel_core::id::LatticeName;

/// How long the host may take to answer a subscription.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The subscription of all requests.
const REQUESTS: u64 = 0;

/// The lattice through a host's socket. Clones are the same connection.
#[derive(Clone)]
pub struct Unix {
    inner: Arc<Inner>,
}

struct Inner {
    name: LatticeName,
    inbox: String,
    payload_bytes_max: usize,
    outbox: Arc<Outbox>,
    next: AtomicU64,
    subscriptions: RwLock<HashMap<u64, Known>>,
    answers: Mutex<HashMap<u64, oneshot::Sender<Result<(), Problem>>>>,
    requests: Mutex<HashMap<u64, Arc<Sender>>>,
    over: Mutex<Option<Problem>>,
}

#[derive(Clone)]
struct Known {
    pattern: Arc<str>,
    sender: Arc<Sender>,
}

/// Connects to the host at the path and says who this is.
///
/// Errors: `UM0637` for another version of the protocol, `UM0638` for a wrong id or token, `UM0642` if nobody listens there.
pub async fn connect(path: &Path, id: &str, token: &str, spawn: &Spawn) -> Result<Unix, Problem> {
    let lost = |why: String| Problem::new(wire::CONNECTION_LOST, format!("no connection to the host: {why}"));
    let stream = UnixStream::connect(path).await.map_err(|error| lost(error.to_string()))?;
    let outbox = Arc::new(Outbox::new(stream));
    outbox.post(Frame::Hello { version: VERSION, id: id.to_string(), token: token.to_string() });
    let mut buffer = BytesMut::new();
    let hello = async {
        outbox.flush().await;
        first(&outbox, &mut buffer).await
    };
    let answer =
        tokio::time::timeout(HELLO_MAX, hello).await.map_err(|_| lost("it does not answer".into()))??;
    let (name, inbox, payload_bytes_max) = match answer {
        Some(Frame::Welcome { version: VERSION, lattice, inbox, payload_bytes_max }) => {
            (lattice, inbox, usize::try_from(payload_bytes_max).unwrap_or(PAYLOAD_BYTES_MAX))
        }
        Some(Frame::Welcome { version, .. }) => {
            let message =
                format!("the host speaks version {version} of the protocol, this provider version {VERSION}");
            return Err(Problem::new(wire::HELLO_VERSION, message));
        }
        Some(Frame::Refused { problem } | Frame::Closing { problem }) => return Err(problem),
        Some(_) => return Err(Problem::new(wire::WIRE_BROKEN, "the host's first frame is no welcome")),
        None => return Err(lost("it closed the connection".into())),
    };
    let name = LatticeName::new(name).map_err(|error| Problem::from(&error))?;
    let inner = Arc::new(Inner {
        name,
        inbox,
        payload_bytes_max: payload_bytes_max.min(PAYLOAD_BYTES_MAX),
        outbox,
        next: AtomicU64::new(1),
        subscriptions: RwLock::default(),
        answers: Mutex::default(),
        requests: Mutex::default(),
        over: Mutex::default(),
    });
    let (outbox, weak) = (inner.outbox.clone(), Arc::downgrade(&inner));
    spawn(Box::pin(async move { drive(&outbox, &weak, buffer).await }));
    let requests = Frame::Subscribe {
        sid: REQUESTS,
        pattern: format!("{}.r.>", inner.inbox),
        group: None,
        is_observer: false,
    };
    inner.subscribed(REQUESTS, requests).await.map_err(|error| Problem::from(&error))?;
    Ok(Unix { inner })
}

async fn drive(outbox: &Outbox, inner: &Weak<Inner>, mut buffer: BytesMut) {
    let reading = async {
        loop {
            loop {
                match Frame::take(&mut buffer) {
                    Ok(Some(Frame::Closing { problem })) => return problem,
                    Ok(Some(frame)) => match inner.upgrade() {
                        Some(inner) => inner.take(frame),
                        None => return gone(),
                    },
                    Ok(None) => break,
                    Err(problem) => return problem,
                }
            }
            if !outbox.read(&mut buffer).await {
                return Problem::new(wire::CONNECTION_LOST, "the host has closed the connection");
            }
        }
    };
    let why = tokio::select! {
        why = reading => why,
        posted = outbox.drive() => match posted {
            Posted::Full => Problem::new(wire::PEER_SLOW, "the host does not read what this provider sends"),
            _ => gone(),
        },
    };
    outbox.close();
    if let Some(inner) = inner.upgrade() {
        inner.end(why);
    }
}

fn gone() -> Problem {
    Problem::new(wire::CONNECTION_LOST, "the connection was closed")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Unix {
    /// Why the connection has ended, if it has.
    pub fn over(&self) -> Option<Problem> {
        locked(&self.inner.over).clone()
    }
}

impl std::fmt::Debug for Unix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unix({})", self.inner.inbox)
    }
}

impl Inner {
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn check_open(&self) -> Result<()> {
        if locked(&self.over).is_some() { Err(LatticeError::Closed) } else { Ok(()) }
    }

    fn post(&self, frame: Frame) -> Result<()> {
        match self.outbox.post(frame) {
            Posted::Taken => Ok(()),
            Posted::Full => Err(Problem::new(wire::PEER_SLOW, "the host does not read what is sent").into()),
            Posted::Closed => Err(LatticeError::Closed),
        }
    }

    fn send(&self, is_request: bool, message: Message) -> Result<()> {
        subject::check(&message.subject)?;
        check_payload(&message.payload)?;
        self.check_open()?;
        self.post(Frame::Publish { is_request, message })
    }

    async fn subscribed(&self, sid: u64, frame: Frame) -> Result<()> {
        let (told, answer) = oneshot::channel();
        locked(&self.answers).insert(sid, told);
        self.post(frame)?;
        // Ended just before: nobody would ever answer.
        self.check_open()?;
        match tokio::time::timeout(ANSWER_MAX, answer).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(_)) => Err(LatticeError::Closed),
            Err(_) => {
                locked(&self.answers).remove(&sid);
                Err(LatticeError::Timeout { subject: "the subscription".into(), after: ANSWER_MAX })
            }
        }
    }

    fn take(&self, frame: Frame) {
        match frame {
            Frame::Deliver { sid: REQUESTS, message } => self.answered(message),
            Frame::Deliver { sid, message } => {
                let known =
                    self.subscriptions.read().unwrap_or_else(PoisonError::into_inner).get(&sid).cloned();
                if let Some(known) = known {
                    known.sender.push(message);
                }
            }
            Frame::Interrupted { sid } => {
                let known =
                    self.subscriptions.read().unwrap_or_else(PoisonError::into_inner).get(&sid).cloned();
                if let Some(known) = known {
                    known.sender.interrupt();
                }
            }
            Frame::Subscribed { sid } => self.answer(sid, Ok(())),
            Frame::NotSubscribed { sid, problem } => self.answer(sid, Err(problem)),
            Frame::Status { reply, status } => self.status(reply, status),
            Frame::Denied { subject, problem } => {
                tracing::warn!(%subject, %problem, "the host did not pass a message on");
            }
            // The host of a later version may say more; what is not understood does no harm.
            _ => {}
        }
    }

    fn answer(&self, sid: u64, answer: Result<(), Problem>) {
        if let Some(told) = locked(&self.answers).remove(&sid) {
            // Who asked may be gone.
            let _ = told.send(answer);
        }
    }

    /// A message to one of the requests.
    fn answered(&self, message: Message) {
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
        let sender = number.and_then(|number: u64| locked(&self.requests).get(&number).cloned());
        if let Some(sender) = sender {
            sender.push(message);
        }
    }

    fn status(&self, reply: String, status: u64) {
        let message = Message::new(reply, Bytes::new()).with_header(STATUS, status.to_string());
        if message.subject.strip_prefix(&self.inbox).is_some_and(|rest| rest.starts_with(".r.")) {
            self.answered(message);
            return;
        }
        let known: Vec<Known> =
            self.subscriptions.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for known in known.iter().filter(|known| subject::matches(&known.pattern, &message.subject)) {
            known.sender.push(message.clone());
        }
    }

    fn end(&self, why: Problem) {
        locked(&self.over).get_or_insert(why);
        let subscriptions =
            std::mem::take(&mut *self.subscriptions.write().unwrap_or_else(PoisonError::into_inner));
        let requests = std::mem::take(&mut *locked(&self.requests));
        let answers = std::mem::take(&mut *locked(&self.answers));
        // Outside the locks: who is told of the end may come back at once.
        drop((subscriptions, requests, answers));
    }

    /// Sends a request; answers come to the subscription.
    fn ask(self: &Arc<Self>, mut message: Message, queue_len_max: usize) -> Result<Subscription> {
        let number = self.number();
        let guard = Asked { inner: Arc::downgrade(self), number };
        let (sender, answers) = Subscription::channel(queue_len_max, guard);
        locked(&self.requests).insert(number, Arc::new(sender));
        message.reply = Some(format!("{}.r.{number}", self.inbox));
        self.send(true, message)?;
        Ok(answers)
    }
}

/// Forgets a request.
struct Asked {
    inner: Weak<Inner>,
    number: u64,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade() {
            let gone = locked(&inner.requests).remove(&self.number);
            drop(gone);
        }
    }
}

/// Ends a subscription at the host when it is dropped here.
struct Leave {
    inner: Weak<Inner>,
    sid: u64,
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade() {
            let gone = inner.subscriptions.write().unwrap_or_else(PoisonError::into_inner).remove(&self.sid);
            drop(gone);
            let _ = inner.post(Frame::Unsubscribe { sid: self.sid });
        }
    }
}

fn refused(subject: String, status: &str) -> LatticeError {
    match status {
        "503" => LatticeError::NoResponders { subject },
        "429" => LatticeError::Busy { subject },
        _ => {
            let message = format!("the host did not pass a request to `{subject}` on");
            Problem::new(wire::SUBJECT_DENIED, message).into()
        }
    }
}

#[async_trait]
impl Lattice for Unix {
    fn name(&self) -> &LatticeName {
        &self.inner.name
    }

    fn inbox(&self) -> String {
        format!("{}.{}", self.inner.inbox, self.inner.number())
    }

    fn payload_bytes_max(&self) -> usize {
        self.inner.payload_bytes_max
    }

    async fn publish(&self, message: Message) -> Result<()> {
        self.inner.send(false, message)
    }

    async fn publish_request(&self, message: Message) -> Result<()> {
        self.inner.send(true, message)
    }

    async fn subscribe_with(&self, pattern: &str, options: SubscribeOptions) -> Result<Subscription> {
        subject::check_pattern(pattern)?;
        self.inner.check_open()?;
        let sid = self.inner.number();
        let leave = Leave { inner: Arc::downgrade(&self.inner), sid };
        let (sender, subscription) = Subscription::channel(options.queue_len_max, leave);
        let known = Known { pattern: pattern.into(), sender: Arc::new(sender) };
        self.inner.subscriptions.write().unwrap_or_else(PoisonError::into_inner).insert(sid, known);
        let frame = Frame::Subscribe {
            sid,
            pattern: pattern.to_string(),
            group: options.group,
            is_observer: options.observer,
        };
        self.inner.subscribed(sid, frame).await?;
        Ok(subscription)
    }

    async fn request_message(&self, message: Message, timeout: Duration) -> Result<Message> {
        let subject = message.subject.clone();
        let mut answers = self.inner.ask(message, 1)?;
        match tokio::time::timeout(timeout, answers.next()).await {
            Ok(Some(answer)) => match answer.headers.get(STATUS) {
                Some(status) if answer.payload.is_empty() => Err(refused(subject, status)),
                _ => Ok(answer),
            },
            Ok(None) => Err(LatticeError::Closed),
            Err(_) => Err(LatticeError::Timeout { subject, after: timeout }),
        }
    }

    async fn request_all(&self, subject: &str, payload: Bytes, wait: Duration) -> Result<Vec<Message>> {
        let mut answers =
            self.inner.ask(Message::new(subject, payload), crate::lattice::QUEUE_LEN_MAX_DEFAULT)?;
        let mut all = Vec::new();
        let collect = async {
            while let Some(answer) = answers.next().await {
                if answer.headers.get(STATUS).is_some() && answer.payload.is_empty() {
                    break;
                }
                all.push(answer);
            }
        };
        // The deadline is the normal end: how many will answer is not known here.
        let _ = tokio::time::timeout(wait, collect).await;
        Ok(all)
    }

    async fn bucket(&self, name: &str) -> Result<Arc<dyn Bucket>> {
        self.inner.check_open()?;
        let message = format!("the bucket `{name}` is not offered to a provider process");
        Err(Problem::new(wire::NO_BUCKETS, message).into())
    }

    async fn close(&self) {
        let _ = tokio::time::timeout(ANSWER_MAX, self.inner.outbox.flush()).await;
        self.inner.end(gone());
        self.inner.outbox.close();
    }
}
