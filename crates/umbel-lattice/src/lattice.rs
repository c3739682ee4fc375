//! The lattice as everybody sees it: publish, subscribe, request, buckets.

use crate::bucket::Bucket;
use crate::{LatticeError, Message, Result, Subscription};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::id::LatticeName;
use zeroize::Zeroizing;

/// How many messages a subscription queues unless said otherwise.
pub const QUEUE_LEN_MAX_DEFAULT: usize = 4_096;

/// How to subscribe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// The queue group: each message goes to one member of it.
    pub group: Option<String>,
    /// An observer only listens. It never makes a request wait, as a subscriber that may answer does
    /// (`facts/wasmcloud.md` finding 7).
    pub observer: bool,
    /// How many messages may wait in the queue before new ones are dropped and counted.
    pub queue_len_max: usize,
}

impl Default for SubscribeOptions {
    fn default() -> SubscribeOptions {
        SubscribeOptions { group: None, observer: false, queue_len_max: QUEUE_LEN_MAX_DEFAULT }
    }
}

/// The flat network of hosts that share a name, and the durable state that they share.
///
/// All methods may be called from any task at any time and never block a thread of the runtime. Messages are at most once;
/// key-value writes are durable before they are answered.
#[async_trait]
pub trait Lattice: Send + Sync + 'static {
    /// The lattice's name, a part of most subjects.
    fn name(&self) -> &LatticeName;

    /// A new subject to receive answers on; nobody else has it.
    fn inbox(&self) -> String;

    /// Hands the message to whoever subscribes to its subject now. It is no error if nobody does.
    ///
    /// Messages of one publisher to one subscription keep their order.
    async fn publish(&self, message: Message) -> Result<()>;

    /// Hands the message to whoever may answer it on its reply subject, and does not wait for answers.
    ///
    /// Errors as [`Lattice::request_message`], at once where that can be told; an implementation that learns only later that nobody
    /// answers sends an empty message with the header `Status: 503` to the reply subject (`429` where all queues are full), as NATS does.
    async fn publish_request(&self, message: Message) -> Result<()> {
        self.publish(message).await
    }

    /// Whether other hosts may be on it. Where none can be, nobody need be asked whether they are there, and
    /// [`Lattice::request_all`] returns as soon as all have answered.
    fn is_shared(&self) -> bool {
        false
    }

    /// Where it is carried, for people and for tools: `nats://127.0.0.1:4222`, or `in-process`.
    fn address(&self) -> String {
        "in-process".into()
    }

    /// What a provider process of wasmCloud 1.x connects with, if something is needed.
    fn login(&self) -> Option<Login> {
        None
    }

    /// The JetStream domain that has its state, if one was chosen.
    fn js_domain(&self) -> Option<String> {
        None
    }

    /// Longest payload of a message here, in bytes.
    fn payload_bytes_max(&self) -> usize {
        PAYLOAD_BYTES_MAX
    }

    /// Subscribes to a subject, or to a pattern: `*` is any one token, a final `>` is one or more. When this returns, the
    /// subscription is in force.
    async fn subscribe_with(&self, subject: &str, options: SubscribeOptions) -> Result<Subscription>;

    /// Sends the message with a reply subject of its own and returns the first answer. `message.reply` is ignored.
    ///
    /// Errors: [`LatticeError::NoResponders`] at once if nobody but observers subscribes, [`LatticeError::Busy`] if all queues of
    /// those who could answer are full, [`LatticeError::Timeout`].
    async fn request_message(&self, message: Message, timeout: Duration) -> Result<Message>;

    /// Sends a request that many may answer and returns the answers that came within `wait`, sooner if no more can come.
    /// Nobody there is an empty answer.
    async fn request_all(&self, subject: &str, payload: Bytes, wait: Duration) -> Result<Vec<Message>>;

    /// Opens the bucket, which exists from its first entry on. Cheap; the result may be kept.
    async fn bucket(&self, name: &str) -> Result<Arc<dyn Bucket>>;

    /// Makes every pending write durable and ends: later calls fail with [`LatticeError::Closed`], subscriptions and watches end.
    async fn close(&self);

    /// Subscribes to a subject or pattern.
    async fn subscribe(&self, subject: &str) -> Result<Subscription> {
        self.subscribe_with(subject, SubscribeOptions::default()).await
    }

    /// Subscribes as a member of a queue group: each message goes to one member.
    async fn queue_subscribe(&self, subject: &str, group: &str) -> Result<Subscription> {
        let options = SubscribeOptions { group: Some(group.to_string()), ..SubscribeOptions::default() };
        self.subscribe_with(subject, options).await
    }

    /// Subscribes as an observer: one that listens and never answers.
    async fn observe(&self, subject: &str) -> Result<Subscription> {
        self.subscribe_with(subject, SubscribeOptions { observer: true, ..SubscribeOptions::default() }).await
    }

    /// Sends a request and returns the first answer; see [`Lattice::request_message`].
    async fn request(&self, subject: &str, payload: Bytes, timeout: Duration) -> Result<Message> {
        self.request_message(Message::new(subject, payload), timeout).await
    }

    /// Answers a request. A message that asked for no answer gets none.
    async fn respond(&self, request: &Message, payload: Bytes) -> Result<()> {
        match &request.reply {
            Some(reply) => self.publish(Message::new(reply.clone(), payload)).await,
            None => Ok(()),
        }
    }
}

/// Credentials of a NATS user.
#[derive(Clone)]
pub struct Login {
    /// Its JWT; empty where a seed is enough.
    pub jwt: String,
    /// Its seed, `SU…`.
    pub seed: Zeroizing<String>,
}

/// The header with which an implementation says that a request has no answer: `503` nobody is there, `429` all queues are full.
pub const STATUS: &str = "Status";

/// Starts a task that nobody waits for; whoever gives it decides what it ends with. Mechanisms start nothing themselves.
pub type Spawn = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

impl std::fmt::Debug for dyn Lattice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lattice({})", self.name())
    }
}

/// Longest payload of a message, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// Refuses a payload that is too long.
pub(crate) fn check_payload(payload: &Bytes) -> Result<()> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(LatticeError::TooLarge {
            what: "a message",
            bytes: payload.len(),
            bytes_max: PAYLOAD_BYTES_MAX,
        });
    }
    Ok(())
}
