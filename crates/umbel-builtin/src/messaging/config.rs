//! What a messaging provider is told, by its config and by a link's config, which overrides it.

use super::Reach;
use super::error::MessagingError;
use super::subject;
use std::time::Duration;
use umbel_core::link::Values;

/// The most subscriptions of one link.
const SUBSCRIPTIONS_MAX: usize = 64;

/// Keys of wasmCloud 1.x's messaging-nats that say how to reach a server. There is none here.
const WITHOUT_MEANING: &[&str] = &["cluster_uris", "custom_inbox_prefix", "ping_interval_sec"];
/// Keys that say that a certain server is meant.
const OF_A_SERVER: &[&str] =
    &["client_jwt", "client_seed", "auth_jwt", "auth_seed", "tls_ca", "tls_ca_file", "consumers"];

/// One subscription of a link, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Subjects, with `*` and `>`.
    pub pattern: String,
    /// Of all subscriptions of one group, one gets the message.
    pub group: Option<String>,
}

/// How much waits for a subscriber, and how it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `concurrency`: calls at once for each subscription. With 1, messages are handled in their order. Default 16.
    pub concurrency: usize,
    /// `queue_messages_max`: messages that wait, for each subscription. Default 1,024.
    pub queue_messages_max: usize,
    /// `queue_bytes_max`: bytes that wait, for each subscription; one message may always wait. Default 16 MiB.
    pub queue_bytes_max: usize,
    /// `handle_timeout_ms`: the longest that one call may take. Default 30 s.
    pub handle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            concurrency: 16,
            queue_messages_max: 1_024,
            queue_bytes_max: 16 << 20,
            handle_timeout: Duration::from_secs(30),
        }
    }
}

/// The validated settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `subscriptions`: a comma list of `subject` or `subject|queue`. Only of links from the provider to a component.
    pub subscriptions: Vec<Wanted>,
    /// `space`: the name of a space that applications share. Without it each application has its own.
    pub space: Option<String>,
    /// `message_bytes_max`: the largest message that is sent. Default 1 MiB.
    pub message_bytes_max: usize,
    /// `request_timeout_ms`: how long a request waits that does not say so itself, and the most that it may say is ten times that.
    /// Default 30 s.
    pub request_timeout: Duration,
    /// Of subscriptions.
    pub limits: Limits,
    /// Which server carries the messages, for `messaging-nats`.
    #[cfg(feature = "messaging_nats")]
    pub server: crate::messaging_nats::config::Server,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            subscriptions: Vec::new(),
            space: None,
            message_bytes_max: 1 << 20,
            request_timeout: Duration::from_secs(30),
            limits: Limits::default(),
            #[cfg(feature = "messaging_nats")]
            server: Default::default(),
        }
    }
}

impl Settings {
    /// Reads the provider's values, then the link's over them. Unknown keys are errors.
    pub fn read(provider: &Values, link: &Values) -> Result<Settings, MessagingError> {
        Settings::read_for(Reach::Host, provider, link)
    }

    /// As [`Settings::read`], for messages that go as far.
    pub(crate) fn read_for(
        reach: Reach,
        provider: &Values,
        link: &Values,
    ) -> Result<Settings, MessagingError> {
        let mut settings = Settings::default();
        for (values, _is_link) in [(provider, false), (link, true)] {
            #[cfg(feature = "messaging_nats")]
            if reach == Reach::Server && _is_link {
                settings.server.forget_if_elsewhere(values);
            }
            for (key, value) in values {
                #[cfg(feature = "messaging_nats")]
                if reach == Reach::Server && settings.server.set(key, value.trim())? {
                    continue;
                }
                settings.set(key, value.trim())?;
            }
        }
        #[cfg(feature = "messaging_nats")]
        if reach == Reach::Server {
            settings.server.check()?;
        }
        let _ = reach;
        Ok(settings)
    }

    /// The longest that a request may wait.
    pub fn request_timeout_max(&self) -> Duration {
        self.request_timeout * 10
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), MessagingError> {
        match key {
            "subscriptions" => self.subscriptions = subscriptions(value)?,
            "space" => self.space = space(value)?,
            "message_bytes_max" => self.message_bytes_max = number(key, value, 1..=64 << 20)?,
            "request_timeout_ms" => self.request_timeout = millis(key, value)?,
            "handle_timeout_ms" => self.limits.handle_timeout = millis(key, value)?,
            "concurrency" => self.limits.concurrency = number(key, value, 1..=1_000)?,
            "queue_messages_max" => self.limits.queue_messages_max = number(key, value, 1..=1_000_000)?,
            "queue_bytes_max" => self.limits.queue_bytes_max = number(key, value, 1..=1 << 30)?,
            key if WITHOUT_MEANING.contains(&key) => {
                tracing::info!(
                    key,
                    "messages stay in this host; what says how to reach a server has no meaning here"
                );
            }
            key if OF_A_SERVER.contains(&key) => {
                return Err(wrong(key, "it names a message server, and this provider has none".into()));
            }
            _ => return Err(wrong(key, "this key is not known".into())),
        }
        Ok(())
    }
}

fn subscriptions(text: &str) -> Result<Vec<Wanted>, MessagingError> {
    let mut wanted: Vec<Wanted> = Vec::new();
    // An empty item is what a comma at the end leaves; wasmCloud 1.x passes over it too.
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (pattern, group) = match item.split_once('|') {
            Some((pattern, group)) => (pattern, Some(group)),
            None => (item, None),
        };
        subject::check_pattern(pattern)?;
        group.map_or(Ok(()), subject::check_group)?;
        let item = Wanted { pattern: pattern.into(), group: group.map(Into::into) };
        if !wanted.contains(&item) {
            wanted.push(item);
        }
    }
    if wanted.len() > SUBSCRIPTIONS_MAX {
        return Err(MessagingError::Limit { what: "subscriptions of one link", max: SUBSCRIPTIONS_MAX });
    }
    Ok(wanted)
}

fn space(name: &str) -> Result<Option<String>, MessagingError> {
    let bad = name.len() > 64 || name.chars().any(|c| c.is_whitespace() || c.is_control());
    match name {
        "" => Ok(None),
        _ if bad => Err(wrong("space", "a name of at most 64 bytes without spaces".into())),
        name => Ok(Some(name.into())),
    }
}

pub(crate) fn wrong(key: &str, reason: String) -> MessagingError {
    MessagingError::Config { key: key.chars().take(60).collect(), reason }
}

pub(crate) fn number(
    key: &str,
    value: &str,
    range: std::ops::RangeInclusive<usize>,
) -> Result<usize, MessagingError> {
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        wrong(key, format!("`{value}` is not a number between {} and {}", range.start(), range.end()))
    })
}

fn millis(key: &str, value: &str) -> Result<Duration, MessagingError> {
    number(key, value, 1..=86_400_000).map(|ms| Duration::from_millis(ms as u64))
}

#[cfg(test)]
mod tests;
