//! Hears of the writes of all hosts, and tells the watchers of this one.

use crate::keyvalue::place::Place;
use crate::keyvalue::store::Change;
use crate::keyvalue::watch::Watchers;
use bytes::Bytes;
use futures::StreamExt;
use redis::{Client, RedisResult};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use umbel_supervisor::Scope;

/// Between two attempts to connect.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A task with a connection of its own. Dropped, it ends.
pub(super) struct Listener {
    task: Scope,
    listens: watch::Receiver<bool>,
}

impl Listener {
    pub(super) fn start(client: Client, channel: String, watchers: Arc<Watchers>) -> Listener {
        let task = Scope::new("keyvalue changes");
        let (tell, listens) = watch::channel(false);
        task.spawn(async move {
            let mut delay = RETRY_MIN / 2;
            loop {
                let heard = listen(&client, &channel, &watchers, &tell).await;
                delay = if *tell.borrow() { RETRY_MIN } else { (delay * 2).min(RETRY_MAX) };
                tell.send_replace(false);
                let error = heard.err().map(|error| error.to_string());
                tracing::warn!(error, "changes of a key-value server are not heard of; connecting again");
                tokio::time::sleep(delay).await;
            }
        });
        Listener { task, listens }
    }

    /// Tells when changes are heard of.
    pub(super) fn listens(&self) -> watch::Receiver<bool> {
        self.listens.clone()
    }

    pub(super) async fn stop(self, deadline: Duration) {
        // It never ends by itself, and holds nothing.
        self.task.cancel();
        self.task.drain(deadline).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.cancel();
    }
}

/// Until the connection is lost.
async fn listen(
    client: &Client,
    channel: &str,
    watchers: &Watchers,
    listens: &watch::Sender<bool>,
) -> RedisResult<()> {
    let mut connection = client.get_async_pubsub().await?;
    connection.subscribe(channel).await?;
    listens.send_replace(true);
    let mut messages = connection.on_message();
    while let Some(message) = messages.next().await {
        match read(message.get_payload_bytes()) {
            Some(change) => watchers.tell(&[change]),
            None => {
                tracing::warn!("a change of a key-value server cannot be read; something else writes there")
            }
        }
    }
    Ok(())
}

/// What a script has told: `OWNER BUCKET KEY VALUE` as lengths, a line's end, then the four of them. A value of −1 is a delete.
fn read(message: &[u8]) -> Option<Change> {
    let end = message.iter().position(|byte| *byte == b'\n')?;
    let lengths = std::str::from_utf8(&message[..end]).ok()?;
    let lengths: Vec<i64> = lengths.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [owner, bucket, key, value] = lengths[..] else { return None };
    let mut rest = &message[end + 1..];
    let mut take = |length: i64| {
        let (taken, left) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        rest = left;
        Some(taken)
    };
    let mut text = |length| String::from_utf8(take(length)?.to_vec()).ok();
    let (owner, bucket, key) = (text(owner)?, text(bucket)?, text(key)?);
    let value = if value < 0 { None } else { Some(Bytes::copy_from_slice(take(value)?)) };
    if !rest.is_empty() {
        return None;
    }
    let place = Place { bucket: format!("{owner}/{bucket}").into(), owner: owner.into() };
    Some(Change { place: Arc::new(place), key, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_change_is_read_as_scripts_write_it() {
        let change = read("8 3 2 5\napp/shopb/cké1\n234".as_bytes()).map(|change| change.key);
        assert_eq!(change, None, "lengths are of bytes");
        let change = read("8 3 3 5\napp/shopb/cké1\n234".as_bytes()).expect("a change");
        assert_eq!((&*change.place.owner, &*change.place.bucket), ("app/shop", "app/shop/b/c"));
        assert_eq!((change.key.as_str(), change.value), ("ké", Some(Bytes::from("1\n234"))));
        let change = read(b"6 0 0 -1\nshared").expect("a change");
        assert_eq!((&*change.place.bucket, change.value), ("shared/", None));
    }

    proptest! {
        #[test]
        fn rubbish_is_no_change_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), head in "[-0-9 ]{0,20}") {
            let _ = read(&bytes);
            let message = [head.as_bytes(), b"\n", &bytes].concat();
            if let Some(change) = read(&message) {
                prop_assert!(change.key.len() <= bytes.len());
            }
        }
    }
}
