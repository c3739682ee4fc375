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

/// An open bucket: a resource of the contract. It stays in the store that it was opened in, wherever the link leads by then.
pub(super) struct Bucket {
    pub(super) store: Arc<Store>,
    pub(super) place: Arc<Place>,
}

/// A compare-and-swap that was begun: it succeeds while the entry has this version.
struct Cas {
    bucket: Arc<Bucket>,
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

/// Serves the contract from a store.
pub(super) struct Server {
    store: Arc<Store>,
}

impl Server {
    pub(super) fn new(store: Arc<Store>) -> Server {
        Server { store }
    }
}

impl Serve for Server {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let store = self.store.clone();
        Box::pin(async move { answer(&store, call).await.map(Some) })
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

async fn answer(store: &Arc<Store>, call: Call) -> Result<Value, Problem> {
    let draft = Draft::of(&call);
    let mut args = Args::new(&call.function, call.args);
    let args = &mut args;
    let outcome = match (&*call.interface, &*call.function) {
        ("wasi:keyvalue/store", "open") => open(store, &call.link, &args.string()?),
        ("wasi:keyvalue/store", "[method]bucket.get") => get(&*bucket(args)?, &args.string()?),
        ("wasi:keyvalue/store", "[method]bucket.exists") => exists(&*bucket(args)?, &args.string()?),
        ("wasi:keyvalue/store", "[method]bucket.list-keys") => list(draft, &*bucket(args)?, args.option()?),
        ("wasi:keyvalue/store", "[method]bucket.set") => {
            let (bucket, item) = (bucket(args)?, (args.string()?, args.bytes()?));
            set(&bucket, vec![item]).await
        }
        ("wasi:keyvalue/store", "[method]bucket.delete") => {
            let (bucket, key) = (bucket(args)?, args.string()?);
            delete(&bucket, vec![key]).await
        }
        ("wasi:keyvalue/batch", "get-many") => get_many(&*bucket(args)?, args.strings()?).await,
        ("wasi:keyvalue/batch", "set-many") => {
            let (bucket, items) = (bucket(args)?, items(args)?);
            set(&bucket, items).await
        }
        ("wasi:keyvalue/batch", "delete-many") => {
            let (bucket, keys) = (bucket(args)?, args.strings()?);
            delete(&bucket, keys).await
        }
        ("wasi:keyvalue/atomics", "increment") => {
            let (bucket, key) = (bucket(args)?, args.string()?);
            match draft {
                Draft::One => increment(draft, &bucket, key, args.u64()?.into()).await,
                Draft::Two => increment(draft, &bucket, key, args.s64()?.into()).await,
            }
        }
        ("wasi:keyvalue/atomics", "[static]cas.new") => begin_swap(bucket(args)?, args.string()?),
        ("wasi:keyvalue/atomics", "[method]cas.current") => {
            let cas = args.resource::<Cas>()?;
            get(&cas.bucket, &cas.key)
        }
        ("wasi:keyvalue/atomics", "swap") => {
            let (cas, value) = (args.resource::<Cas>()?, args.bytes()?);
            return Ok(swap(&cas, value).await);
        }
        (interface, function) => {
            let message = format!("`keyvalue` does not serve `{function}` of `{interface}`");
            return Err(Problem::new(guest::UNSUPPORTED_CALL, message));
        }
    };
    Ok(result(outcome))
}

fn bucket(args: &mut Args) -> Result<Arc<Bucket>, Problem> {
    args.resource::<Bucket>()
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

fn open(store: &Arc<Store>, link: &Link, name: &str) -> Outcome {
    let target = Target::read(&link.values)?;
    let place = Place::new(&target, link.application.as_deref(), &link.source_id, name)?;
    Ok(Some(Value::Own(Resource::new(Bucket { store: store.clone(), place: Arc::new(place) }))))
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

fn get(bucket: &Bucket, key: &str) -> Outcome {
    check_key(key)?;
    let stored = bucket.store.read(|view| view.get(&bucket.place.bucket, key))?;
    Ok(Some(Value::Option(stored.map(|stored| Box::new(Value::Bytes(stored.value))))))
}

fn exists(bucket: &Bucket, key: &str) -> Outcome {
    check_key(key)?;
    let version = bucket.store.read(|view| view.version(&bucket.place.bucket, key))?;
    Ok(Some((version > 0).into()))
}

fn list(draft: Draft, bucket: &Bucket, cursor: Option<Value>) -> Outcome {
    let after = match cursor {
        None => 0,
        Some(Value::U64(after)) => after,
        Some(Value::String(text)) => text.parse().map_err(|_| {
            let text = text.chars().take(60).flat_map(char::escape_debug).collect();
            KeyvalueError::Cursor { text }
        })?,
        Some(_) => return Err(KeyvalueError::Cursor { text: "of another type".into() }),
    };
    let max = bucket.store.settings().page_keys_max;
    let (keys, next) = bucket.store.read(|view| view.keys(&bucket.place.bucket, after, max))?;
    let next = next.map(|next| match draft {
        Draft::One => Box::new(next.into()),
        Draft::Two => Box::new(next.to_string().into()),
    });
    let keys = keys.into_iter().map(Value::String).collect();
    Ok(Some(Value::Record(vec![Value::List(keys), Value::Option(next)])))
}

async fn get_many(bucket: &Bucket, keys: Vec<String>) -> Outcome {
    check_keys(keys.iter())?;
    let mut bytes = 0;
    let mut found = Vec::with_capacity(keys.len());
    let mut begun = Instant::now();
    for key in keys {
        if begun.elapsed() > TURN_MAX {
            // Others on this thread come first: no epoch interrupts the host.
            tokio::task::yield_now().await;
            begun = Instant::now();
        }
        // One by one, so that the limit is kept before the memory is used; not one snapshot, which the contract does not ask for.
        let stored = bucket.store.read(|view| view.get(&bucket.place.bucket, &key))?;
        bytes += stored.as_ref().map_or(0, |stored| stored.value.len());
        check_bytes(bytes)?;
        let pair = |value| Box::new(Value::Tuple(vec![Value::String(key), Value::Bytes(value)]));
        found.push(Value::Option(stored.map(|stored| pair(stored.value))));
    }
    Ok(Some(Value::List(found)))
}

async fn set(bucket: &Bucket, mut items: Vec<(String, Bytes)>) -> Outcome {
    check_keys(items.iter().map(|(key, _)| key))?;
    for (_, value) in &items {
        check_value(&bucket.store, value)?;
    }
    check_bytes(items.iter().map(|(key, value)| key.len() + value.len()).sum())?;
    if items.len() > 1 {
        keep_last(&mut items);
    }
    bucket.store.write(bucket.place.clone(), Write::Set(items)).await.map(|_| None)
}

fn check_value(store: &Store, value: &Bytes) -> Result<(), KeyvalueError> {
    let bytes_max = store.settings().value_bytes_max;
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

async fn delete(bucket: &Bucket, keys: Vec<String>) -> Outcome {
    check_keys(keys.iter())?;
    bucket.store.write(bucket.place.clone(), Write::Delete(keys)).await.map(|_| None)
}

async fn increment(draft: Draft, bucket: &Bucket, key: String, delta: i128) -> Outcome {
    check_key(&key)?;
    let (min, max) = match draft {
        Draft::One => (0, u64::MAX.into()),
        Draft::Two => (i64::MIN.into(), i64::MAX.into()),
    };
    let write = Write::Increment { key, delta, min, max };
    let done = bucket.store.write(bucket.place.clone(), write).await?;
    let Done::Number(number) = done else { return Err(KeyvalueError::NotANumber) };
    let overflow = |_| KeyvalueError::Overflow { number, delta };
    Ok(Some(match draft {
        Draft::One => Value::U64(number.try_into().map_err(overflow)?),
        Draft::Two => Value::S64(number.try_into().map_err(overflow)?),
    }))
}

fn begin_swap(bucket: Arc<Bucket>, key: String) -> Outcome {
    check_key(&key)?;
    let version = bucket.store.read(|view| view.version(&bucket.place.bucket, &key))?;
    Ok(Some(Value::Own(Resource::new(Cas { bucket, key, version }))))
}

/// `result<_, cas-error>`.
async fn swap(cas: &Cas, value: Bytes) -> Value {
    const STORE_ERROR: u32 = 0;
    const CAS_FAILED: u32 = 1;
    let (key, version) = (cas.key.clone(), cas.version);
    let bucket = &cas.bucket;
    let done = match check_value(&bucket.store, &value) {
        Ok(()) => bucket.store.write(bucket.place.clone(), Write::Swap { key, value, version }).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(Done::Stale(version)) => {
            let fresh = Cas { bucket: bucket.clone(), key: cas.key.clone(), version };
            Value::err(Value::case(CAS_FAILED, Value::Own(Resource::new(fresh))))
        }
        Ok(_) => Value::unit(),
        Err(error) => Value::err(Value::case(STORE_ERROR, error.value())),
    }
}
