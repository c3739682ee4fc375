//! The embedded lattice: messages inside one process, state in one file.
//!
//! `table` finds subscribers · `state` holds the buckets: in memory for reading, in a file for keeping.

mod state;
mod table;

use crate::bucket::{self, Bucket, Entry, Watch};
use crate::lattice::{Lattice, SubscribeOptions, check_payload};
use crate::{LatticeError, Message, Result, Subscription, subject};
use async_trait::async_trait;
use bytes::Bytes;
use state::{State, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use table::{Delivered, Subscriber, Table, deliver};
use umbel_core::id::LatticeName;

pub use state::STATE_BYTES_MAX;

/// The lattice of one process. Clones are the same lattice; the last one that is dropped closes the state file.
#[derive(Debug, Clone)]
pub struct InProcess {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: LatticeName,
    // Shared with subscriptions, which must be able to leave without keeping the state file open.
    table: Arc<RwLock<Table>>,
    counter: AtomicU64,
    state: State,
}

/// Takes a subscription out of the table when it is dropped.
struct Leave {
    table: Arc<RwLock<Table>>,
    pattern: String,
    id: u64,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).remove(&self.pattern, self.id);
    }
}

impl InProcess {
    /// Opens the lattice whose state is in the file, which is made if there is none; its folder must exist.
    ///
    /// Everything in the file is verified before it is used. A file that is locked, damaged, foreign, of another version or not
    /// writable is a [`LatticeError::State`], and is left as it is.
    pub async fn open(path: impl Into<PathBuf>, name: LatticeName) -> Result<InProcess> {
        Ok(InProcess::with_state(name, State::open(path.into()).await?))
    }

    /// A lattice that keeps nothing on disk, for tests and simulations.
    pub fn ephemeral(name: LatticeName) -> InProcess {
        InProcess::with_state(name, State::ephemeral())
    }

    fn with_state(name: LatticeName, state: State) -> InProcess {
        InProcess {
            inner: Arc::new(Inner { name, table: Arc::default(), counter: AtomicU64::new(1), state }),
        }
    }

    fn number(&self) -> u64 {
        self.inner.counter.fetch_add(1, Ordering::Relaxed)
    }

    fn check_open(&self) -> Result<()> {
        if self.inner.state.is_closed() { Err(LatticeError::Closed) } else { Ok(()) }
    }

    fn join(&self, pattern: &str, options: SubscribeOptions) -> Subscription {
        let id = self.number();
        let guard = Leave { table: self.inner.table.clone(), pattern: pattern.to_string(), id };
        let (sender, subscription) = Subscription::channel(options.queue_len_max, guard);
        let subscriber = Subscriber { id, sender, group: options.group, observer: options.observer };
        self.inner
            .table
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(pattern, Arc::new(subscriber));
        subscription
    }

    fn send(&self, message: Message) -> Result<Delivered> {
        subject::check(&message.subject)?;
        check_payload(&message.payload)?;
        self.check_open()?;
        // The lock is released before anybody is woken: a subscriber may publish or leave at once.
        let found =
            self.inner.table.read().unwrap_or_else(PoisonError::into_inner).matching(&message.subject);
        Ok(deliver(&found, message, self.number()))
    }

    /// Sends a request; the subscription is where answers come, unless nobody can answer.
    fn ask(&self, mut message: Message, queue_len_max: usize) -> Result<(Subscription, Delivered)> {
        let inbox = self.inbox();
        let options = SubscribeOptions { queue_len_max, ..SubscribeOptions::default() };
        let answers = self.join(&inbox, options);
        message.reply = Some(inbox);
        let delivered = self.send(message)?;
        Ok((answers, delivered))
    }
}

#[async_trait]
impl Lattice for InProcess {
    fn name(&self) -> &LatticeName {
        &self.inner.name
    }

    fn inbox(&self) -> String {
        format!("_INBOX.{}.{}", self.inner.name, self.number())
    }

    async fn publish(&self, message: Message) -> Result<()> {
        self.send(message).map(|_| ())
    }

    async fn publish_request(&self, message: Message) -> Result<()> {
        let subject = message.subject.clone();
        answerable(subject, self.send(message)?)
    }

    async fn subscribe_with(&self, pattern: &str, options: SubscribeOptions) -> Result<Subscription> {
        subject::check_pattern(pattern)?;
        self.check_open()?;
        let subscription = self.join(pattern, options);
        // Closing may have cleared the table just before; then nobody would ever end this subscription.
        self.check_open()?;
        Ok(subscription)
    }

    async fn request_message(&self, message: Message, timeout: Duration) -> Result<Message> {
        let subject = message.subject.clone();
        let (mut answers, delivered) = self.ask(message, 1)?;
        answerable(subject.clone(), delivered)?;
        match tokio::time::timeout(timeout, answers.next()).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(LatticeError::Closed),
            Err(_) => Err(LatticeError::Timeout { subject, after: timeout }),
        }
    }

    async fn request_all(&self, subject: &str, payload: Bytes, wait: Duration) -> Result<Vec<Message>> {
        let message = Message::new(subject, payload);
        let (mut answers, delivered) = self.ask(message, crate::lattice::QUEUE_LEN_MAX_DEFAULT)?;
        let mut all = Vec::new();
        let collect = async {
            while all.len() < delivered.queued {
                let Some(answer) = answers.next().await else { break };
                all.push(answer);
            }
        };
        // The deadline is the normal end when one of them does not answer.
        let _ = tokio::time::timeout(wait, collect).await;
        Ok(all)
    }

    async fn bucket(&self, name: &str) -> Result<Arc<dyn Bucket>> {
        bucket::check_bucket_name(name)?;
        self.check_open()?;
        Ok(Arc::new(StateBucket { name: name.to_string(), inner: self.inner.clone() }))
    }

    async fn close(&self) {
        self.inner.state.close().await;
        // Dropped outside the lock: whoever is told of the end may publish or leave at once.
        drop(std::mem::take(&mut *self.inner.table.write().unwrap_or_else(PoisonError::into_inner)));
    }
}

fn answerable(subject: String, delivered: Delivered) -> Result<()> {
    match delivered {
        Delivered { responders: 0, .. } => Err(LatticeError::NoResponders { subject }),
        Delivered { queued: 0, .. } => Err(LatticeError::Busy { subject }),
        _ => Ok(()),
    }
}

/// A bucket of the state file.
struct StateBucket {
    name: String,
    inner: Arc<Inner>,
}

impl StateBucket {
    async fn write(&self, key: &str, write: Write) -> Result<u64> {
        bucket::check_key(key)?;
        self.inner.state.write(&self.name, key, write).await
    }
}

#[async_trait]
impl Bucket for StateBucket {
    fn name(&self) -> &str {
        &self.name
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        bucket::check_key(key)?;
        self.inner.state.get(&self.name, key)
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<u64> {
        bucket::check_value(&value)?;
        self.write(key, Write::Put(value)).await
    }

    async fn create(&self, key: &str, value: Bytes) -> Result<u64> {
        bucket::check_value(&value)?;
        self.write(key, Write::Create(value)).await
    }

    async fn update(&self, key: &str, value: Bytes, expected: u64) -> Result<u64> {
        bucket::check_value(&value)?;
        self.write(key, Write::Update(value, expected)).await
    }

    async fn delete(&self, key: &str, expected: Option<u64>) -> Result<()> {
        self.write(key, Write::Delete(expected)).await.map(|_| ())
    }

    async fn entries(&self, prefix: &str) -> Result<Vec<Entry>> {
        self.inner.state.entries(&self.name, prefix)
    }

    async fn watch(&self, prefix: &str) -> Result<Watch> {
        self.inner.state.watch(&self.name, prefix, None)
    }

    async fn watch_from(&self, prefix: &str, after: u64) -> Result<Watch> {
        self.inner.state.watch(&self.name, prefix, Some(after))
    }
}

#[cfg(test)]
mod tests;
