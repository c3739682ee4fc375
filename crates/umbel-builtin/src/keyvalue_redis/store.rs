//! Buckets in Redis: what the contract asks, as calls of the server.

use super::config::{LinkConfig, Settings, Url, is_plain};
use super::connection::{Connection, said};
use super::listen::Listener;
use super::script::{DELETES, FULL, GETS, INCREMENTS, LARGE, SETS, SWAPS, UNCOUNTABLE};
use crate::keyvalue::error::KeyvalueError;
use crate::keyvalue::place::Place;
use crate::keyvalue::serve::Keep;
use crate::keyvalue::store::{CALL_BYTES_MAX, Done, Write, number};
use crate::keyvalue::watch::Watchers;
use bytes::Bytes;
use futures::future::BoxFuture;
use redis::{FromRedisValue, Script, ScriptInvocation};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::link::LinkKey;
use umbel_wit::serve::Link;

type Result<T> = std::result::Result<T, KeyvalueError>;

/// How long the start of a provider waits for its server.
const CHECK_PATIENCE: Duration = Duration::from_secs(1);

/// The connections of a provider, and what it was told.
pub(super) struct Store {
    state: Mutex<State>,
    closed: Arc<AtomicBool>,
}

struct State {
    settings: Arc<Settings>,
    /// The provider's own, and one for each other address that a link names.
    own: Arc<Connection>,
    others: HashMap<Url, Arc<Connection>>,
    by_link: HashMap<LinkKey, Url>,
    listener: Option<Listener>,
}

/// A bucket in a server.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    place: Arc<Place>,
    settings: Arc<Settings>,
    /// None: the provider is gone.
    connection: Option<Arc<Connection>>,
    closed: Arc<AtomicBool>,
    /// The names of its keys, as scripts take them.
    keys: Arc<[String; 5]>,
}

impl Spot {
    fn new(
        place: Arc<Place>,
        settings: Arc<Settings>,
        connection: Arc<Connection>,
        closed: Arc<AtomicBool>,
    ) -> Spot {
        let (owner, bucket) = (escaped(&place.owner), name(&place));
        let prefix = format!("{}:{{{owner}}}", settings.prefix);
        let keys = Arc::new([
            format!("{prefix}:values:{bucket}"),
            format!("{prefix}:versions:{bucket}"),
            format!("{prefix}:order:{bucket}"),
            format!("{prefix}:last"),
            format!("{prefix}:used"),
        ]);
        Spot { place, settings, connection: Some(connection), closed, keys }
    }

    fn connection(&self) -> Result<&Connection> {
        match &self.connection {
            Some(connection) if !self.closed.load(Ordering::Acquire) => Ok(connection),
            _ => Err(KeyvalueError::Closed),
        }
    }

    /// A script that writes, with what all of them take.
    fn writing<'s>(&self, script: &'s Script) -> ScriptInvocation<'s> {
        let mut call = script.prepare_invoke();
        for key in self.keys.iter() {
            call.key(key);
        }
        call.arg(channel(&self.settings))
            .arg(&*self.place.owner)
            .arg(name(&self.place))
            .arg(self.settings.application_bytes_max);
        call
    }

    async fn run<T: FromRedisValue + Send>(&self, call: ScriptInvocation<'_>) -> Result<T> {
        let answer = self
            .connection()?
            .call(|mut connection| async move { call.invoke_async(&mut connection).await })
            .await;
        answer.map_err(|error| match said(&error) {
            Some(FULL) => KeyvalueError::Full {
                whose: "an application".into(),
                bytes_max: self.settings.application_bytes_max,
            },
            Some(LARGE) => KeyvalueError::Batch { max: CALL_BYTES_MAX, unit: "bytes" },
            _ => error,
        })
    }

    /// Counts where the server cannot: beyond 64 bits, or in a text that only we take for a number.
    fn count<'a>(
        &'a self,
        store: &'a Store,
        key: &'a str,
        delta: i128,
        range: RangeInclusive<i128>,
    ) -> BoxFuture<'a, Result<Done>> {
        Box::pin(async move {
            loop {
                let version = store.version(self, key).await?;
                let value = store.get(self, key).await?;
                let found = match &value {
                    Some(value) => number(value).ok_or(KeyvalueError::NotANumber)?,
                    None => 0,
                };
                let sum = found.checked_add(delta).filter(|sum| range.contains(sum));
                let sum = sum.ok_or(KeyvalueError::Overflow { number: found, delta })?;
                let value = Bytes::from(sum.to_string());
                match store.write(self, Write::Swap { key: key.into(), value, version }).await? {
                    Done::Stale(_) => {}
                    _ => return Ok(Done::Number(sum)),
                }
            }
        })
    }
}

/// The bucket's own name, without its owner.
fn name(place: &Place) -> &str {
    place.bucket.get(place.owner.len() + 1..).unwrap_or_default()
}

/// Where changes are told.
pub(super) fn channel(settings: &Settings) -> String {
    format!("{}:changes", settings.prefix)
}

fn escaped(owner: &str) -> String {
    let mut text = String::with_capacity(owner.len());
    for byte in owner.bytes() {
        if is_plain(byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a string takes everything");
        }
    }
    text
}

impl Store {
    pub(super) fn new(settings: Settings) -> Result<Store> {
        let own = Arc::new(Connection::new(&settings.url, settings.timeout)?);
        let state = State {
            settings: Arc::new(settings),
            own,
            others: HashMap::new(),
            by_link: HashMap::new(),
            listener: None,
        };
        Ok(Store { state: Mutex::new(state), closed: Arc::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It is whole after every statement that changes it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other settings. A connection to another address, or with another deadline, is made anew.
    pub(super) fn set(&self, settings: Settings) -> Result<()> {
        let mut state = self.state();
        let former = state.settings.clone();
        if former.url != settings.url || former.timeout != settings.timeout {
            state.own = Arc::new(Connection::new(&settings.url, settings.timeout)?);
            if former.timeout != settings.timeout {
                let urls: Vec<Url> = state.others.keys().cloned().collect();
                for url in urls {
                    let connection = Arc::new(Connection::new(&url, settings.timeout)?);
                    state.others.insert(url, connection);
                }
            }
        }
        if former.url != settings.url || former.prefix != settings.prefix {
            state.listener = None;
        }
        state.settings = Arc::new(settings);
        Ok(())
    }

    /// The link is there, or has changed.
    pub(super) fn put_link(&self, key: LinkKey, url: Option<&Url>) -> Result<()> {
        let mut state = self.state();
        match url {
            Some(url) if !state.others.contains_key(url) => {
                let connection = Arc::new(Connection::new(url, state.settings.timeout)?);
                state.others.insert(url.clone(), connection);
                state.by_link.insert(key, url.clone());
            }
            Some(url) => drop(state.by_link.insert(key, url.clone())),
            None => drop(state.by_link.remove(&key)),
        }
        state.tidy();
        Ok(())
    }

    pub(super) fn del_link(&self, key: &LinkKey) {
        let mut state = self.state();
        state.by_link.remove(key);
        state.tidy();
    }

    /// A bucket that a watcher is told of.
    pub(super) fn default_spot(&self, place: Arc<Place>) -> Spot {
        let state = self.state();
        Spot::new(place, state.settings.clone(), state.own.clone(), self.closed.clone())
    }

    /// Listens for changes, if somebody watches and nothing listens yet. Returns when changes are heard of, or after the time of
    /// a call: a server that is not there yet is listened to later.
    pub(super) async fn listen(&self, watchers: &Arc<Watchers>) {
        let (mut listens, timeout) = {
            let mut state = self.state();
            if watchers.is_empty() {
                return;
            }
            let (client, channel) = (state.own.client().clone(), channel(&state.settings));
            let start = || Listener::start(client, channel, watchers.clone());
            (state.listener.get_or_insert_with(start).listens(), state.settings.timeout)
        };
        drop(tokio::time::timeout(timeout, listens.wait_for(|listens| *listens)).await);
    }

    /// Asks the server something, so that it is known whether it answers.
    pub(super) async fn check(&self) {
        let own = self.state().own.clone();
        let asked = own.call(|mut connection| async move {
            redis::cmd("PING").query_async::<String>(&mut connection).await
        });
        // The log has why; calls will tell whoever makes them.
        if tokio::time::timeout(CHECK_PATIENCE, asked).await.is_err() {
            own.lost();
        }
    }

    /// Why it does not serve, if it does not.
    pub(super) fn failure(&self) -> Option<Problem> {
        self.state().own.failure()
    }

    /// Calls under way finish by themselves, within their deadlines.
    pub(super) async fn close(&self, deadline: Duration) {
        self.closed.store(true, Ordering::Release);
        let listener = self.state().listener.take();
        if let Some(listener) = listener {
            listener.stop(deadline).await;
        }
    }
}

impl State {
    /// Closes what no link names any more.
    fn tidy(&mut self) {
        let State { others, by_link, .. } = self;
        others.retain(|url, _| by_link.values().any(|used| used == url));
    }
}

impl Keep for Store {
    type Place = Spot;

    fn open(&self, link: &Link, name: &str) -> Result<Spot> {
        let config = LinkConfig::read(&link.values)?;
        let place = Place::new(&config.target, link.application.as_deref(), &link.source_id, name)?;
        let mut state = self.state();
        let connection = match &config.url {
            None => state.own.clone(),
            // A call may be here before its link is.
            Some(url) => match state.others.get(url) {
                Some(connection) => connection.clone(),
                None => {
                    let connection = Arc::new(Connection::new(url, state.settings.timeout)?);
                    state.others.insert(url.clone(), connection.clone());
                    connection
                }
            },
        };
        Ok(Spot::new(Arc::new(place), state.settings.clone(), connection, self.closed.clone()))
    }

    fn value_bytes_max(&self) -> usize {
        self.state().settings.value_bytes_max
    }

    fn page_keys_max(&self) -> usize {
        self.state().settings.page_keys_max
    }

    async fn get(&self, spot: &Spot, key: &str) -> Result<Option<Bytes>> {
        let mut get = redis::cmd("HGET");
        get.arg(&spot.keys[0]).arg(key);
        let found: Option<Vec<u8>> = spot
            .connection()?
            .call(|mut connection| async move { get.query_async(&mut connection).await })
            .await?;
        Ok(found.map(Bytes::from))
    }

    async fn get_many(&self, spot: &Spot, keys: &[String]) -> Result<Vec<Option<Bytes>>> {
        let mut call = GETS.prepare_invoke();
        call.key(&spot.keys[0]).arg(CALL_BYTES_MAX);
        for key in keys {
            call.arg(key);
        }
        let found: Vec<Option<Vec<u8>>> = spot.run(call).await?;
        Ok(found.into_iter().map(|value| value.map(Bytes::from)).collect())
    }

    async fn version(&self, spot: &Spot, key: &str) -> Result<u64> {
        let mut get = redis::cmd("HGET");
        get.arg(&spot.keys[1]).arg(key);
        let found: Option<u64> = spot
            .connection()?
            .call(|mut connection| async move { get.query_async(&mut connection).await })
            .await?;
        Ok(found.unwrap_or(0))
    }

    async fn keys(&self, spot: &Spot, after: u64, max: usize) -> Result<(Vec<String>, Option<u64>)> {
        let mut list = redis::cmd("ZRANGEBYSCORE");
        list.arg(&spot.keys[2]).arg(format!("({after}")).arg("+inf").arg("WITHSCORES");
        // One more than asked for, so that it is known whether there is more.
        list.arg("LIMIT").arg(0).arg(max + 1);
        let mut found: Vec<(String, f64)> = spot
            .connection()?
            .call(|mut connection| async move { list.query_async(&mut connection).await })
            .await?;
        let more = found.len() > max;
        found.truncate(max);
        // Whole numbers below 2^53, as scripts write them.
        let next = found.last().filter(|_| more).map(|(_, score)| *score as u64);
        Ok((found.into_iter().map(|(key, _)| key).collect(), next))
    }

    async fn write(&self, spot: &Spot, write: Write) -> Result<Done> {
        match write {
            Write::Set(items) => {
                let mut call = spot.writing(&SETS);
                for (key, value) in &items {
                    call.arg(key).arg(&value[..]);
                }
                spot.run::<()>(call).await.map(|()| Done::Nothing)
            }
            Write::Delete(keys) => {
                let mut call = spot.writing(&DELETES);
                for key in &keys {
                    call.arg(key);
                }
                spot.run::<()>(call).await.map(|()| Done::Nothing)
            }
            Write::Increment { key, delta, min, max } => {
                let mut call = spot.writing(&INCREMENTS);
                call.arg(&key).arg(delta.to_string()).arg(if min == 0 { "0" } else { "" });
                match spot.run::<String>(call).await {
                    Ok(sum) => number(sum.as_bytes()).map(Done::Number).ok_or(KeyvalueError::NotANumber),
                    Err(error) if said(&error) == Some(UNCOUNTABLE) => {
                        let counted = spot.count(self, &key, delta, min..=max);
                        let counted = tokio::time::timeout(spot.settings.timeout, counted).await;
                        counted.unwrap_or(Err(error))
                    }
                    Err(error) => Err(error),
                }
            }
            Write::Swap { key, value, version } => {
                let mut call = spot.writing(&SWAPS);
                call.arg(&key).arg(&value[..]).arg(version.to_string());
                let found: String = spot.run(call).await?;
                match found.as_str() {
                    "" => Ok(Done::Nothing),
                    found => Ok(Done::Stale(found.parse().unwrap_or(0))),
                }
            }
        }
    }
}

/// Scripts are compiled by the server at their first use; here they are only named, so that a misspelt one is noticed early.
#[cfg(test)]
#[test]
fn scripts_have_names_of_their_own() {
    let hashes = [&*SETS, &*DELETES, &*INCREMENTS, &*SWAPS, &*GETS].map(Script::get_hash);
    let distinct: std::collections::HashSet<_> = hashes.iter().collect();
    assert_eq!(distinct.len(), hashes.len());
    for said in [FULL, LARGE, UNCOUNTABLE] {
        assert!(said.starts_with("UMBEL"));
    }
}
