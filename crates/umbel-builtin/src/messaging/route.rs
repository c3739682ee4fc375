//! What the calls of one component mean: its space and its settings.

use super::config::Settings;
use super::error::MessagingError;
use super::held::Meter;
use super::message::{Content, Message};
use super::space::{Space, Wait};
use std::sync::Arc;
use std::time::Duration;
use umbel_core::link::Values;
use umbel_wit::Link;

/// What the calls over one link mean.
pub(crate) struct Route {
    pub(crate) link: Arc<Link>,
    /// The provider's config that it was made of.
    pub(crate) config: Arc<Values>,
    pub(crate) space: Arc<Space>,
    pub(crate) settings: Settings,
    pub(crate) meter: Arc<Meter>,
}

impl Route {
    pub(crate) fn publish(&self, message: Message) -> Result<(), MessagingError> {
        self.space.publish(message, self.settings.message_bytes_max).map(drop)
    }

    /// A request that waits as long as it says, but no longer than the settings or the caller's patience allow.
    pub(crate) async fn request(
        &self,
        subject: &str,
        content: Arc<Content>,
        wait: Wait,
        patience: Option<Duration>,
    ) -> Result<Vec<Message>, MessagingError> {
        let timeout = wait.timeout.min(self.settings.request_timeout_max());
        let timeout = patience.map_or(timeout, |patience| timeout.min(patience));
        let wait = Wait { timeout, ..wait };
        self.space.request(subject, content, self.settings.message_bytes_max, wait).await
    }
}
