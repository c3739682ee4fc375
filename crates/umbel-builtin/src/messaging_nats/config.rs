//! Which server carries messages. The keys are those of wasmCloud 1.x's messaging-nats, and few more; all others are those of
//! [`crate::messaging::config`].

use crate::messaging::config::{number, wrong};
use crate::messaging::error::MessagingError;
use crate::messaging::space::SpaceId;
use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;
use umbel_core::link::Values;

/// The server of a provider that is told no other.
const URI: &str = "nats://127.0.0.1:4222";

/// Which server, as whom, and what subjects are called there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// `cluster_uris`: a comma list of `nats://[USER:PASSWORD@]HOST[:PORT]` or `tls://…`. Default `nats://127.0.0.1:4222`.
    pub(super) uris: Vec<String>,
    /// `client_jwt` and `client_seed`: both for a decentralized user, the seed alone for an nkey.
    pub(super) jwt: Option<String>,
    pub(super) seed: Option<String>,
    /// `tls_ca_file`: a PEM file of authorities that are trusted beside the public ones.
    pub(super) ca_file: Option<PathBuf>,
    /// `custom_inbox_prefix`: what inboxes for replies begin with. Default `_INBOX`.
    pub(super) inbox_prefix: String,
    /// `ping_interval_sec`: how often a quiet connection is asked whether it is there. Default 20 s.
    pub(super) ping_interval: Duration,
    /// `subjects`: `plain` (default), or `application` for subjects that each application has for itself.
    pub(super) plain: bool,
    /// `prefix`: what subjects that are not plain begin with. Default `umbel`.
    pub(super) prefix: String,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            uris: vec![URI.into()],
            jwt: None,
            seed: None,
            ca_file: None,
            inbox_prefix: "_INBOX".into(),
            ping_interval: Duration::from_secs(20),
            plain: true,
            prefix: "umbel".into(),
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Addresses may have passwords in them.
        f.debug_struct("Server")
            .field("plain", &self.plain)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// A link that names servers of its own is not given the provider's keys for them.
    pub(crate) fn forget_if_elsewhere(&mut self, link: &Values) {
        if link.keys().any(|key| key == "cluster_uris") {
            (self.jwt, self.seed) = (None, None);
        }
    }

    /// Takes a key; false if it is none of these.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<bool, MessagingError> {
        match key {
            "cluster_uris" => self.uris = uris(value)?,
            "client_jwt" | "auth_jwt" => self.jwt = Some(secret(key, value)?),
            "client_seed" | "auth_seed" => self.seed = Some(secret(key, value)?),
            "tls_ca_file" => {
                let path = PathBuf::from(value);
                if !path.is_absolute() {
                    return Err(wrong(key, "it is not a path from the root on".into()));
                }
                self.ca_file = Some(path);
            }
            "tls_ca" => {
                return Err(wrong(key, "write the authority to a file, and say `tls_ca_file`".into()));
            }
            "consumers" => return Err(wrong(key, "consumers of JetStream are not served".into())),
            "custom_inbox_prefix" => self.inbox_prefix = words(key, value)?,
            "ping_interval_sec" => {
                self.ping_interval = Duration::from_secs(number(key, value, 1..=3_600)? as u64)
            }
            "subjects" => {
                self.plain = match value {
                    "plain" => true,
                    "application" => false,
                    _ => return Err(wrong(key, "it is neither `plain` nor `application`".into())),
                }
            }
            "prefix" => self.prefix = words(key, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(crate) fn check(&self) -> Result<(), MessagingError> {
        match (&self.jwt, &self.seed) {
            (Some(_), None) => {
                Err(wrong("client_jwt", "`client_jwt` needs the `client_seed` that signs for it".into()))
            }
            _ => Ok(()),
        }
    }

    /// The addresses without users, which the client would log.
    pub(super) fn bare_uris(&self) -> Vec<String> {
        let bare =
            |addr: ServerAddr| format!("{}://{}:{}", addr.scheme(), bracketed(addr.host()), addr.port());
        self.uris.iter().filter_map(|uri| uri.parse().ok()).map(bare).collect()
    }

    /// User and password of the first address that has them; a user alone is a token.
    pub(super) fn user(&self) -> Option<(String, Option<String>)> {
        let addrs = self.uris.iter().filter_map(|uri| uri.parse::<ServerAddr>().ok());
        let mut users =
            addrs.filter_map(|addr| Some((decoded(addr.username()?), addr.password().map(decoded))));
        users.next()
    }

    /// What the subjects of a space begin with on the server.
    pub(super) fn prefix_of(&self, id: &SpaceId) -> String {
        match id {
            SpaceId::Shared(name) => format!("{}.space-{}.", self.prefix, escaped(name)),
            _ if self.plain => String::new(),
            SpaceId::Application(name) => format!("{}.app-{}.", self.prefix, escaped(name)),
            SpaceId::Loose => format!("{}.loose.", self.prefix),
        }
    }
}

fn uris(text: &str) -> Result<Vec<String>, MessagingError> {
    let uris: Vec<String> =
        text.split(',').map(str::trim).filter(|uri| !uri.is_empty()).map(Into::into).collect();
    // Not repeated: there may be passwords in them.
    let bad =
        || wrong("cluster_uris", "it is not a comma list of `nats://[USER:PASSWORD@]HOST[:PORT]`".into());
    let is_fine =
        |uri: &String| uri.parse::<ServerAddr>().is_ok_and(|addr| matches!(addr.scheme(), "nats" | "tls"));
    if uris.is_empty() || uris.len() > 100 || !uris.iter().all(is_fine) {
        return Err(bad());
    }
    Ok(uris)
}

fn secret(key: &str, value: &str) -> Result<String, MessagingError> {
    match value {
        "" => Err(wrong(key, "it is empty".into())),
        value => Ok(value.into()),
    }
}

/// Words of letters, digits, `_` and `-`, joined by dots.
fn words(key: &str, text: &str) -> Result<String, MessagingError> {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    match text.len() <= 100 && text.split('.').all(word) {
        true => Ok(text.into()),
        false => Err(wrong(key, "it is not words of letters, digits, `_` and `-`, joined by dots".into())),
    }
}

/// An address of IPv6 as it stands before a port.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.into() }
}

/// `%XX` as what it stands for; what is none of that stands for itself.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A name as one word of a subject.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"_-".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a string takes everything");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messaging::{Reach, Settings};

    fn read(pairs: &[(&str, &str)]) -> Result<Server, MessagingError> {
        let values = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Settings::read_for(Reach::Server, &values, &[].into()).map(|settings| settings.server)
    }

    #[test]
    fn spaces_have_subjects_of_their_own() {
        let plain = read(&[]).expect("defaults");
        let apart = read(&[("subjects", "application"), ("prefix", "a.b")]).expect("good");
        let application = SpaceId::Application("shop".into());
        assert_eq!(
            (plain.prefix_of(&application), plain.prefix_of(&SpaceId::Loose)),
            (String::new(), String::new())
        );
        assert_eq!(plain.prefix_of(&SpaceId::Shared("x.*>".into())), "umbel.space-x%2E%2A%3E.");
        assert_eq!(apart.prefix_of(&application), "a.b.app-shop.");
        assert_eq!(apart.prefix_of(&SpaceId::Loose), "a.b.loose.");
    }

    #[test]
    fn what_is_wrong_is_told_without_secrets() {
        for (key, value) in [
            ("cluster_uris", ""),
            ("cluster_uris", "http://me:s3cret@host"),
            ("cluster_uris", "nats://me:s3cret@host:port"),
            ("client_jwt", "s3cret"),
            ("tls_ca_file", "ca.pem"),
            ("tls_ca", "-----BEGIN"),
            ("custom_inbox_prefix", "a b"),
            ("ping_interval_sec", "0"),
            ("subjects", "all"),
            ("prefix", "a..b"),
            ("consumers", "[]"),
            ("cluster_uri", "nats://host"),
        ] {
            let error = read(&[(key, value)]).expect_err(key);
            assert!(matches!(error, MessagingError::Config { .. }), "{key}: {error}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
        let server = read(&[("cluster_uris", "nats://me:s3cret@one, tls://two:4443,")]).expect("good");
        assert_eq!(server.bare_uris(), ["nats://one:4222", "tls://two:4443"]);
        assert_eq!(server.user(), Some(("me".into(), Some("s3cret".into()))));
        let server = read(&[("cluster_uris", "nats://one,nats://t%40k%3Aen@[::1]")]).expect("good");
        assert_eq!(
            (server.bare_uris()[1].as_str(), server.user()),
            ("nats://[::1]:4222", Some(("t@k:en".into(), None)))
        );
        let server = read(&[("cluster_uris", "nats://me:s3cret@one, tls://two:4443,")]).expect("good");
        assert!(!format!("{server:?}").contains("s3cret"));
    }
}
