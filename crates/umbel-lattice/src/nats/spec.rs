//! Which server carries the lattice, and as whom.

use crate::error::{NatsProblem, shown};
use crate::{LatticeError, Login, Result};
use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A secret that is wiped when nobody needs it any more.
type Secret = Zeroizing<String>;

/// Most addresses.
const SERVERS_MAX: usize = 100;

/// Which server, and as whom. Every field is public and nothing is checked before [`NatsSpec::check`], which connecting does first.
#[derive(Debug, Clone)]
pub struct NatsSpec {
    /// `nats://HOST[:PORT]` or `tls://HOST[:PORT]`, at least one; without credentials. The port is 4222 unless said.
    pub servers: Vec<String>,
    /// As whom.
    pub auth: Auth,
    /// How the connection is protected.
    pub tls: Tls,
    /// The JetStream domain that has the state; for a leaf node whose hub keeps it.
    pub js_domain: Option<String>,
    /// What inboxes begin with: words of letters, digits, `_` and `-`, joined by dots.
    pub inbox_prefix: String,
    /// How many servers keep each new bucket: 1 to 5, and no more than the cluster has.
    pub replicas: usize,
    /// The connection's name in the server's monitoring.
    pub name: String,
}

/// As whom one connects.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// As nobody in particular.
    #[default]
    None,
    /// As a user of the server's configuration.
    User {
        /// The user.
        name: String,
        /// Its password.
        password: Secret,
    },
    /// With a token of the server's configuration.
    Token(Secret),
    /// As the public key of this seed, `SU…`.
    Nkey(Secret),
    /// As a decentralized user: its JWT, and the seed that proves that it is ours.
    Jwt {
        /// `eyJ…`.
        jwt: String,
        /// `SU…`.
        seed: Secret,
    },
    /// JWT and seed from a `.creds` file, as `nsc` writes it.
    Creds(PathBuf),
}

impl std::fmt::Debug for Auth {
    // Secrets must not reach a log through a derived Debug.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Auth::None => "None",
            Auth::User { .. } => "User",
            Auth::Token(_) => "Token",
            Auth::Nkey(_) => "Nkey",
            Auth::Jwt { .. } => "Jwt",
            Auth::Creds(_) => "Creds",
        })
    }
}

/// How the connection is protected. A `tls://` address, or a server that asks for TLS, is enough where public authorities are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// A PEM file of authorities that are trusted beside those of the machine.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key, both PEM files, if the server asks for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Whether a connection without TLS is refused.
    pub required: bool,
    /// Whether TLS begins before the server has said anything (`handshake_first` in its configuration).
    pub first: bool,
}

impl Default for NatsSpec {
    fn default() -> NatsSpec {
        NatsSpec {
            servers: vec!["nats://127.0.0.1:4222".into()],
            auth: Auth::None,
            tls: Tls::default(),
            js_domain: None,
            inbox_prefix: "_INBOX".into(),
            replicas: 1,
            name: "umbel".into(),
        }
    }
}

impl NatsSpec {
    /// Reads a comma list of `nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT]`. Credentials of the first address that has some become
    /// [`NatsSpec::auth`]. Errors: `UM0622`, without repeating what may be a password.
    pub fn parse(addresses: &str) -> Result<NatsSpec> {
        let mut spec = NatsSpec { servers: Vec::new(), ..NatsSpec::default() };
        for text in addresses.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            let address = address(text)?;
            if spec.auth == Auth::None
                && let Some(name) = address.username().map(decoded).filter(|name| !name.is_empty())
            {
                spec.auth = match address.password().map(decoded) {
                    Some(password) => Auth::User { name, password: password.into() },
                    None => Auth::Token(name.into()),
                };
            }
            spec.servers.push(bare(&address));
        }
        spec.check()?;
        Ok(spec)
    }

    /// Checks everything that can be checked without a connection, files too. Errors: `UM0622` with the field that is wrong.
    pub fn check(&self) -> Result<()> {
        if self.servers.is_empty() || self.servers.len() > SERVERS_MAX {
            return wrong("servers", "there must be 1 to 100 addresses");
        }
        for server in &self.servers {
            if address(server)?.username().is_some_and(|name| !name.is_empty()) {
                return wrong(
                    "servers",
                    "credentials have a field of their own, or `NatsSpec::parse` takes them",
                );
            }
        }
        let words = |text: &str| text.split('.').all(is_word);
        if !words(&self.inbox_prefix) || self.inbox_prefix.len() > 100 {
            return wrong("inbox_prefix", "it is not words of letters, digits, `_` and `-`, joined by dots");
        }
        if self.js_domain.as_deref().is_some_and(|domain| !is_word(domain)) {
            return wrong("js_domain", "it is not a word of letters, digits, `_` and `-`");
        }
        if !(1..=5).contains(&self.replicas) {
            return wrong("replicas", "it must be 1 to 5");
        }
        self.tls.check()?;
        self.auth.check()
    }

    /// The addresses, for messages.
    pub(super) fn shown(&self) -> String {
        self.servers.join(", ")
    }
}

impl Tls {
    fn check(&self) -> Result<()> {
        if let Some(path) = &self.ca_file {
            read("tls.ca_file", path, "-----BEGIN CERTIFICATE-----")?;
        }
        if let Some((certificate, key)) = &self.certificate {
            read("tls.certificate", certificate, "-----BEGIN CERTIFICATE-----")?;
            read("tls.certificate", key, "PRIVATE KEY-----")?;
        }
        Ok(())
    }
}

impl Auth {
    fn check(&self) -> Result<()> {
        match self {
            Auth::None => Ok(()),
            Auth::User { name, password } if name.is_empty() || password.is_empty() => {
                wrong("auth", "user and password must not be empty")
            }
            Auth::Token(token) if token.is_empty() => wrong("auth", "the token must not be empty"),
            Auth::User { .. } | Auth::Token(_) => Ok(()),
            Auth::Nkey(seed) => check_seed(seed),
            Auth::Jwt { jwt, seed } => check_jwt(jwt).and_then(|()| check_seed(seed)),
            Auth::Creds(path) => {
                let text = read("auth", path, "-----BEGIN NATS USER JWT-----")?;
                if !text.contains("-----BEGIN USER NKEY SEED-----") {
                    return wrong("auth", "the file has a JWT and no seed");
                }
                Ok(())
            }
        }
    }

    /// Both parts, where there are such.
    pub(super) fn login(&self) -> Option<Login> {
        match self {
            Auth::Jwt { jwt, seed } => Some(Login { jwt: jwt.clone(), seed: seed.clone() }),
            Auth::Nkey(seed) => Some(Login { jwt: String::new(), seed: seed.clone() }),
            Auth::Creds(path) => {
                let text = std::fs::read_to_string(path).map(Zeroizing::new).ok()?;
                let part = |name: &str| {
                    let (_, rest) = text.split_once(&format!("-----BEGIN {name}-----"))?;
                    Some(rest.trim_start().lines().next()?.trim().to_string())
                };
                let (jwt, seed) = (part("NATS USER JWT")?, part("USER NKEY SEED")?);
                Some(Login { jwt, seed: Zeroizing::new(seed) })
            }
            Auth::None | Auth::User { .. } | Auth::Token(_) => None,
        }
    }

    /// Both parts as the text of a `.creds` file, which is how the client takes them.
    pub(super) fn creds(&self) -> Result<Option<Secret>> {
        match self {
            Auth::Creds(path) => read("auth", path, "-----BEGIN NATS USER JWT-----").map(Some),
            Auth::Jwt { jwt, seed } => Ok(Some(Zeroizing::new(format!(
                "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
                 -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
                seed.as_str()
            )))),
            _ => Ok(None),
        }
    }
}

fn check_seed(seed: &str) -> Result<()> {
    let is_seed =
        seed.len() == 58 && seed.starts_with("SU") && seed.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_seed { Ok(()) } else { wrong("auth", "it is not the seed of a user, `SU…`") }
}

fn check_jwt(jwt: &str) -> Result<()> {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if jwt.split('.').count() == 3 && jwt.split('.').all(is_part) {
        return Ok(());
    }
    wrong("auth", "the JWT is not three parts joined by dots")
}

fn address(text: &str) -> Result<ServerAddr> {
    let usable = text
        .parse::<ServerAddr>()
        .ok()
        .filter(|address| matches!(address.scheme(), "nats" | "tls") && !address.host().is_empty());
    match usable {
        Some(address) => Ok(address),
        // Not repeated: there may be a password in it.
        None => wrong("servers", "an address is not `nats://HOST[:PORT]` or `tls://HOST[:PORT]`"),
    }
}

fn bare(address: &ServerAddr) -> String {
    let host = address.host();
    let host =
        if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_string() };
    format!("{}://{host}:{}", address.scheme(), address.port())
}

fn read(key: &'static str, path: &Path, needle: &str) -> Result<Secret> {
    let name = shown(&path.display().to_string());
    match std::fs::read_to_string(path) {
        Ok(text) if text.contains(needle) => Ok(Zeroizing::new(text)),
        Ok(_) => wrong(key, format!("there is no `{needle}` in `{name}`")),
        Err(error) => wrong(key, format!("`{name}` cannot be read: {error}")),
    }
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn wrong<T>(key: &'static str, reason: impl Into<String>) -> Result<T> {
    let problem = NatsProblem::Spec { key, reason: reason.into() };
    Err(LatticeError::Nats { server: "not connected".into(), problem })
}

/// `%XX` as what it stands for; what is none of that stands for itself.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests;
