//! A space on a server: what its subjects are called there, and what messages look like.

use super::connection::{Command, Connection, Outgoing, Read};
use crate::messaging::error::MessagingError;
use crate::messaging::message::{Content, Message};
use crate::messaging::space::{Remote, Wait};
use crate::messaging::subject::INBOX_PREFIX;
use crate::messaging::subscription::Subscription;
use async_nats::{HeaderMap, HeaderValue, StatusCode};
use futures::StreamExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::oneshot;

const CONTENT_TYPE: &str = "content-type";
/// Metadata as JSON: a list of pairs, so that any text is a key, also twice.
const METADATA: &str = "umbel-metadata";

/// One space of a connection.
pub(super) struct NatsSpace {
    connection: Arc<Connection>,
    names: Names,
}

/// What subjects are called on the server.
#[derive(Debug, Clone)]
struct Names {
    prefix: String,
    /// What replies go to is nobody's subject, and called the same by all.
    inbox_prefix: String,
}

impl Names {
    fn outgoing(&self, subject: &str) -> String {
        match subject.starts_with(INBOX_PREFIX) || subject.starts_with(&self.inbox_prefix) {
            true => subject.to_string(),
            false => format!("{}{subject}", self.prefix),
        }
    }

    fn incoming(&self, subject: &str) -> Arc<str> {
        subject.strip_prefix(&self.prefix).unwrap_or(subject).into()
    }
}

impl NatsSpace {
    pub(super) fn new(connection: Arc<Connection>, prefix: String) -> NatsSpace {
        let inbox_prefix = connection.inbox_prefix.clone();
        NatsSpace { connection, names: Names { prefix, inbox_prefix } }
    }

    fn outgoing(&self, message: &Message) -> Result<Outgoing, MessagingError> {
        let headers = headers(&message.content);
        // As the client counts it.
        let heads: usize = headers
            .iter()
            .flat_map(|(name, values)| {
                values.iter().map(|value| name.to_string().len() + value.as_str().len() + 4)
            })
            .sum();
        let bytes = message.content.body.len() + if headers.is_empty() { 0 } else { heads + 12 };
        if let Some(bytes_max) = self.connection.bytes_max().filter(|max| bytes > *max) {
            return Err(MessagingError::TooLarge { bytes, bytes_max });
        }
        Ok(Outgoing {
            subject: self.names.outgoing(&message.subject),
            reply: message.reply_to.as_deref().map(|subject| self.names.outgoing(subject)),
            headers,
            body: message.content.body.clone(),
        })
    }
}

impl Remote for NatsSpace {
    fn publish(&self, message: Message) -> Result<(), MessagingError> {
        let room = self.connection.room(message.size())?;
        self.connection.ask(Command::Publish(self.outgoing(&message)?, room))
    }

    fn request(&self, message: Message, wait: Wait) -> BoxFuture<'_, Result<Vec<Message>, MessagingError>> {
        Box::pin(async move {
            let end = tokio::time::Instant::now() + wait.timeout;
            let subject = message.subject.to_string();
            let late = || MessagingError::NoReply { subject: subject.clone(), after: wait.timeout };
            let room = self.connection.room(message.size())?;
            let (answer, inbox) = oneshot::channel();
            self.connection.ask(Command::Request(self.outgoing(&message)?, answer, room))?;
            let opened = tokio::time::timeout_at(end, inbox).await.map_err(|_| late())?;
            let mut inbox = opened.map_err(|_| MessagingError::Unconnected)?;
            let mut replies = Vec::new();
            while replies.len() < wait.replies {
                let reply = match tokio::time::timeout_at(end, inbox.next()).await {
                    Ok(Some(reply)) => reply,
                    Ok(None) if replies.is_empty() => return Err(MessagingError::Unconnected),
                    Err(_) if replies.is_empty() && self.connection.is_lost() => {
                        return Err(MessagingError::Unconnected);
                    }
                    Err(_) if replies.is_empty() => return Err(late()),
                    Ok(None) | Err(_) => break,
                };
                if reply.status == Some(StatusCode::NO_RESPONDERS) {
                    return Err(MessagingError::NoSubscriber { subject: subject.clone() });
                }
                replies.push(read(&self.names, reply));
            }
            Ok(replies)
        })
    }

    fn subscribe(&self, subscription: &Arc<Subscription>) -> Result<(), MessagingError> {
        let names = self.names.clone();
        let subject = format!("{}{}", names.prefix, subscription.pattern);
        let read: Read = Arc::new(move |message| Some(read(&names, message)));
        self.connection.ask(Command::Subscribe(subscription.clone(), subject, read))
    }

    fn unsubscribe(&self, subscription: &Arc<Subscription>) {
        // A connection that takes nothing more has ended, and its subscriptions with it.
        if self.connection.ask(Command::Unsubscribe(subscription.clone())).is_err() {
            subscription.close();
        }
    }
}

fn headers(content: &Content) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(content_type) = &content.content_type {
        let text: String = content_type.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from(text));
    }
    if let Some(metadata) = &content.metadata {
        let json = serde_json::to_string(metadata).expect("pairs of texts are JSON");
        headers.insert(METADATA, HeaderValue::from(json));
    }
    headers
}

fn read(names: &Names, message: async_nats::Message) -> Message {
    let mut content = Content::new(message.payload);
    for (name, values) in message.headers.iter().flat_map(HeaderMap::iter) {
        let name = name.to_string();
        for value in values {
            let value = value.as_str();
            if name.eq_ignore_ascii_case(CONTENT_TYPE) {
                content.content_type = Some(value.to_string());
            } else if name.eq_ignore_ascii_case(METADATA) {
                // What is no list of pairs was not written by us, and means nothing.
                let pairs: Vec<(String, String)> = serde_json::from_str(value).unwrap_or_default();
                content.metadata.get_or_insert_default().extend(pairs);
            } else {
                content.metadata.get_or_insert_default().push((name.clone(), value.to_string()));
            }
        }
    }
    Message {
        subject: names.incoming(&message.subject),
        reply_to: message.reply.map(|reply| names.incoming(&reply)),
        content: Arc::new(content),
    }
}
