//! The way of one node to the hub that all share: what a nats-server is to hosts. It loses messages, delays them, and is cut in either direction;
//! a cut is noticed after a while, as a connection that answers no pings is, and then everything fails at once until it is there again.

use async_trait::async_trait;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use umbel_core::id::LatticeName;
use umbel_lattice::subscription::Sender;
use umbel_lattice::{
    Bucket, Entry, InProcess, Lattice, LatticeError, Message, Result, SubscribeOptions, Subscription, Watch,
};
use umbel_supervisor::Spawner;

/// How long JetStream is waited for.
const STATE_MAX: Duration = Duration::from_secs(5);

/// How the way is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Way {
    /// Of the messages to the hub, this share is lost.
    pub(super) up: f64,
    /// Of those from it.
    pub(super) down: f64,
    /// Each takes up to so long, in each direction.
    pub(super) delay_ms_max: u64,
    /// The connection is known to be lost.
    pub(super) is_lost: bool,
}

impl Way {
    pub(super) fn is_cut(&self) -> bool {
        self.up >= 1.0 || self.down >= 1.0
    }
}

/// A node's end: how its way is, and its luck.
pub(super) struct Node {
    pub(super) way: watch::Sender<Way>,
    dice: Mutex<StdRng>,
}

impl Node {
    pub(super) fn new(seed: u64) -> Arc<Node> {
        Arc::new(Node {
            way: watch::Sender::new(Way::default()),
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
        })
    }

    fn is_lost(&self) -> bool {
        self.way.borrow().is_lost
    }

    fn way(&self) -> Way {
        *self.way.borrow()
    }

    /// Whether something of which the share is lost comes through, and after what time.
    fn throws(&self, share: f64) -> Option<Duration> {
        let delay_ms_max = self.way().delay_ms_max;
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        if dice.random_bool(share) {
            return None;
        }
        Some(Duration::from_millis(if delay_ms_max == 0 { 0 } else { dice.random_range(0..delay_ms_max) }))
    }

    fn up(&self) -> Option<Duration> {
        self.throws(self.way().up)
    }

    fn down(&self) -> Option<Duration> {
        self.throws(self.way().down)
    }

    /// Ends when the connection is known to be lost.
    async fn lost(&self) {
        // The sender lives as long as the node.
        let _ = self.way.subscribe().wait_for(|way| way.is_lost).await;
    }
}

fn disconnected(what: &str) -> LatticeError {
    LatticeError::Disconnected { what: what.to_owned() }
}

/// The lattice as a node has it.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) hub: InProcess,
    pub(super) node: Arc<Node>,
    /// What it starts ends with the node.
    pub(super) spawner: Spawner,
}

impl Wire {
    fn check(&self, what: &str) -> Result<()> {
        if self.node.is_lost() { Err(disconnected(what)) } else { Ok(()) }
    }

    /// Waits for the way up; `false` is a message that is lost.
    async fn rise(&self) -> bool {
        let Some(delay) = self.node.up() else { return false };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        true
    }

    async fn answer(&self, inbox: &mut Subscription) -> Option<Message> {
        loop {
            let message = inbox.next().await?;
            if let Some(delay) = self.node.down() {
                tokio::time::sleep(delay).await;
                return Some(message);
            }
        }
    }
}

#[async_trait]
impl Lattice for Wire {
    fn name(&self) -> &LatticeName {
        self.hub.name()
    }

    fn inbox(&self) -> String {
        self.hub.inbox()
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn publish(&self, message: Message) -> Result<()> {
        self.check(&message.subject)?;
        if self.rise().await { self.hub.publish(message).await } else { Ok(()) }
    }

    async fn subscribe_with(&self, pattern: &str, options: SubscribeOptions) -> Result<Subscription> {
        self.check(pattern)?;
        let first = self.hub.subscribe_with(pattern, options.clone()).await?;
        let (stays, left) = oneshot::channel::<()>();
        let (sender, subscription) = Subscription::channel(options.queue_len_max, stays);
        let pump =
            Pump { hub: self.hub.clone(), node: self.node.clone(), pattern: pattern.to_owned(), options };
        self.spawner.spawn(pump.run(first, sender, left));
        Ok(subscription)
    }

    async fn request_message(&self, mut message: Message, timeout: Duration) -> Result<Message> {
        self.check(&message.subject)?;
        let subject = message.subject.clone();
        let late = || LatticeError::Timeout { subject: subject.clone(), after: timeout };
        let inbox = self.hub.inbox();
        let mut answers = self.hub.subscribe(&inbox).await?;
        message.reply = Some(inbox);
        let asking = async {
            if self.rise().await {
                self.hub.publish_request(message).await?;
            }
            self.answer(&mut answers).await.ok_or(LatticeError::Closed)
        };
        tokio::select! {
            answer = asking => answer,
            () = tokio::time::sleep(timeout) => Err(late()),
            () = self.node.lost() => Err(disconnected(&subject)),
        }
    }

    async fn request_all(&self, subject: &str, payload: Bytes, wait: Duration) -> Result<Vec<Message>> {
        self.check(subject)?;
        let inbox = self.hub.inbox();
        let mut answers = self.hub.subscribe(&inbox).await?;
        if self.rise().await {
            self.hub.publish(Message::new(subject, payload).with_reply(inbox)).await?;
        }
        let mut all = Vec::new();
        let collect = async {
            while let Some(message) = answers.next().await {
                all.extend(self.node.down().map(|_| message));
            }
        };
        let _ = tokio::time::timeout(wait, collect).await;
        Ok(all)
    }

    async fn bucket(&self, name: &str) -> Result<Arc<dyn Bucket>> {
        Ok(Arc::new(WireBucket { wire: self.clone(), bucket: self.hub.bucket(name).await? }))
    }

    async fn close(&self) {}
}

/// Hands on what comes for one subscription.
struct Pump {
    hub: InProcess,
    node: Arc<Node>,
    pattern: String,
    options: SubscribeOptions,
}

impl Pump {
    async fn run(self, first: Subscription, sender: Sender, mut left: oneshot::Receiver<()>) {
        let mut way = self.node.way.subscribe();
        let mut inner = Some(first);
        // What is under way, in the order in which it was sent.
        let mut coming: VecDeque<(Instant, Message)> = VecDeque::new();
        loop {
            let due = coming.front().map(|(at, _)| *at);
            tokio::select! {
                biased;
                _ = &mut left => return,
                changed = way.changed() => {
                    let is_lost = way.borrow_and_update().is_lost;
                    if changed.is_err() {
                        return;
                    }
                    if is_lost {
                        coming.clear();
                        inner = None;
                    } else if inner.is_none() {
                        inner = self.hub.subscribe_with(&self.pattern, self.options.clone()).await.ok();
                    }
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if let Some((_, message)) = coming.pop_front() {
                        sender.push(message);
                    }
                }
                message = next(&mut inner) => {
                    let Some(message) = message else { return };
                    if let Some(delay) = self.node.down() {
                        let last = coming.back().map_or_else(Instant::now, |(at, _)| *at);
                        coming.push_back((last.max(Instant::now() + delay), message));
                    }
                }
            }
        }
    }
}

async fn next(subscription: &mut Option<Subscription>) -> Option<Message> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

/// State behind the wire. What was written is written, also if nobody hears of it.
struct WireBucket {
    wire: Wire,
    bucket: Arc<dyn Bucket>,
}

impl WireBucket {
    async fn over<T>(&self, doing: impl Future<Output = Result<T>>) -> Result<T> {
        self.wire.check(self.bucket.name())?;
        let going = async {
            if self.wire.rise().await {
                let done = doing.await;
                if let Some(delay) = self.wire.node.down() {
                    tokio::time::sleep(delay).await;
                    return done;
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            done = going => done,
            () = tokio::time::sleep(STATE_MAX) => {
                Err(LatticeError::Timeout { subject: self.bucket.name().to_owned(), after: STATE_MAX })
            }
            () = self.wire.node.lost() => Err(disconnected(self.bucket.name())),
        }
    }
}

#[async_trait]
impl Bucket for WireBucket {
    fn name(&self) -> &str {
        self.bucket.name()
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.over(self.bucket.get(key)).await
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<u64> {
        self.over(self.bucket.put(key, value)).await
    }

    async fn create(&self, key: &str, value: Bytes) -> Result<u64> {
        self.over(self.bucket.create(key, value)).await
    }

    async fn update(&self, key: &str, value: Bytes, expected: u64) -> Result<u64> {
        self.over(self.bucket.update(key, value, expected)).await
    }

    async fn delete(&self, key: &str, expected: Option<u64>) -> Result<()> {
        self.over(self.bucket.delete(key, expected)).await
    }

    async fn entries(&self, prefix: &str) -> Result<Vec<Entry>> {
        self.over(self.bucket.entries(prefix)).await
    }

    async fn watch(&self, prefix: &str) -> Result<Watch> {
        self.over(self.bucket.watch(prefix)).await
    }

    async fn watch_from(&self, prefix: &str, after: u64) -> Result<Watch> {
        self.over(self.bucket.watch_from(prefix, after)).await
    }
}
