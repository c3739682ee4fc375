//! Why a message is not sent, or not answered.

use std::time::Duration;
use umbel_core::code::messaging as code;
use umbel_core::{Code, Coded, Problem};

/// A failure of the messaging provider.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MessagingError {
    /// A key or value of the config.
    #[error("messaging config `{key}`: {reason}")]
    Config {
        /// The key.
        key: String,
        /// What is wrong, with the value.
        reason: String,
    },
    /// The subject or pattern is not well-formed.
    #[error("the subject `{subject}` cannot be used: {reason}")]
    Subject {
        /// What was given, shortened.
        subject: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// The message is too large.
    #[error("the message has {bytes} bytes, and the limit is {bytes_max}")]
    TooLarge {
        /// Its size: body, content type and metadata.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A request that nobody could answer.
    #[error("nobody subscribes to `{subject}`")]
    NoSubscriber {
        /// The subject.
        subject: String,
    },
    /// A request without a reply.
    #[error("no reply to `{subject}` within {} ms", after.as_millis())]
    NoReply {
        /// The subject.
        subject: String,
        /// The deadline.
        after: Duration,
    },
    /// All who subscribe have full queues.
    #[error("none of the {subscribers} subscribers of `{subject}` has room for the message")]
    QueuesFull {
        /// The subject.
        subject: String,
        /// How many there are.
        subscribers: usize,
    },
    /// A limit of the space or of the component.
    #[error("there are {max} {what} already, which is the limit")]
    Limit {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The link is for something else.
    #[error("`{contract}` is not a contract that messaging carries over a link in this direction")]
    Contract {
        /// The link's contract.
        contract: String,
    },
    /// The client was disconnected.
    #[error("this client is disconnected")]
    Disconnected,
    /// The component cannot be called.
    #[error("a message of `{subject}` was not delivered to `{component}`")]
    NotDelivered {
        /// The component's id.
        component: String,
        /// The subject.
        subject: String,
    },
    /// The component refused the message.
    #[error("`{component}` answered a message of `{subject}` with an error: {words}")]
    Handler {
        /// The component's id.
        component: String,
        /// The subject.
        subject: String,
        /// What it said, shortened.
        words: String,
    },
    /// The component took too long.
    #[error("`{component}` did not finish with a message of `{subject}` within {} ms", after.as_millis())]
    HandlerTimeout {
        /// The component's id.
        component: String,
        /// The subject.
        subject: String,
        /// The deadline.
        after: Duration,
    },
    /// The component's queue was full.
    #[error("`{component}` has missed {missed} messages of its subscription `{pattern}`")]
    Missed {
        /// The component's id.
        component: String,
        /// The subscription.
        pattern: String,
        /// How many in all.
        missed: u64,
    },
    /// The server is not there.
    #[error("there is no connection to the message server")]
    Unconnected,
    /// The provider takes nothing new.
    #[error("the messaging provider is stopping")]
    Stopped,
}

impl Coded for MessagingError {
    fn code(&self) -> Code {
        match self {
            MessagingError::Config { .. } => code::MESSAGING_CONFIG,
            MessagingError::Subject { .. } => code::MESSAGING_SUBJECT,
            MessagingError::TooLarge { .. } => code::MESSAGING_TOO_LARGE,
            MessagingError::NoSubscriber { .. } => code::MESSAGING_NO_SUBSCRIBER,
            MessagingError::NoReply { .. } => code::MESSAGING_NO_REPLY,
            MessagingError::QueuesFull { .. } => code::MESSAGING_QUEUES_FULL,
            MessagingError::Limit { .. } => code::MESSAGING_LIMIT,
            MessagingError::Contract { .. } => code::MESSAGING_LINK_CONTRACT,
            MessagingError::Disconnected => code::MESSAGING_DISCONNECTED,
            MessagingError::NotDelivered { .. } => code::MESSAGING_NOT_DELIVERED,
            MessagingError::Handler { .. } => code::MESSAGING_HANDLER_ERROR,
            MessagingError::HandlerTimeout { .. } => code::MESSAGING_HANDLER_TIMEOUT,
            MessagingError::Missed { .. } => code::MESSAGING_MISSED,
            MessagingError::Unconnected => code::MESSAGING_UNCONNECTED,
            MessagingError::Stopped => code::MESSAGING_STOPPED,
        }
    }
}

impl From<MessagingError> for Problem {
    fn from(error: MessagingError) -> Problem {
        Problem::from(&error)
    }
}

/// What a component is told where its contract has only a text: the code, what happened, and what to do.
pub(crate) fn words(error: &MessagingError) -> String {
    format!("{}: {error}; {}", error.code(), error.help())
}
