//! What an S3 blobstore is told, by the provider's config and by a link's target config, which overrides it.

use crate::blobstore::error::BlobError;
use std::path::PathBuf;
use std::time::Duration;
use umbel_core::link::Values;

/// The validated settings of one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `bucket`: the bucket that holds everything; it must be there. No default: the provider or each link says it.
    pub bucket: Option<String>,
    /// `endpoint`: the address of the server, `https://HOST[:PORT]` or `http://…`. Default: Amazon's of the region.
    pub endpoint: Option<String>,
    /// `region`: default `us-east-1`, which other servers than Amazon's take.
    pub region: String,
    /// `access_key_id` and `secret_access_key`: both or neither. Without them requests are not signed.
    pub key: Option<Key>,
    /// `prefix`: what all keys in the bucket begin with. Default: nothing.
    pub prefix: String,
    /// `virtual_hosted`: whether the bucket stands in the host name. Default: for Amazon's servers, not for others.
    pub virtual_hosted: Option<bool>,
    /// `ca_file`: a PEM file of authorities that are trusted beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// `timeout_ms`: how long one request may take to be answered, with all attempts. Default 30 s.
    pub timeout: Duration,
    /// `space`: the name of a space that all links with that name share. Default: each application has its own.
    pub space: Option<String>,
    /// `object_bytes_max`: bytes of one object. Default 16 GiB.
    pub object_bytes_max: u64,
    /// `free_bytes_min`: a body is refused when the host's file system would have fewer bytes left. Default 64 MiB.
    pub free_bytes_min: u64,
}

/// A key of the server. Its secret is never shown.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Key {
    id: String,
    secret: String,
}

impl Key {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn expose(&self) -> &str {
        &self.secret
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({}, …)", self.id)
    }
}

/// Where a bucket is: what links have to agree on to share connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) bucket: String,
    pub(super) endpoint: Option<String>,
    pub(super) region: String,
    pub(super) key: Option<Key>,
    pub(super) prefix: String,
    pub(super) virtual_hosted: bool,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) timeout: Duration,
}

impl Settings {
    /// Reads the provider's values, then the link's over them. Unknown keys are errors.
    pub fn read(provider: &Values, link: &Values) -> Result<Settings, BlobError> {
        let mut settings = Settings {
            bucket: None,
            endpoint: None,
            region: "us-east-1".into(),
            key: None,
            prefix: String::new(),
            virtual_hosted: None,
            ca_file: None,
            timeout: Duration::from_secs(30),
            space: None,
            object_bytes_max: 16 << 30,
            free_bytes_min: 64 << 20,
        };
        for (key, value) in provider.iter().chain(link) {
            settings.set(key, value.trim())?;
        }
        if settings.key.as_ref().is_some_and(|key| key.id.is_empty() || key.secret.is_empty()) {
            return Err(bad("access_key_id", "`access_key_id` and `secret_access_key` come together"));
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), BlobError> {
        match key {
            "bucket" if is_bucket(value) => self.bucket = Some(value.into()),
            "bucket" => return Err(wrong(key, value, "3 to 63 small letters, digits, dots and `-`")),
            "endpoint" => self.endpoint = Some(endpoint(value)?),
            "region" if is_plain(value, "-") && !value.is_empty() => self.region = value.into(),
            "region" => return Err(wrong(key, value, "letters, digits and `-`")),
            "access_key_id" => self.key.get_or_insert_default().id = value.into(),
            "secret_access_key" => self.key.get_or_insert_default().secret = value.into(),
            "prefix" if is_prefix(value) => self.prefix = value.trim_end_matches('/').into(),
            "prefix" => return Err(wrong(key, value, "letters, digits, `_.-` and single `/`")),
            "virtual_hosted" => {
                self.virtual_hosted = Some(value.parse().map_err(|_| wrong(key, value, "`true` or `false`"))?)
            }
            "ca_file" => {
                let path = PathBuf::from(value);
                if !path.is_absolute() {
                    return Err(wrong(key, value, "a path from the root on"));
                }
                self.ca_file = Some(path);
            }
            "timeout_ms" => self.timeout = Duration::from_millis(number(key, value, 600_000)?),
            "space" if (1..=1024).contains(&value.len()) => self.space = Some(value.into()),
            "space" => return Err(wrong(key, value, "a name")),
            "object_bytes_max" => self.object_bytes_max = number(key, value, 5 << 40)?,
            "free_bytes_min" => {
                self.free_bytes_min = value.parse().map_err(|_| wrong(key, value, "a number of bytes"))?
            }
            _ => {
                let key: String = key.chars().take(60).flat_map(char::escape_debug).collect();
                return Err(bad(&key, "this key is not known"));
            }
        }
        Ok(())
    }

    /// Where the bucket is. An error if nobody says which.
    pub(super) fn place(&self) -> Result<Place, BlobError> {
        let Some(bucket) = self.bucket.clone() else {
            return Err(bad("bucket", "neither the provider nor the link says which bucket"));
        };
        Ok(Place {
            bucket,
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            key: self.key.clone(),
            prefix: self.prefix.clone(),
            virtual_hosted: self.virtual_hosted.unwrap_or(self.endpoint.is_none()),
            ca_file: self.ca_file.clone(),
            timeout: self.timeout,
        })
    }
}

fn is_bucket(text: &str) -> bool {
    (3..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b))
        && !text.contains("..")
}

fn is_plain(text: &str, others: &str) -> bool {
    text.len() <= 200 && text.bytes().all(|b| b.is_ascii_alphanumeric() || others.as_bytes().contains(&b))
}

fn is_prefix(text: &str) -> bool {
    let parts = text.trim_end_matches('/').split('/');
    text.is_empty() || parts.into_iter().all(|part| is_plain(part, "_.-") && !["", ".", ".."].contains(&part))
}

/// An address without a path, and without a user: keys have keys of their own.
fn endpoint(text: &str) -> Result<String, BlobError> {
    let text = text.trim_end_matches('/');
    let uri: Option<::http::Uri> = text.parse().ok();
    let is_fine = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.path().trim_matches('/').is_empty()
            && uri.query().is_none()
    });
    // Not repeated: somebody may have put a password there.
    if is_fine {
        Ok(text.into())
    } else {
        Err(bad("endpoint", "it is not of the form `https://HOST[:PORT]`"))
    }
}

fn number(key: &str, value: &str, max: u64) -> Result<u64, BlobError> {
    match value.parse() {
        Ok(number) if (1..=max).contains(&number) => Ok(number),
        _ => Err(wrong(key, value, &format!("a number from 1 to {max}"))),
    }
}

fn wrong(key: &str, value: &str, expected: &str) -> BlobError {
    let value: String = value.chars().take(60).flat_map(char::escape_debug).collect();
    bad(key, &format!("`{value}` is not {expected}"))
}

fn bad(key: &str, reason: &str) -> BlobError {
    BlobError::BadConfig { key: key.into(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, BlobError> {
        let values = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Settings::read(&values, &[].into())
    }

    #[test]
    fn what_is_said_is_read() {
        let settings = read(&[
            ("bucket", "pictures"),
            ("endpoint", "http://127.0.0.1:9000/"),
            ("access_key_id", "me"),
            ("secret_access_key", "s3cret"),
            ("prefix", "umbel/test/"),
            ("timeout_ms", "1000"),
        ])
        .expect("good");
        let place = settings.place().expect("a bucket");
        assert_eq!((place.endpoint.as_deref(), place.virtual_hosted), (Some("http://127.0.0.1:9000"), false));
        assert_eq!((place.prefix.as_str(), place.timeout), ("umbel/test", Duration::from_secs(1)));
        assert!(!format!("{settings:?} {place:?}").contains("s3cret"));
        let amazon = read(&[("bucket", "pictures")]).and_then(|settings| settings.place()).expect("good");
        assert!(amazon.virtual_hosted && amazon.key.is_none());
        assert!(read(&[]).expect("links may say it").place().is_err());
    }

    #[test]
    fn what_is_wrong_is_told_without_secrets() {
        for (key, value) in [
            ("bucket", "A"),
            ("bucket", "a/b/c"),
            ("endpoint", "host:9000"),
            ("endpoint", "ftp://host"),
            ("endpoint", "http://user:s3cret@host"),
            ("endpoint", "http://host/path"),
            ("region", "a b"),
            ("access_key_id", "alone"),
            ("secret_access_key", "s3cret"),
            ("prefix", "a//b"),
            ("prefix", "../b"),
            ("virtual_hosted", "yes"),
            ("ca_file", "ca.pem"),
            ("timeout_ms", "0"),
            ("space", ""),
            ("object_bytes_max", "many"),
            ("root", "/srv"),
        ] {
            let error = read(&[(key, value)]).expect_err(key);
            assert!(matches!(&error, BlobError::BadConfig { .. }), "{key}: {error}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
