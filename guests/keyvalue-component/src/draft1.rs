//! The contract's first draft, `0.2.0-draft`: counters are `u64`, and there is no compare-and-swap.

use crate::Provider;
use crate::bucket::{self, Bucket};
use crate::exports::wasi::keyvalue0_2_0_draft::{atomics, batch, store};
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

    fn list_keys(&self, cursor: Option<u64>) -> Result<KeyResponse, Error> {
        let (keys, cursor) = self.list(cursor);
        Ok(KeyResponse { keys, cursor })
    }
}

impl atomics::Guest for Provider {
    fn increment(bucket: BucketBorrow<'_>, key: String, delta: u64) -> Result<u64, Error> {
        add(of(&bucket), key, delta).map_err(other)
    }
}

fn add(bucket: &Bucket, key: String, delta: u64) -> bucket::Result<u64> {
    let number = match bucket.get(&key)? {
        None => 0,
        Some(value) => number(&value)?,
    };
    let sum = number.checked_add(delta).ok_or("the number would be larger than the contract can tell")?;
    bucket.set(key, sum.to_string().into_bytes())?;
    Ok(sum)
}

fn number(value: &[u8]) -> bucket::Result<u64> {
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
