//! A watch: what a bucket holds, and every change of it, in the order of revisions, for as long as somebody looks.
//!
//! ```text
//!   open ─▶ reading ──message──▶ event
//!            │  ▲ └─nothing for a while─▶ asked what it has sent ──the same──┐
//!            │  └────────────────────────────────────────────────────────────┘
//!            │ connection lost, a gap in its numbers, consumer gone
//!            ▼
//!           lost ──a consumer from the last revision + 1──▶ reading
//!                └─another stream, or an older state of it─▶ end
//! ```
//!
//! Messages are pulled as they are taken, so a slow watcher holds few of them, and finds only the last state of each key when it
//! comes back: the stream keeps no more. A consumer numbers what it sends; a number that is missing means that a message was lost on
//! the way, and everything from the last one that was shown is read again.

use super::api::Refused;
use super::bucket::is_gone;
use super::link::{Shared, disconnected};
use crate::bucket::{Entry, Watch, WatchEvent};
use crate::{LatticeError, Result};
use async_nats::jetstream::consumer::{
    AckPolicy, DeliverPolicy, Info as ConsumerInfo, IntoConsumerConfig, pull,
};
use async_nats::jetstream::stream::Info;
use async_nats::jetstream::{ErrorCode, Message};
use async_nats::{StatusCode, Subscriber};
use futures::StreamExt;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many messages are asked for at once.
const PULL_MAX: usize = 64;

/// How long the server keeps a request for messages.
const PULL_FOR: Duration = Duration::from_secs(10);

/// How much later than that its end may come.
const GRACE: Duration = Duration::from_secs(3);

/// After how long without a request the server forgets a consumer.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Between two attempts to go on.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// With what is there.
    All,
    /// With what is there, and it is over where the connection is.
    Once,
    /// Behind a revision.
    After(u64),
}

pub(super) struct Watcher {
    shared: Arc<Shared>,
    stream: String,
    subjects: String,
    filter: String,
    prefix: String,
    begin: Begin,
    /// When the stream was made: another one of the same name is another one.
    made: String,
    /// The last revision that was seen.
    after: u64,
    /// The last revision when the watch began.
    last_at_begin: u64,
    is_in_sync: bool,
    owes_sync: bool,
    cursor: Option<Cursor>,
}

impl Watcher {
    pub(super) async fn open(
        shared: Arc<Shared>,
        bucket: &str,
        stream: &str,
        subjects: &str,
        prefix: &str,
        begin: Begin,
    ) -> Result<Watcher> {
        let info = stream_info(&shared, stream).await.map_err(|refused| refused.of(&shared))?;
        let last = info.state.last_sequence;
        let mut after = 0;
        if let Begin::After(revision) = begin {
            // What has changed since would be there, had nobody emptied the stream.
            let is_emptied = info.state.messages == 0 && last > revision;
            if revision > last || is_emptied {
                return Err(LatticeError::RevisionGone { bucket: bucket.to_string(), after: revision });
            }
            after = revision;
        }
        // Tokens that the prefix has whole can be told to the server; the rest of it is ours to look at.
        let filter = match prefix.rsplit_once('.') {
            Some((tokens, _)) => format!("{subjects}{tokens}.>"),
            None => format!("{subjects}>"),
        };
        let mut watcher = Watcher {
            shared,
            stream: stream.to_string(),
            subjects: subjects.to_string(),
            filter,
            prefix: prefix.to_string(),
            begin,
            made: info.created.to_string(),
            after,
            last_at_begin: last,
            is_in_sync: false,
            owes_sync: false,
            cursor: None,
        };
        watcher.point().await.map_err(|refused| refused.of(&watcher.shared))?;
        Ok(watcher)
    }

    pub(super) fn into_watch(self) -> Watch {
        Watch::new(futures::stream::unfold(self, |mut watcher| async move {
            watcher.event().await.map(|event| (event, watcher))
        }))
    }

    /// The next event; `None` when the lattice is closed, or the stream is not the one that it was.
    pub(super) async fn event(&mut self) -> Option<WatchEvent> {
        loop {
            if self.owes_sync {
                self.owes_sync = false;
                self.is_in_sync = true;
                return Some(WatchEvent::InSync);
            }
            let Some(cursor) = &mut self.cursor else {
                if self.begin == Begin::Once || !self.go_on().await {
                    return None;
                }
                continue;
            };
            match cursor.next().await {
                Next::Message(message) => {
                    if let Some(event) = self.read(&message) {
                        return Some(event);
                    }
                }
                Next::Nothing => self.compare().await,
                Next::Lost => self.cursor = None,
                Next::Closed => return None,
            }
        }
    }

    /// What a message means; `None` if nothing to the watcher.
    fn read(&mut self, message: &Message) -> Option<WatchEvent> {
        let (Some(cursor), Ok(info)) = (&mut self.cursor, message.info()) else {
            self.cursor = None;
            return None;
        };
        if info.consumer_sequence != cursor.delivered + 1 {
            tracing::debug!(stream = self.stream, "a message was lost; reading again from {}", self.after);
            self.cursor = None;
            return None;
        }
        cursor.delivered += 1;
        if info.pending == 0 && !self.is_in_sync {
            self.owes_sync = true;
        }
        let revision = info.stream_sequence;
        if revision <= self.after {
            return None;
        }
        self.after = revision;
        let key = message.message.subject.strip_prefix(self.subjects.as_str())?;
        if !key.starts_with(&self.prefix) {
            return None;
        }
        let key = key.to_string();
        if !is_gone(message.message.headers.as_ref()) {
            let value = message.message.payload.clone();
            return Some(WatchEvent::Put(Entry { key, value, revision }));
        }
        let is_old = !self.is_in_sync && revision <= self.last_at_begin;
        // Whoever begins at the beginning has never seen what was deleted before.
        let is_new = matches!(self.begin, Begin::After(_)) || !is_old;
        is_new.then_some(WatchEvent::Delete { key, revision })
    }

    /// Nothing has come for a while: was something lost?
    async fn compare(&mut self) {
        let Some(cursor) = &self.cursor else { return };
        let subject = format!("CONSUMER.INFO.{}.{}", self.stream, cursor.name);
        match self.shared.api::<ConsumerInfo, _>(&subject, &()).await {
            Ok(info) if info.delivered.consumer_sequence == cursor.delivered => {
                self.owes_sync = !self.is_in_sync && info.num_pending == 0;
            }
            _ => self.cursor = None,
        }
    }

    /// Makes a consumer of what was not seen yet.
    async fn point(&mut self) -> Result<(), Refused> {
        let from = match (self.begin, self.after) {
            (Begin::All | Begin::Once, 0) => DeliverPolicy::LastPerSubject,
            (_, after) => DeliverPolicy::ByStartSequence { start_sequence: after + 1 },
        };
        let (cursor, pending) = Cursor::open(self.shared.clone(), &self.stream, &self.filter, from).await?;
        self.cursor = Some(cursor);
        self.owes_sync = !self.is_in_sync && pending == 0;
        Ok(())
    }

    /// Goes on after a loss, however long that takes; `false` if there is nothing to go on with.
    async fn go_on(&mut self) -> bool {
        let mut wait = RETRY_MIN;
        loop {
            let mut link = self.shared.link();
            tokio::select! {
                () = self.shared.until_closed() => return false,
                up = link.wait_for(|link| link.is_up) => if up.is_err() { return false },
            }
            match self.try_on().await {
                Ok(is_same) => return is_same,
                Err(Refused::Lattice(LatticeError::Closed)) => return false,
                Err(refused) if refused.is(ErrorCode::STREAM_NOT_FOUND) => return false,
                Err(refused) => {
                    let error = refused.of(&self.shared);
                    // Once: it is tried for as long as it takes.
                    if wait == RETRY_MIN {
                        tracing::warn!(stream = self.stream, %error, "a watch cannot go on yet");
                    }
                }
            }
            tokio::select! {
                () = self.shared.until_closed() => return false,
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY_MAX),
            }
        }
    }

    async fn try_on(&mut self) -> Result<bool, Refused> {
        let info = stream_info(&self.shared, &self.stream).await?;
        if info.created.to_string() != self.made || info.state.last_sequence < self.after {
            tracing::warn!(stream = self.stream, "a bucket is not the one that was watched");
            return Ok(false);
        }
        self.point().await.map(|()| true)
    }
}

async fn stream_info(shared: &Shared, stream: &str) -> Result<Info, Refused> {
    shared.api(&format!("STREAM.INFO.{stream}"), &()).await
}

/// A consumer and where its messages come.
struct Cursor {
    shared: Arc<Shared>,
    stream: String,
    name: String,
    inbox: String,
    messages: Subscriber,
    /// How many it has sent that have come.
    delivered: u64,
    /// How many it has been asked for that have not come yet.
    wanted: usize,
    asked: Instant,
    losses: u64,
}

enum Next {
    Message(Box<Message>),
    Nothing,
    Lost,
    Closed,
}

impl Cursor {
    /// The consumer, and how many messages wait for it.
    async fn open(
        shared: Arc<Shared>,
        stream: &str,
        filter: &str,
        from: DeliverPolicy,
    ) -> Result<(Cursor, u64), Refused> {
        let losses = shared.link().borrow().losses;
        let config = pull::Config {
            deliver_policy: from,
            ack_policy: AckPolicy::None,
            filter_subject: filter.to_string(),
            inactive_threshold: FORGOTTEN_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let body = json!({"stream_name": stream, "config": config.into_consumer_config()});
        let info: ConsumerInfo = shared.api(&format!("CONSUMER.CREATE.{stream}"), &body).await?;
        let inbox = shared.client.new_inbox();
        let messages = shared.client.subscribe(inbox.clone()).await;
        let messages = messages.map_err(|_| Refused::Lattice(disconnected(stream)))?;
        let cursor = Cursor {
            shared,
            stream: stream.to_string(),
            name: info.name,
            inbox,
            messages,
            delivered: 0,
            wanted: 0,
            asked: Instant::now(),
            losses,
        };
        Ok((cursor, info.num_pending))
    }

    async fn next(&mut self) -> Next {
        if self.wanted == 0 && !self.ask().await {
            return Next::Lost;
        }
        let mut link = self.shared.link();
        let losses = self.losses;
        tokio::select! {
            biased;
            () = self.shared.until_closed() => Next::Closed,
            _ = link.wait_for(|link| link.losses != losses) => Next::Lost,
            message = self.messages.next() => match message {
                Some(message) => self.took(message),
                None => Next::Lost,
            },
            () = tokio::time::sleep_until(self.asked + PULL_FOR + GRACE) => {
                self.wanted = 0;
                Next::Nothing
            }
        }
    }

    fn took(&mut self, message: async_nats::Message) -> Next {
        match message.status {
            None => {
                self.wanted -= 1;
                Next::Message(Box::new(Message { message, context: self.shared.context.clone() }))
            }
            Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => {
                self.wanted = 0;
                Next::Nothing
            }
            // The consumer is gone, or its server is.
            Some(_) => Next::Lost,
        }
    }

    async fn ask(&mut self) -> bool {
        let subject = format!("{}.CONSUMER.MSG.NEXT.{}.{}", self.shared.api_root(), self.stream, self.name);
        let body = json!({"batch": PULL_MAX, "expires": PULL_FOR.as_nanos() as u64});
        let message = crate::Message::json(subject, &body).with_reply(self.inbox.clone());
        self.wanted = PULL_MAX;
        self.asked = Instant::now();
        self.shared.publish(message).await.is_ok()
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        if self.shared.check("").is_err() {
            // The server forgets it by itself.
            return;
        }
        let (shared, subject) =
            (self.shared.clone(), format!("CONSUMER.DELETE.{}.{}", self.stream, self.name));
        (self.shared.spawn)(Box::pin(async move {
            // Gone already, or forgotten in a minute.
            let _ = shared.api::<serde_json::Value, _>(&subject, &()).await;
        }));
    }
}
