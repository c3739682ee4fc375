//! The contract's second draft, `0.2.0-draft2`: cursors are text, counters `i64`, and a value can be swapped.

use crate::Provider;
use crate::bucket::{self, Bucket};
use crate::exports::wasi::keyvalue0_2_0_draft2::{atomics, batch, store};
use atomics::CasError;
use store::{BucketBorrow, Error, KeyResponse};

fn other(text: String) -> Error {
    Error::Other(text)
}

fn of<'a>(bucket: &'a BucketBorrow<'_>) -> &'a Bucket {
    bucket.get::<Bucket>()
}

impl store::Guest for Provider {
    type Bucket = Bucket;

    fn open(identifier: String) -> Result<store::Bucket, Error> {
        Bucket::open(&identifier).map(store::Bucket::new).map_err(other)
    }
}

impl store::GuestBucket for Bucket {
    fn get(&self, key: String) -> Result<Option<Vec<u8>>, Error> {
        Bucket::get(self, &key).map_err(other)
    }

    fn set(&self, key: String, value: Vec<u8>) -> Result<(), Error> {
        Bucket::set(self, key, value).map_err(other)
    }

    fn delete(&self, key: String) -> Result<(), Error> {
        Bucket::delete(self, key).map_err(other)
    }

    fn exists(&self, key: String) -> Result<bool, Error> {
        Bucket::exists(self, &key).map_err(other)
    }

    fn list_keys(&self, cursor: Option<String>) -> Result<KeyResponse, Error> {
        let place = |cursor: String| cursor.parse().map_err(|_| other("the cursor is none of this store".into()));
        let (keys, cursor) = self.list(cursor.map(place).transpose()?);
        Ok(KeyResponse { keys, cursor: cursor.map(|place| place.to_string()) })
    }
}

/// A key of a bucket, as it was when somebody looked at it.
pub struct Cas {
    bucket: Bucket,
    key: String,
    value: Option<Vec<u8>>,
    version: Option<u64>,
}

impl Cas {
    fn look(bucket: Bucket, key: String) -> bucket::Result<Cas> {
        let (value, version) = bucket.look(&key)?;
        Ok(Cas { bucket, key, value, version })
    }
}

impl atomics::GuestCas for Cas {
    fn new(bucket: BucketBorrow<'_>, key: String) -> Result<atomics::Cas, Error> {
        Cas::look(of(&bucket).clone(), key).map(atomics::Cas::new).map_err(other)
    }

    fn current(&self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.value.clone())
    }
}

impl atomics::Guest for Provider {
    type Cas = Cas;

    fn swap(cas: atomics::Cas, value: Vec<u8>) -> Result<(), CasError> {
        let Cas { bucket, key, version, .. } = cas.into_inner();
        let failed = |text| CasError::StoreError(other(text));
        if bucket.swap(&key, version, value).map_err(failed)? {
            return Ok(());
        }
        let again = Cas::look(bucket, key).map_err(failed)?;
        Err(CasError::CasFailed(atomics::Cas::new(again)))
    }

    fn increment(bucket: BucketBorrow<'_>, key: String, delta: i64) -> Result<i64, Error> {
        add(of(&bucket), key, delta).map_err(other)
    }
}

fn add(bucket: &Bucket, key: String, delta: i64) -> bucket::Result<i64> {
    let number = match bucket.get(&key)? {
        None => 0,
        Some(value) => number(&value)?,
    };
    let sum = number.checked_add(delta).ok_or("the number would be beyond what the contract can tell")?;
    bucket.set(key, sum.to_string().into_bytes())?;
    Ok(sum)
}

fn number(value: &[u8]) -> bucket::Result<i64> {
    let text = std::str::from_utf8(value).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| "the key has a value that is no number".to_string())
}

impl batch::Guest for Provider {
    fn get_many(
        bucket: BucketBorrow<'_>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, Error> {
        let get = |key: String| {
            let value = of(&bucket).get(&key).map_err(other)?;
            Ok(value.map(|value| (key, value)))
        };
        keys.into_iter().map(get).collect()
    }

    fn set_many(bucket: BucketBorrow<'_>, key_values: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        let changes = key_values.into_iter().map(|(key, value)| (key, Some(value)));
        of(&bucket).change(changes.collect()).map_err(other)
    }

    fn delete_many(bucket: BucketBorrow<'_>, keys: Vec<String>) -> Result<(), Error> {
        of(&bucket).change(keys.into_iter().map(|key| (key, None)).collect()).map_err(other)
    }
}
