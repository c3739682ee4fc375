//! What every implementation of [`Lattice`] has to pass: one async function for each promise.
//!
//! An implementation writes a [`Factory`] and calls [`contract_tests!`](crate::contract_tests), which makes a test of each
//! promise. The functions panic when the promise is broken. They wait for what must come, and prove that something does not come
//! by sending something after it; no check depends on how fast the machine is.

pub mod keyvalue;
pub mod messages;

use crate::{Bucket, Lattice, Message, Subscription, Watch, WatchEvent};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Makes lattices to check.
#[async_trait]
pub trait Factory: Send + Sync {
    /// A lattice that nobody else uses, with empty state.
    async fn fresh(&self) -> Arc<dyn Lattice>;

    /// The lattice anew, with the state that it had, after it was closed and dropped.
    async fn reopen(&self, lattice: Arc<dyn Lattice>) -> Arc<dyn Lattice>;
}

/// Longest that anything which must happen may take: long, because a machine may be busy.
const LONG: Duration = Duration::from_secs(20);

/// A deadline that is meant to be reached.
const SHORT: Duration = Duration::from_millis(50);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONG, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {LONG:?} for {what}"),
    }
}

async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

async fn next(subscription: &mut Subscription) -> Message {
    soon("a message", subscription.next()).await.expect("the subscription has not ended")
}

async fn next_text(subscription: &mut Subscription) -> String {
    text(&next(subscription).await.payload)
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn publish(lattice: &Arc<dyn Lattice>, subject: &str, payload: impl Into<Bytes>) {
    lattice.publish(Message::new(subject, payload)).await.expect("publish");
}

async fn event(watch: &mut Watch) -> WatchEvent {
    soon("a watch event", watch.next()).await.expect("the watch has not ended")
}

async fn bucket(lattice: &Arc<dyn Lattice>, name: &str) -> Arc<dyn Bucket> {
    lattice.bucket(name).await.expect("bucket")
}

/// Makes one `#[tokio::test]` of each promise. The argument is an expression that makes a [`Factory`].
#[macro_export]
macro_rules! contract_tests {
    ($factory:expr) => {
        $crate::contract_tests! { @tests $factory; messages:
            publish_reaches_everybody_who_matches
            order_is_kept
            headers_and_reply_arrive
            a_group_gets_each_message_once
            groups_and_others_do_not_share
            leaving_is_at_once
            a_request_is_answered
            the_first_answer_counts
            many_requests_do_not_mix
            no_responders_is_said_at_once
            an_observer_does_not_make_a_request_hang
            a_silent_responder_is_a_timeout
            request_all_gathers
            a_slow_subscriber_loses_the_newest_and_counts
            bad_subjects_are_refused
            what_is_too_large_is_refused
            thousands_of_subscriptions_work
            closing_ends_everything
        }
        $crate::contract_tests! { @tests $factory; keyvalue:
            what_is_put_is_there
            create_needs_absence
            update_needs_the_revision
            delete_can_need_the_revision
            buckets_are_separate_and_prefixes_filter
            bad_keys_are_refused
            racing_increments_lose_nothing
            racing_creates_have_one_winner
            a_watch_replays_then_follows
            a_watch_is_in_order_and_complete
            a_slow_watch_ends_up_right
            a_watch_resumes
            state_survives_reopening
            pending_writes_survive_closing
        }
    };
    (@tests $factory:expr; $module:ident: $($check:ident)*) => {
        mod $module {
            #[allow(unused_imports, reason = "the factory may be named by a path")]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    $crate::contract::$module::$check(&$factory).await;
                }
            )*
        }
    };
}
