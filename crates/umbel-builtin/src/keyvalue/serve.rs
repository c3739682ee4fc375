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
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_wit::serve::{Args, Link};
use umbel_wit::value::Resource;
use umbel_wit::{Call, Serve, Value};

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 1_024;

/// Most keys of one batch.
const BATCH_KEYS_MAX: usize = 10_000;

/// An open bucket: a resource of the contract.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) place: Arc<Place>,
}

/// A compare-and-swap that was begun: it succeeds while the entry has this version.
#[derive(Debug)]
struct Cas {
    place: Arc<Place>,
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

async fn answer(store: &Store, call: Call) -> Result<Value, Problem> {
    let draft = Draft::of(&call);
    let mut args = Args::new(&call.function, call.args);
    let args = &mut args;
    let outcome = match (&*call.interface, &*call.function) {
        ("wasi:keyvalue/store", "open") => open(&call.link, &args.string()?),
        ("wasi:keyvalue/store", "[method]bucket.get") => get(store, bucket(args)?, &args.string()?),
        ("wasi:keyvalue/store", "[method]bucket.exists") => exists(store, bucket(args)?, &args.string()?),
        ("wasi:keyvalue/store", "[method]bucket.list-keys") => {
            list(store, draft, bucket(args)?, args.option()?)
        }
        ("wasi:keyvalue/store", "[method]bucket.set") => {
            let (place, item) = (bucket(args)?, (args.string()?, args.bytes()?));
            set(store, place, vec![item]).await
        }
        ("wasi:keyvalue/store", "[method]bucket.delete") => {
            let (place, key) = (bucket(args)?, args.string()?);
            delete(store, place, vec![key]).await
        }
        ("wasi:keyvalue/batch", "get-many") => get_many(store, bucket(args)?, args.strings()?),
        ("wasi:keyvalue/batch", "set-many") => {
            let (place, items) = (bucket(args)?, items(args)?);
            set(store, place, items).await
        }
        ("wasi:keyvalue/batch", "delete-many") => {
            let (place, keys) = (bucket(args)?, args.strings()?);
            delete(store, place, keys).await
        }
        ("wasi:keyvalue/atomics", "increment") => {
            let (place, key) = (bucket(args)?, args.string()?);
            match draft {
                Draft::One => increment(store, draft, place, key, args.u64()?.into()).await,
                Draft::Two => increment(store, draft, place, key, args.s64()?.into()).await,
            }
        }
        ("wasi:keyvalue/atomics", "[static]cas.new") => begin_swap(store, bucket(args)?, args.string()?),
        ("wasi:keyvalue/atomics", "[method]cas.current") => {
            let cas = args.resource::<Cas>()?;
            get(store, cas.place.clone(), &cas.key)
        }
        ("wasi:keyvalue/atomics", "swap") => {
            let (cas, value) = (args.resource::<Cas>()?, args.bytes()?);
            return Ok(swap(store, &cas, value).await);
        }
        (interface, function) => {
            let message = format!("`keyvalue` does not serve `{function}` of `{interface}`");
            return Err(Problem::new(guest::UNSUPPORTED_CALL, message));
        }
    };
    Ok(result(outcome))
}

fn bucket(args: &mut Args) -> Result<Arc<Place>, Problem> {
    Ok(args.resource::<Bucket>()?.place.clone())
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

fn open(link: &Link, name: &str) -> Outcome {
    let target = Target::read(&link.values)?;
    let place = Place::new(&target, link.application.as_deref(), &link.source_id, name)?;
    Ok(Some(Value::Own(Resource::new(Bucket { place: Arc::new(place) }))))
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

fn get(store: &Store, place: Arc<Place>, key: &str) -> Outcome {
    check_key(key)?;
    let stored = store.read(|view| view.get(&place.bucket, key))?;
    Ok(Some(Value::Option(stored.map(|stored| Box::new(Value::Bytes(stored.value))))))
}

fn exists(store: &Store, place: Arc<Place>, key: &str) -> Outcome {
    check_key(key)?;
    let version = store.read(|view| view.version(&place.bucket, key))?;
    Ok(Some((version > 0).into()))
}

fn list(store: &Store, draft: Draft, place: Arc<Place>, cursor: Option<Value>) -> Outcome {
    let after = match cursor {
        None => 0,
        Some(Value::U64(after)) => after,
        Some(Value::String(text)) => text.parse().map_err(|_| {
            let text = text.chars().take(60).flat_map(char::escape_debug).collect();
            KeyvalueError::Cursor { text }
        })?,
        Some(_) => return Err(KeyvalueError::Cursor { text: "of another type".into() }),
    };
    let max = store.settings().page_keys_max;
    let (keys, next) = store.read(|view| view.keys(&place.bucket, after, max))?;
    let next = next.map(|next| match draft {
        Draft::One => Box::new(next.into()),
        Draft::Two => Box::new(next.to_string().into()),
    });
    let keys = keys.into_iter().map(Value::String).collect();
    Ok(Some(Value::Record(vec![Value::List(keys), Value::Option(next)])))
}

fn get_many(store: &Store, place: Arc<Place>, keys: Vec<String>) -> Outcome {
    check_keys(keys.iter())?;
    let mut bytes = 0;
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        // One by one, so that the limit is kept before the memory is used; not one snapshot, which the contract does not ask for.
        let stored = store.read(|view| view.get(&place.bucket, &key))?;
        bytes += stored.as_ref().map_or(0, |stored| stored.value.len());
        check_bytes(bytes)?;
        let pair = |value| Box::new(Value::Tuple(vec![Value::String(key), Value::Bytes(value)]));
        found.push(Value::Option(stored.map(|stored| pair(stored.value))));
    }
    Ok(Some(Value::List(found)))
}

async fn set(store: &Store, place: Arc<Place>, mut items: Vec<(String, Bytes)>) -> Outcome {
    check_keys(items.iter().map(|(key, _)| key))?;
    for (_, value) in &items {
        check_value(store, value)?;
    }
    check_bytes(items.iter().map(|(key, value)| key.len() + value.len()).sum())?;
    if items.len() > 1 {
        keep_last(&mut items);
    }
    store.write(place, Write::Set(items)).await.map(|_| None)
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

async fn delete(store: &Store, place: Arc<Place>, keys: Vec<String>) -> Outcome {
    check_keys(keys.iter())?;
    store.write(place, Write::Delete(keys)).await.map(|_| None)
}

async fn increment(store: &Store, draft: Draft, place: Arc<Place>, key: String, delta: i128) -> Outcome {
    check_key(&key)?;
    let (min, max) = match draft {
        Draft::One => (0, u64::MAX.into()),
        Draft::Two => (i64::MIN.into(), i64::MAX.into()),
    };
    let done = store.write(place, Write::Increment { key, delta, min, max }).await?;
    let Done::Number(number) = done else { return Err(KeyvalueError::NotANumber) };
    let overflow = |_| KeyvalueError::Overflow { number, delta };
    Ok(Some(match draft {
        Draft::One => Value::U64(number.try_into().map_err(overflow)?),
        Draft::Two => Value::S64(number.try_into().map_err(overflow)?),
    }))
}

fn begin_swap(store: &Store, place: Arc<Place>, key: String) -> Outcome {
    check_key(&key)?;
    let version = store.read(|view| view.version(&place.bucket, &key))?;
    Ok(Some(Value::Own(Resource::new(Cas { place, key, version }))))
}

/// `result<_, cas-error>`.
async fn swap(store: &Store, cas: &Cas, value: Bytes) -> Value {
    const STORE_ERROR: u32 = 0;
    const CAS_FAILED: u32 = 1;
    let (key, version) = (cas.key.clone(), cas.version);
    let done = match check_value(store, &value) {
        Ok(()) => store.write(cas.place.clone(), Write::Swap { key, value, version }).await,
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
