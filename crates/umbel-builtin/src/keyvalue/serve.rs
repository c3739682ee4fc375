//! The functions of `wasi:keyvalue`, as values of WIT.
//!
//! Two drafts are in use, and a call says which one its component was built with:
//!
//! | | `0.2.0-draft` | `0.2.0-draft2` |
//! |---|---|---|
//! | cursor of `list-keys` | `u64` | `string` |
//! | delta and result of `increment` | `u64` | `s64` |
//! | `cas`, `swap` | no | yes |

use super::config::Target;
use super::error::KeyvalueError;
use super::place::Place;
use super::store::{CALL_BYTES_MAX, Done, Store, Write};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_wit::serve::{Args, Link};
use umbel_wit::value::Resource;
use umbel_wit::{Call, Serve, Value};

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 1_024;

/// How long a batch reads without letting others have the thread.
const TURN_MAX: Duration = Duration::from_millis(1);

/// Most keys of one batch.
const BATCH_KEYS_MAX: usize = 10_000;

/// What keeps keys and values. Limits of keys, values and batches are checked before it is asked.
pub(crate) trait Keep: Send + Sync + 'static {
    /// Where a bucket is.
    type Place: Clone + Send + Sync + 'static;

    /// The bucket that `name` means over this link.
    fn open(&self, link: &Link, name: &str) -> Result<Self::Place, KeyvalueError>;

    /// The largest value, in bytes.
    fn value_bytes_max(&self) -> usize;

    /// How many keys `list-keys` returns at a time.
    fn page_keys_max(&self) -> usize;

    /// A value.
    fn get(&self, place: &Self::Place, key: &str) -> impl Future<Output = Read<Option<Bytes>>> + Send;

    /// Values in the order of the keys, or an error if they have more than [`CALL_BYTES_MAX`] together.
    fn get_many(
        &self,
        place: &Self::Place,
        keys: &[String],
    ) -> impl Future<Output = Read<Vec<Option<Bytes>>>> + Send;

    /// The version of an entry, 0 if there is none. No version of a key comes twice, and a write gives another one.
    fn version(&self, place: &Self::Place, key: &str) -> impl Future<Output = Read<u64>> + Send;

    /// At most `max` keys that were made after `after`, in that order, and where to go on.
    fn keys(
        &self,
        place: &Self::Place,
        after: u64,
        max: usize,
    ) -> impl Future<Output = Read<(Vec<String>, Option<u64>)>> + Send;

    /// A write, as a whole or not at all.
    fn write(&self, place: &Self::Place, write: Write) -> impl Future<Output = Read<Done>> + Send;
}

type Read<T> = Result<T, KeyvalueError>;

/// The embedded store.
pub(super) struct Embedded(pub(super) Arc<Store>);

/// A bucket in the store that it was opened in, wherever the link leads by then.
#[derive(Clone)]
pub(super) struct Spot {
    pub(super) store: Arc<Store>,
    pub(super) place: Arc<Place>,
}

impl Keep for Embedded {
    type Place = Spot;

    fn open(&self, link: &Link, name: &str) -> Read<Spot> {
        let target = Target::read(&link.values)?;
        let place = Place::new(&target, link.application.as_deref(), &link.source_id, name)?;
        Ok(Spot { store: self.0.clone(), place: Arc::new(place) })
    }

    fn value_bytes_max(&self) -> usize {
        self.0.settings().value_bytes_max
    }

    fn page_keys_max(&self) -> usize {
        self.0.settings().page_keys_max
    }

    async fn get(&self, spot: &Spot, key: &str) -> Read<Option<Bytes>> {
        let stored = spot.store.read(|view| view.get(&spot.place.bucket, key))?;
        Ok(stored.map(|stored| stored.value))
    }

    async fn get_many(&self, spot: &Spot, keys: &[String]) -> Read<Vec<Option<Bytes>>> {
        let mut bytes = 0;
        let mut found = Vec::with_capacity(keys.len());
        let mut begun = Instant::now();
        for key in keys {
            if begun.elapsed() > TURN_MAX {
                // Others on this thread come first: no epoch interrupts the host.
                tokio::task::yield_now().await;
                begun = Instant::now();
            }
            // One by one, so that the limit is kept before the memory is used; not one snapshot, which the contract does not ask
            // for.
            let stored = spot.store.read(|view| view.get(&spot.place.bucket, key))?;
            bytes += stored.as_ref().map_or(0, |stored| stored.value.len());
            check_bytes(bytes)?;
            found.push(stored.map(|stored| stored.value));
        }
        Ok(found)
    }

    async fn version(&self, spot: &Spot, key: &str) -> Read<u64> {
        spot.store.read(|view| view.version(&spot.place.bucket, key))
    }

    async fn keys(&self, spot: &Spot, after: u64, max: usize) -> Read<(Vec<String>, Option<u64>)> {
        spot.store.read(|view| view.keys(&spot.place.bucket, after, max))
    }

    async fn write(&self, spot: &Spot, write: Write) -> Read<Done> {
        spot.store.write(spot.place.clone(), write).await
    }
}

/// An open bucket: a resource of the contract.
pub(crate) struct Bucket<P> {
    pub(crate) place: P,
}

/// A compare-and-swap that was begun: it succeeds while the entry has this version.
struct Cas<P> {
    place: P,
    key: String,
    version: u64,
}

/// Which draft of the contract a component was built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Draft {
    One,
    Two,
}

impl Draft {
    fn of(call: &Call) -> Draft {
        // What says nothing is as old as the contract.
        let newer = call.version.as_ref().is_some_and(|version| version.pre.as_str() != "draft");
        if newer { Draft::Two } else { Draft::One }
    }
}

/// Serves the contract from whatever keeps the entries.
pub(crate) struct Server<K> {
    keep: Arc<K>,
}

impl<K: Keep> Server<K> {
    pub(crate) fn new(keep: Arc<K>) -> Server<K> {
        Server { keep }
    }
}

impl<K: Keep> Serve for Server<K> {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let keep = self.keep.clone();
        Box::pin(async move { answer(&*keep, call).await.map(Some) })
    }
}

type Outcome = Result<Option<Value>, KeyvalueError>;

/// The `result<_, error>` of the contract.
fn result(outcome: Outcome) -> Value {
    Value::Result(match outcome {
        Ok(value) => Ok(value.map(Box::new)),
        Err(error) => Err(Some(Box::new(error.value()))),
    })
}

async fn answer<K: Keep>(keep: &K, call: Call) -> Result<Value, Problem> {
    let draft = Draft::of(&call);
    let mut args = Args::new(&call.function, call.args);
    let args = &mut args;
    let outcome = match (&*call.interface, &*call.function) {
        ("wasi:keyvalue/store", "open") => open(keep, &call.link, &args.string()?),
        ("wasi:keyvalue/store", "[method]bucket.get") => get(keep, &bucket(args)?, &args.string()?).await,
        ("wasi:keyvalue/store", "[method]bucket.exists") => {
            exists(keep, &bucket(args)?, &args.string()?).await
        }
        ("wasi:keyvalue/store", "[method]bucket.list-keys") => {
            list(keep, draft, &bucket(args)?, args.option()?).await
        }
        ("wasi:keyvalue/store", "[method]bucket.set") => {
            let (place, item) = (bucket::<K::Place>(args)?, (args.string()?, args.bytes()?));
            set(keep, &place, vec![item]).await
        }
        ("wasi:keyvalue/store", "[method]bucket.delete") => {
            let (place, key) = (bucket::<K::Place>(args)?, args.string()?);
            delete(keep, &place, vec![key]).await
        }
        ("wasi:keyvalue/batch", "get-many") => get_many(keep, &bucket(args)?, args.strings()?).await,
        ("wasi:keyvalue/batch", "set-many") => {
            let (place, items) = (bucket::<K::Place>(args)?, items(args)?);
            set(keep, &place, items).await
        }
        ("wasi:keyvalue/batch", "delete-many") => {
            let (place, keys) = (bucket::<K::Place>(args)?, args.strings()?);
            delete(keep, &place, keys).await
        }
        ("wasi:keyvalue/atomics", "increment") => {
            let (place, key) = (bucket::<K::Place>(args)?, args.string()?);
            match draft {
                Draft::One => increment(keep, draft, &place, key, args.u64()?.into()).await,
                Draft::Two => increment(keep, draft, &place, key, args.s64()?.into()).await,
            }
        }
        ("wasi:keyvalue/atomics", "[static]cas.new") => begin_swap(keep, bucket(args)?, args.string()?).await,
        ("wasi:keyvalue/atomics", "[method]cas.current") => {
            let cas = args.resource::<Cas<K::Place>>()?;
            get(keep, &cas.place, &cas.key).await
        }
        ("wasi:keyvalue/atomics", "swap") => {
            let (cas, value) = (args.resource::<Cas<K::Place>>()?, args.bytes()?);
            return Ok(swap(keep, &cas, value).await);
        }
        (interface, function) => {
            let message = format!("`keyvalue` does not serve `{function}` of `{interface}`");
            return Err(Problem::new(guest::UNSUPPORTED_CALL, message));
        }
    };
    Ok(result(outcome))
}

fn bucket<P: Clone + Send + Sync + 'static>(args: &mut Args) -> Result<P, Problem> {
    Ok(args.resource::<Bucket<P>>()?.place.clone())
}

/// A list of keys with their values.
fn items(args: &mut Args) -> Result<Vec<(String, Bytes)>, Problem> {
    let pair = |value| match value {
        Value::Tuple(parts) => match <[Value; 2]>::try_from(parts) {
            Ok([Value::String(key), Value::Bytes(value)]) => Ok((key, value)),
            _ => Err(args_mismatch()),
        },
        _ => Err(args_mismatch()),
    };
    args.list()?.into_iter().map(pair).collect()
}

fn args_mismatch() -> Problem {
    Problem::new(
        guest::CONTRACT_MISMATCH,
        "`set-many` was called without a list of keys and values where it takes it",
    )
}

fn open<K: Keep>(keep: &K, link: &Link, name: &str) -> Outcome {
    let place = keep.open(link, name)?;
    Ok(Some(Value::Own(Resource::new(Bucket { place }))))
}

fn check_key(key: &str) -> Result<(), KeyvalueError> {
    match key.len() {
        bytes if bytes > KEY_BYTES_MAX => Err(KeyvalueError::Key { bytes, bytes_max: KEY_BYTES_MAX }),
        _ => Ok(()),
    }
}

fn check_keys<'k>(mut keys: impl ExactSizeIterator<Item = &'k String>) -> Result<(), KeyvalueError> {
    if keys.len() > BATCH_KEYS_MAX {
        return Err(KeyvalueError::Batch { max: BATCH_KEYS_MAX, unit: "keys" });
    }
    keys.try_for_each(|key| check_key(key))
}

fn check_bytes(bytes: usize) -> Result<(), KeyvalueError> {
    if bytes > CALL_BYTES_MAX {
        return Err(KeyvalueError::Batch { max: CALL_BYTES_MAX, unit: "bytes" });
    }
    Ok(())
}

async fn get<K: Keep>(keep: &K, place: &K::Place, key: &str) -> Outcome {
    check_key(key)?;
    let value = keep.get(place, key).await?;
    Ok(Some(Value::Option(value.map(|value| Box::new(Value::Bytes(value))))))
}

async fn exists<K: Keep>(keep: &K, place: &K::Place, key: &str) -> Outcome {
    check_key(key)?;
    Ok(Some((keep.version(place, key).await? > 0).into()))
}

async fn list<K: Keep>(keep: &K, draft: Draft, place: &K::Place, cursor: Option<Value>) -> Outcome {
    let after = match cursor {
        None => 0,
        Some(Value::U64(after)) => after,
        Some(Value::String(text)) => text.parse().map_err(|_| {
            let text = text.chars().take(60).flat_map(char::escape_debug).collect();
            KeyvalueError::Cursor { text }
        })?,
        Some(_) => return Err(KeyvalueError::Cursor { text: "of another type".into() }),
    };
    let (keys, next) = keep.keys(place, after, keep.page_keys_max()).await?;
    let next = next.map(|next| match draft {
        Draft::One => Box::new(next.into()),
        Draft::Two => Box::new(next.to_string().into()),
    });
    let keys = keys.into_iter().map(Value::String).collect();
    Ok(Some(Value::Record(vec![Value::List(keys), Value::Option(next)])))
}

async fn get_many<K: Keep>(keep: &K, place: &K::Place, keys: Vec<String>) -> Outcome {
    check_keys(keys.iter())?;
    let found = keep.get_many(place, &keys).await?;
    let pair = |(key, value)| match value {
        Some(value) => {
            Value::Option(Some(Box::new(Value::Tuple(vec![Value::String(key), Value::Bytes(value)]))))
        }
        None => Value::Option(None),
    };
    Ok(Some(Value::List(keys.into_iter().zip(found).map(pair).collect())))
}

async fn set<K: Keep>(keep: &K, place: &K::Place, mut items: Vec<(String, Bytes)>) -> Outcome {
    check_keys(items.iter().map(|(key, _)| key))?;
    for (_, value) in &items {
        check_value(keep, value)?;
    }
    check_bytes(items.iter().map(|(key, value)| key.len() + value.len()).sum())?;
    if items.len() > 1 {
        keep_last(&mut items);
    }
    keep.write(place, Write::Set(items)).await.map(|_| None)
}

fn check_value<K: Keep>(keep: &K, value: &Bytes) -> Result<(), KeyvalueError> {
    let bytes_max = keep.value_bytes_max();
    match value.len() {
        bytes if bytes > bytes_max => Err(KeyvalueError::Value { bytes, bytes_max }),
        _ => Ok(()),
    }
}

/// Of a key that stands twice the last value counts.
fn keep_last(items: &mut Vec<(String, Bytes)>) {
    let last: HashMap<String, usize> =
        items.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
    let mut place = 0;
    items.retain(|(key, _)| {
        place += 1;
        last.get(key) == Some(&(place - 1))
    });
}

async fn delete<K: Keep>(keep: &K, place: &K::Place, keys: Vec<String>) -> Outcome {
    check_keys(keys.iter())?;
    keep.write(place, Write::Delete(keys)).await.map(|_| None)
}

async fn increment<K: Keep>(keep: &K, draft: Draft, place: &K::Place, key: String, delta: i128) -> Outcome {
    check_key(&key)?;
    let (min, max) = match draft {
        Draft::One => (0, u64::MAX.into()),
        Draft::Two => (i64::MIN.into(), i64::MAX.into()),
    };
    let done = keep.write(place, Write::Increment { key, delta, min, max }).await?;
    let Done::Number(number) = done else { return Err(KeyvalueError::NotANumber) };
    let overflow = |_| KeyvalueError::Overflow { number, delta };
    Ok(Some(match draft {
        Draft::One => Value::U64(number.try_into().map_err(overflow)?),
        Draft::Two => Value::S64(number.try_into().map_err(overflow)?),
    }))
}

async fn begin_swap<K: Keep>(keep: &K, place: K::Place, key: String) -> Outcome {
    check_key(&key)?;
    let version = keep.version(&place, &key).await?;
    Ok(Some(Value::Own(Resource::new(Cas { place, key, version }))))
}

/// `result<_, cas-error>`.
async fn swap<K: Keep>(keep: &K, cas: &Cas<K::Place>, value: Bytes) -> Value {
    const STORE_ERROR: u32 = 0;
    const CAS_FAILED: u32 = 1;
    let (key, version) = (cas.key.clone(), cas.version);
    let done = match check_value(keep, &value) {
        Ok(()) => keep.write(&cas.place, Write::Swap { key, value, version }).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(Done::Stale(version)) => {
            let fresh = Cas { place: cas.place.clone(), key: cas.key.clone(), version };
            Value::err(Value::case(CAS_FAILED, Value::Own(Resource::new(fresh))))
        }
        Ok(_) => Value::unit(),
        Err(error) => Value::err(Value::case(STORE_ERROR, error.value())),
    }
}
