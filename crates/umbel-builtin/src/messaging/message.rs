//! A message as it travels inside the host. Its bytes are shared by all who have it.

use super::error::MessagingError;
use super::subject;
use bytes::Bytes;
use std::sync::Arc;

/// What is said beside the body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The body.
    pub body: Bytes,
    /// What form the body has, e.g. `application/json`. Only wasi:messaging carries it.
    pub content_type: Option<String>,
    /// Pairs that decorate the message. Only wasi:messaging carries them.
    pub metadata: Option<Vec<(String, String)>>,
}

impl Content {
    /// A bare body.
    pub fn new(body: impl Into<Bytes>) -> Content {
        Content { body: body.into(), content_type: None, metadata: None }
    }

    /// Body, content type and metadata together.
    pub fn size(&self) -> usize {
        let metadata =
            self.metadata.iter().flatten().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        self.body.len() + self.content_type.as_ref().map_or(0, String::len) + metadata
    }
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it was published.
    pub subject: Arc<str>,
    /// Where a reply goes, if one is awaited.
    pub reply_to: Option<Arc<str>>,
    /// What it says.
    pub content: Arc<Content>,
}

impl Message {
    /// A message to a subject.
    pub fn new(subject: &str, content: Content) -> Message {
        Message { subject: subject.into(), reply_to: None, content: Arc::new(content) }
    }

    /// What it takes up while it waits.
    pub fn size(&self) -> usize {
        self.subject.len() + self.reply_to.as_ref().map_or(0, |subject| subject.len()) + self.content.size()
    }

    /// Checks what a sender made.
    pub(crate) fn check(&self, bytes_max: usize) -> Result<(), MessagingError> {
        subject::check(&self.subject)?;
        if let Some(reply_to) = &self.reply_to {
            subject::check(reply_to)?;
        }
        let bytes = self.content.size();
        if bytes > bytes_max { Err(MessagingError::TooLarge { bytes, bytes_max }) } else { Ok(()) }
    }
}
