//! A bucket: a key-value bucket of JetStream.

use super::api::Refused;
use super::link::{STATE_MAX, Shared, disconnected};
use super::watch::{Begin, Watcher};
use crate::bucket::{Bucket, Entry, Watch, WatchEvent, check_key, check_value};
use crate::error::NatsProblem;
use crate::{LatticeError, Result};
use async_nats::HeaderMap;
use async_nats::client::{Request, RequestErrorKind};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RawMessage, StorageType};
use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use umbel_core::id::LatticeName;

/// The header that says that an entry is gone.
pub(super) const OPERATION: &str = "KV-Operation";
/// The header with which a server says that it has removed an entry by itself.
pub(super) const MARKER: &str = "Nats-Marker-Reason";

const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// How often an entry is made anew that others delete and make meanwhile.
const CREATES_MAX: usize = 8;
/// How long reading a whole bucket may take.
const ENTRIES_MAX: Duration = Duration::from_secs(30);

/// The buckets of wasmCloud 1.x, by what their names begin with.
const SHARED_WITH_WASMCLOUD: [&str; 2] = ["LATTICEDATA_", "CONFIGDATA_"];

/// What a bucket is called on the server.
pub(super) fn real_name(lattice: &LatticeName, name: &str) -> String {
    let is_shared =
        SHARED_WITH_WASMCLOUD.iter().any(|start| name.strip_prefix(start) == Some(lattice.as_str()));
    // The name of a lattice has no `_`, so nothing else comes out the same.
    if is_shared { name.to_string() } else { format!("UMBEL_{lattice}_{name}") }
}

/// One bucket.
pub(super) struct JetBucket {
    shared: Arc<Shared>,
    name: String,
    /// `KV_…`
    stream: String,
    /// `$KV.….`, with the dot at the end.
    subjects: String,
    /// What entries are written to: the subjects, in the domain that has them.
    puts: String,
    /// Whether it is known to exist.
    is_there: AtomicBool,
}

/// How a write went that reached the server.
enum Written {
    At(u64),
    /// The entry was at another revision.
    WrongRevision,
}

#[derive(Deserialize)]
struct Found {
    message: RawMessage,
}

impl JetBucket {
    pub(super) fn new(shared: Arc<Shared>, name: &str, real: &str) -> JetBucket {
        let subjects = format!("$KV.{real}.");
        let puts = match &shared.domain {
            Some(_) => format!("{}.{subjects}", shared.api_root()),
            None => subjects.clone(),
        };
        JetBucket {
            shared,
            name: name.to_string(),
            stream: format!("KV_{real}"),
            subjects,
            puts,
            is_there: AtomicBool::new(false),
        }
    }

    /// Makes the stream if there is none, as wasmCloud 1.x makes it. One that is there is taken as it is.
    async fn ensure(&self) -> Result<()> {
        if self.is_there.load(Ordering::Acquire) {
            return Ok(());
        }
        let info = format!("STREAM.INFO.{}", self.stream);
        match self.shared.api::<Info, _>(&info, &()).await {
            Ok(_) => {}
            Err(refused) if refused.is(ErrorCode::STREAM_NOT_FOUND) => {
                let create = format!("STREAM.CREATE.{}", self.stream);
                match self.shared.api::<Info, _>(&create, &self.config()).await {
                    Ok(_) => tracing::info!(bucket = self.stream, "made a bucket"),
                    // Somebody else was quicker.
                    Err(refused) if refused.is(ErrorCode::STREAM_NAME_EXIST) => {}
                    Err(refused) => return Err(refused.of(&self.shared)),
                }
            }
            Err(refused) => return Err(refused.of(&self.shared)),
        }
        self.is_there.store(true, Ordering::Release);
        Ok(())
    }

    fn config(&self) -> Config {
        Config {
            name: self.stream.clone(),
            subjects: vec![format!("{}>", self.subjects)],
            max_messages_per_subject: 1,
            max_bytes: -1,
            max_messages: -1,
            max_message_size: -1,
            max_consumers: -1,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            num_replicas: self.shared.replicas,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            ..Config::default()
        }
    }

    /// The stream is gone: it is made anew by whoever needs it next.
    fn lost(&self) {
        self.is_there.store(false, Ordering::Release);
    }

    /// The last thing said about a key: its revision, and the value unless it is gone. Asked of the stream's leader, so that what was
    /// written before is seen.
    async fn last(&self, key: &str) -> Result<Option<(u64, Option<Bytes>)>> {
        let subject = format!("STREAM.MSG.GET.{}", self.stream);
        let body = json!({"last_by_subj": format!("{}{key}", self.subjects)});
        let found: Found = match self.shared.api(&subject, &body).await {
            Ok(found) => found,
            Err(refused) if refused.is(ErrorCode::NO_MESSAGE_FOUND) => return Ok(None),
            Err(refused) if refused.is(ErrorCode::STREAM_NOT_FOUND) => {
                self.lost();
                return Ok(None);
            }
            Err(refused) => return Err(refused.of(&self.shared)),
        };
        let message = StreamMessage::try_from(found.message)
            .map_err(|error| self.shared.problem(NatsProblem::State { reason: error.to_string() }))?;
        let value = (!is_gone(Some(&message.headers))).then_some(message.payload);
        Ok(Some((message.sequence, value)))
    }

    /// Writes, and waits until it is stored. `expected` is the revision that the key has to be at, 0 for none.
    async fn write(
        &self,
        key: &str,
        value: Bytes,
        expected: Option<u64>,
        is_delete: bool,
    ) -> Result<Written> {
        let _writing = self.shared.writing();
        for is_last in [false, true] {
            self.ensure().await?;
            match self.write_once(key, value.clone(), expected, is_delete).await {
                Err(Refused::Lattice(LatticeError::NoResponders { .. })) if !is_last => self.lost(),
                Ok(sequence) => return Ok(Written::At(sequence)),
                Err(refused) if refused.is(ErrorCode::STREAM_WRONG_LAST_SEQUENCE) => {
                    return Ok(Written::WrongRevision);
                }
                Err(refused) => return Err(refused.of(&self.shared)),
            }
        }
        Err(disconnected(&self.name))
    }

    async fn write_once(
        &self,
        key: &str,
        value: Bytes,
        expected: Option<u64>,
        is_delete: bool,
    ) -> Result<u64, Refused> {
        let subject = format!("{}{key}", self.puts);
        let mut headers = HeaderMap::new();
        if let Some(expected) = expected {
            headers.insert(EXPECTED, expected.to_string());
        }
        if is_delete {
            headers.insert(OPERATION, "DEL");
        }
        let request = Request::new().payload(value).headers(headers).timeout(Some(STATE_MAX));
        let late = || LatticeError::Timeout { subject: subject.clone(), after: STATE_MAX };
        let writing = async {
            let sent = self.shared.client.send_request(subject.clone(), request);
            let answer = match tokio::time::timeout(STATE_MAX, sent).await {
                Err(_) => return Err(late()),
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => {
                    return Err(match error.kind() {
                        RequestErrorKind::TimedOut => late(),
                        RequestErrorKind::NoResponders => {
                            LatticeError::NoResponders { subject: subject.clone() }
                        }
                        _ => disconnected(&subject),
                    });
                }
            };
            serde_json::from_slice(&answer.payload)
                .map_err(|error| self.shared.problem(NatsProblem::State { reason: error.to_string() }))
        };
        match self.shared.over(&subject, writing).await {
            Ok(Response::Ok(PublishAck { sequence, .. })) => Ok(sequence),
            Ok(Response::Err { error }) => Err(Refused::Api(error)),
            Err(error) => Err(Refused::Lattice(error)),
        }
    }

    fn check(&self, key: &str, value: &Bytes) -> Result<()> {
        check_key(key)?;
        check_value(value)?;
        // The headers that a write may have.
        let bytes_max = self.shared.client.max_payload().saturating_sub(128);
        if value.len() > bytes_max {
            return Err(LatticeError::TooLarge { what: "a value", bytes: value.len(), bytes_max });
        }
        Ok(())
    }

    async fn wrong_revision<T>(&self, key: &str, expected: u64) -> Result<T> {
        let actual = self.last(key).await?.filter(|(_, value)| value.is_some()).map(|(revision, _)| revision);
        Err(LatticeError::WrongRevision { bucket: self.name.clone(), key: key.to_string(), expected, actual })
    }

    async fn watcher(&self, prefix: &str, begin: Begin) -> Result<Watcher> {
        self.ensure().await?;
        let watcher =
            Watcher::open(self.shared.clone(), &self.name, &self.stream, &self.subjects, prefix, begin);
        let opened = watcher.await;
        if matches!(&opened, Err(LatticeError::Nats { .. })) {
            // Whatever it was: the next call looks whether the stream is there.
            self.lost();
        }
        opened
    }
}

/// Whether a message says that its entry is gone.
pub(super) fn is_gone(headers: Option<&HeaderMap>) -> bool {
    let Some(headers) = headers else { return false };
    let is_operation = |value: &async_nats::HeaderValue| matches!(value.as_str(), "DEL" | "PURGE");
    headers.get(OPERATION).is_some_and(is_operation) || headers.get(MARKER).is_some()
}

#[async_trait]
impl Bucket for JetBucket {
    fn name(&self) -> &str {
        &self.name
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        check_key(key)?;
        let last = self.last(key).await?;
        Ok(last.and_then(|(revision, value)| Some(Entry { key: key.to_string(), value: value?, revision })))
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<u64> {
        self.check(key, &value)?;
        match self.write(key, value, None, false).await? {
            Written::At(revision) => Ok(revision),
            // Nothing was expected.
            Written::WrongRevision => self.wrong_revision(key, 0).await,
        }
    }

    async fn create(&self, key: &str, value: Bytes) -> Result<u64> {
        self.check(key, &value)?;
        let mut expected = 0;
        for _ in 0..CREATES_MAX {
            if let Written::At(revision) = self.write(key, value.clone(), Some(expected), false).await? {
                return Ok(revision);
            }
            match self.last(key).await? {
                Some((revision, Some(_))) => {
                    let (bucket, key) = (self.name.clone(), key.to_string());
                    return Err(LatticeError::KeyExists { bucket, key, revision });
                }
                // The marker of a delete is there.
                Some((revision, None)) => expected = revision,
                None => expected = 0,
            }
        }
        self.wrong_revision(key, expected).await
    }

    async fn update(&self, key: &str, value: Bytes, expected: u64) -> Result<u64> {
        self.check(key, &value)?;
        // JetStream takes 0 as "nothing is there", and no entry is at revision 0.
        if expected == 0 {
            return self.wrong_revision(key, expected).await;
        }
        match self.write(key, value, Some(expected), false).await? {
            Written::At(revision) => Ok(revision),
            Written::WrongRevision => self.wrong_revision(key, expected).await,
        }
    }

    async fn delete(&self, key: &str, expected: Option<u64>) -> Result<()> {
        check_key(key)?;
        if expected.is_none() && self.get(key).await?.is_none() {
            return Ok(());
        }
        if expected == Some(0) {
            return self.wrong_revision(key, 0).await;
        }
        match self.write(key, Bytes::new(), expected, true).await? {
            Written::At(_) => Ok(()),
            Written::WrongRevision => self.wrong_revision(key, expected.unwrap_or_default()).await,
        }
    }

    async fn entries(&self, prefix: &str) -> Result<Vec<Entry>> {
        let reading = async {
            let mut watcher = self.watcher(prefix, Begin::Once).await?;
            let mut all = BTreeMap::new();
            loop {
                match watcher.event().await {
                    Some(WatchEvent::Put(entry)) => drop(all.insert(entry.key.clone(), entry)),
                    Some(WatchEvent::Delete { key, .. }) => drop(all.remove(&key)),
                    Some(WatchEvent::InSync) => return Ok(all.into_values().collect()),
                    None if self.shared.is_closed() => return Err(LatticeError::Closed),
                    None => return Err(disconnected(&self.name)),
                }
            }
        };
        let late = |_| LatticeError::Timeout { subject: self.stream.clone(), after: ENTRIES_MAX };
        tokio::time::timeout(ENTRIES_MAX, reading).await.map_err(late)?
    }

    async fn watch(&self, prefix: &str) -> Result<Watch> {
        Ok(self.watcher(prefix, Begin::All).await?.into_watch())
    }

    async fn watch_from(&self, prefix: &str, after: u64) -> Result<Watch> {
        Ok(self.watcher(prefix, Begin::After(after)).await?.into_watch())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_of_wasmcloud_keep_their_names_and_others_are_of_their_lattice() {
        let lattice = LatticeName::new("default").expect("a name");
        for (name, real) in [
            ("LATTICEDATA_default", "LATTICEDATA_default"),
            ("CONFIGDATA_default", "CONFIGDATA_default"),
            ("LATTICEDATA_other", "UMBEL_default_LATTICEDATA_other"),
            ("umbel_applications", "UMBEL_default_umbel_applications"),
            ("a", "UMBEL_default_a"),
        ] {
            assert_eq!(real_name(&lattice, name), real);
        }
    }
}
