//! A space of subjects: who subscribes in it, what is published, who waits for a reply.

use super::config::Limits;
use super::error::MessagingError;
use super::held::Meter;
use super::message::{Content, Message};
use super::queue::Queue;
use super::router::Router;
use super::stats::SpaceStats;
use super::subject::{self, INBOX_PREFIX};
use super::subscription::{Sink, Subscription};
use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// The most subscriptions of one space.
const SUBSCRIPTIONS_MAX: usize = 10_000;
/// The most requests of one space that wait for a reply.
const REQUESTS_MAX: usize = 10_000;
/// The most replies that one request waits for.
pub(crate) const REPLIES_MAX: usize = 1_024;

/// Who shares subjects. What is published in one space is never seen in another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SpaceId {
    /// The components of one application.
    Application(String),
    /// The components that belong to no application.
    Loose,
    /// All whose links name this space.
    Shared(String),
}

/// What carries the messages of a space beyond this host. Everything is carried out in the order in which it was asked for.
pub(crate) trait Remote: Send + Sync {
    /// Sends a message, or takes it in to be sent.
    fn publish(&self, message: Message) -> Result<(), MessagingError>;
    /// Sends a request, and waits for replies.
    fn request(&self, message: Message, wait: Wait) -> BoxFuture<'_, Result<Vec<Message>, MessagingError>>;
    /// From now on the subscription is offered what others send.
    fn subscribe(&self, subscription: &Arc<Subscription>) -> Result<(), MessagingError>;
    /// It is closed as soon as it has what was sent until now.
    fn unsubscribe(&self, subscription: &Arc<Subscription>);
}

/// A space of subjects.
pub struct Space {
    id: SpaceId,
    /// Without it all of the space is in this host.
    remote: Option<Box<dyn Remote>>,
    router: ArcSwap<Router<Subscription>>,
    /// Held while the router is replaced.
    changing: Mutex<()>,
    inboxes: Mutex<HashMap<Arc<str>, mpsc::Sender<Message>>>,
    /// Makes the names of inboxes, which must not be guessed.
    names: (RandomState, RandomState),
    next: AtomicU64,
    meters: Mutex<HashMap<String, Arc<Meter>>>,
    published: AtomicU64,
    turn: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Space {
    pub(crate) fn new(id: SpaceId) -> Space {
        Space {
            id,
            remote: None,
            router: ArcSwap::default(),
            changing: Mutex::default(),
            inboxes: Mutex::default(),
            names: (RandomState::new(), RandomState::new()),
            next: AtomicU64::new(0),
            meters: Mutex::default(),
            published: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
        }
    }

    /// A space that is not in this host alone.
    #[cfg(feature = "messaging_nats")]
    pub(crate) fn beyond(id: SpaceId, remote: impl Remote + 'static) -> Space {
        Space { remote: Some(Box::new(remote)), ..Space::new(id) }
    }

    /// Which one it is.
    pub fn id(&self) -> &SpaceId {
        &self.id
    }

    /// Sends a message to all who subscribe to its subject, one of each queue group. Returns how many have it now; that nobody
    /// subscribes is no error.
    ///
    /// # Errors
    /// The subject or the size is wrong, or all who subscribe have full queues.
    pub fn publish(&self, message: Message, bytes_max: usize) -> Result<usize, MessagingError> {
        message.check(bytes_max)?;
        self.published.fetch_add(1, Relaxed);
        if let Some(remote) = &self.remote {
            return remote.publish(message).map(|()| 1);
        }
        if message.subject.starts_with(INBOX_PREFIX) {
            // A reply that nobody waits for any more goes nowhere, as does one too many.
            let inbox = lock(&self.inboxes).get(&message.subject).cloned();
            return Ok(inbox.map_or(0, |inbox| usize::from(inbox.try_send(message).is_ok())));
        }
        let (mut plain, mut grouped) = (Vec::new(), Vec::new());
        self.router.load().each(&message.subject, |found| {
            if found.group.is_some() { grouped.push(found.clone()) } else { plain.push(found.clone()) }
        });
        let mut subscribers = plain.len();
        let mut reached = 0;
        for subscription in &plain {
            if subscription.offer(message.clone()) {
                reached += 1;
            } else {
                subscription.missed(1);
            }
        }
        for group in self.by_group(&mut grouped) {
            subscribers += 1;
            if group.iter().any(|member| member.offer(message.clone())) {
                reached += 1;
            } else {
                group[0].missed(1);
            }
        }
        if subscribers > 0 && reached == 0 {
            return Err(MessagingError::QueuesFull { subject: message.subject.to_string(), subscribers });
        }
        Ok(reached)
    }

    /// The members of each group, those with the least to do first; who is equal takes turns.
    fn by_group<'a>(
        &self,
        members: &'a mut [Arc<Subscription>],
    ) -> impl Iterator<Item = &'a [Arc<Subscription>]> {
        if members.len() > 1 {
            let turn = self.turn.fetch_add(1, Relaxed) % members.len();
            members.rotate_left(turn);
            // Stable, so that the rotation decides between equals.
            members.sort_by_cached_key(|member| (member.group.clone(), member.queue().load()));
        }
        members.chunk_by(|one, other| one.group == other.group)
    }

    /// Sends a request, and waits for as many replies until the deadline. What has come at the deadline is the answer, unless
    /// that is nothing.
    ///
    /// # Errors
    /// As [`Space::publish`]; also when nobody subscribes, and when nobody replies in time.
    pub async fn request(
        &self,
        subject: &str,
        content: Arc<Content>,
        bytes_max: usize,
        wait: Wait,
    ) -> Result<Vec<Message>, MessagingError> {
        let replies_max = wait.replies.min(REPLIES_MAX);
        if let Some(remote) = &self.remote {
            let message = Message { subject: subject.into(), reply_to: None, content };
            message.check(bytes_max)?;
            self.published.fetch_add(1, Relaxed);
            return remote.request(message, Wait { replies: replies_max, ..wait }).await;
        }
        let mut inbox = Inbox::open(self, replies_max.max(1))?;
        let message = Message { subject: subject.into(), reply_to: Some(inbox.subject.clone()), content };
        let end = tokio::time::Instant::now() + wait.timeout;
        if self.publish(message, bytes_max)? == 0 {
            return Err(MessagingError::NoSubscriber { subject: subject.into() });
        }
        let mut replies = Vec::new();
        while replies.len() < replies_max {
            match tokio::time::timeout_at(end, inbox.replies.recv()).await {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(_) if replies.is_empty() => {
                    return Err(MessagingError::NoReply { subject: subject.into(), after: wait.timeout });
                }
                Err(_) => break,
            }
        }
        Ok(replies)
    }

    /// Subscribes within the host. What is not taken in time and does not fit the limits is dropped and counted.
    ///
    /// # Errors
    /// The pattern is wrong, or there are too many subscriptions.
    pub fn subscribe(
        self: &Arc<Self>,
        pattern: &str,
        group: Option<&str>,
        limits: Limits,
    ) -> Result<Subscriber, MessagingError> {
        subject::check_pattern(pattern)?;
        group.map_or(Ok(()), subject::check_group)?;
        let queue = Queue::new(limits.queue_messages_max, limits.queue_bytes_max, 0);
        let arrived = Arc::new(Notify::new());
        let subscription = Subscription::new(pattern, group, queue, Sink::Here(arrived.clone()));
        self.change(&[], std::slice::from_ref(&subscription))?;
        Ok(Subscriber { space: self.clone(), subscription, arrived })
    }

    /// Takes some subscriptions away and adds others, for publishers at one moment. What was taken away still hands out what it has.
    pub(crate) fn change(
        &self,
        gone: &[Arc<Subscription>],
        new: &[Arc<Subscription>],
    ) -> Result<(), MessagingError> {
        let _changing = lock(&self.changing);
        let mut router = Router::clone(&self.router.load());
        if router.len() - gone.len().min(router.len()) + new.len() > SUBSCRIPTIONS_MAX {
            return Err(MessagingError::Limit { what: "subscriptions", max: SUBSCRIPTIONS_MAX });
        }
        if let Some(remote) = &self.remote {
            new.iter().try_for_each(|subscription| remote.subscribe(subscription))?;
            gone.iter().for_each(|subscription| remote.unsubscribe(subscription));
        }
        gone.iter().for_each(|subscription| router.remove(&subscription.pattern, subscription));
        new.iter().for_each(|subscription| router.insert(&subscription.pattern, subscription.clone()));
        self.router.store(Arc::new(router));
        if self.remote.is_none() {
            gone.iter().for_each(|subscription| subscription.close());
        }
        Ok(())
    }

    /// The meter of a component. It is forgotten when nothing of the component holds it.
    pub(crate) fn meter(&self, component: &str) -> Arc<Meter> {
        let mut meters = lock(&self.meters);
        if let Some(meter) = meters.get(component) {
            return meter.clone();
        }
        meters.retain(|_, meter| Arc::strong_count(meter) > 1);
        meters.entry(component.into()).or_default().clone()
    }

    /// What happened here.
    pub fn stats(&self) -> SpaceStats {
        let mut subscriptions = Vec::new();
        self.router.load().all(&mut |subscription| subscriptions.push(subscription.stats()));
        SpaceStats {
            space: self.id.clone(),
            published: self.published.load(Relaxed),
            requests: lock(&self.inboxes).len(),
            subscriptions,
        }
    }
}

/// How long a request waits, and for how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The longest time.
    pub timeout: Duration,
    /// It ends earlier with this many replies; 1,024 at most.
    pub replies: usize,
}

/// Where the replies to one request go. It is gone with the request.
struct Inbox<'a> {
    space: &'a Space,
    subject: Arc<str>,
    replies: mpsc::Receiver<Message>,
}

impl<'a> Inbox<'a> {
    fn open(space: &'a Space, replies: usize) -> Result<Inbox<'a>, MessagingError> {
        let number = space.next.fetch_add(1, Relaxed);
        let (one, two) = (space.names.0.hash_one(number), space.names.1.hash_one(number));
        let subject: Arc<str> = format!("{INBOX_PREFIX}{one:016x}{two:016x}").into();
        let (sender, replies) = mpsc::channel(replies);
        let mut inboxes = lock(&space.inboxes);
        if inboxes.len() >= REQUESTS_MAX {
            return Err(MessagingError::Limit { what: "requests that wait for a reply", max: REQUESTS_MAX });
        }
        inboxes.insert(subject.clone(), sender);
        Ok(Inbox { space, subject, replies })
    }
}

impl Drop for Inbox<'_> {
    fn drop(&mut self) {
        lock(&self.space.inboxes).remove(&self.subject);
    }
}

/// A subscription of the host itself. Dropping it ends it.
pub struct Subscriber {
    space: Arc<Space>,
    subscription: Arc<Subscription>,
    arrived: Arc<Notify>,
}

impl Subscriber {
    /// The next message. Cancel-safe.
    pub async fn next(&mut self) -> Message {
        loop {
            let message = self.subscription.queue().pop();
            if let Some(message) = message {
                self.subscription.tally.delivered.fetch_add(1, Relaxed);
                return message;
            }
            // `notify_one` leaves a permit, so that what comes in between is not slept through.
            self.arrived.notified().await;
        }
    }

    /// How many messages did not fit.
    pub fn missed(&self) -> u64 {
        self.subscription.tally.missed.load(Relaxed)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // Taking away never fails.
        let _ = self.space.change(std::slice::from_ref(&self.subscription), &[]);
        self.subscription.queue().clear();
    }
}
