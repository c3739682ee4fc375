//! Who one is at registries.

use super::error::OciError;
use data_encoding::BASE64;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use umbel_core::reference::Image;
use zeroize::Zeroizing;

/// Docker Hub, as references name it.
const DOCKER: &str = "docker.io";

/// What one is known by at a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password, or a token that is used like one.
        password: Zeroizing<String>,
    },
    /// A token that the registry itself takes.
    Token(Zeroizing<String>),
}

impl Credentials {
    /// A name and a password.
    pub fn basic(user: impl Into<String>, password: impl Into<String>) -> Credentials {
        Credentials::Basic { user: user.into(), password: Zeroizing::new(password.into()) }
    }

    /// As the messages of wasmCloud 1.x carry them; nothing if neither is whole.
    pub fn of(user: Option<&str>, password: Option<&str>, token: Option<&str>) -> Option<Credentials> {
        match (user, password, token) {
            (Some(user), Some(password), _) => Some(Credentials::basic(user, password)),
            (_, _, Some(token)) => Some(Credentials::Token(Zeroizing::new(token.into()))),
            _ => None,
        }
    }
}

impl fmt::Debug for Credentials {
    // Secrets must not reach a log through a derived Debug.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// Credentials by registry.
#[derive(Debug, Clone, Default)]
pub struct Keychain(BTreeMap<String, Credentials>);

impl Keychain {
    /// Takes credentials for a registry, as a reference names it or as docker does; they replace what was known.
    pub fn insert(&mut self, registry: &str, credentials: Credentials) {
        self.0.insert(named(registry), credentials);
    }

    /// Takes all of another one; they replace what was known.
    pub fn extend(&mut self, other: Keychain) {
        self.0.extend(other.0);
    }

    /// Those for the registry of an image.
    pub fn find(&self, image: &Image) -> Option<&Credentials> {
        self.0.get(&named(image.registry.as_deref()?))
    }

    /// How many registries are known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a file: `{"HOST": {"username", "password"} | {"token"}}`, or docker's `config.json`, of which only `auths` counts: no
    /// helper is started.
    ///
    /// # Errors
    /// [`OciError::Settings`], which shows nothing of what the file holds.
    pub fn read(path: &Path) -> Result<Keychain, OciError> {
        let fail = |reason: String| OciError::Settings { path: path.to_path_buf(), reason };
        let text =
            std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| fail(error.to_string()))?;
        Keychain::parse(&text).map_err(|reason| fail(reason.into()))
    }

    fn parse(text: &str) -> Result<Keychain, &'static str> {
        let form = "it is not JSON of the form that it should have";
        let mut keychain = Keychain::default();
        // Positions in errors of JSON are harmless, its texts are not.
        if let Ok(docker) = serde_json::from_str::<Docker>(text) {
            for (registry, auth) in docker.auths {
                if let Some(credentials) = auth.credentials()? {
                    keychain.insert(&registry, credentials);
                }
            }
            return Ok(keychain);
        }
        let plain: BTreeMap<String, Plain> = serde_json::from_str(text).map_err(|_| form)?;
        for (registry, plain) in plain {
            let found = Credentials::of(
                plain.username.as_deref(),
                plain.password.as_deref().map(String::as_str),
                plain.token.as_deref().map(String::as_str),
            );
            keychain
                .insert(&registry, found.ok_or("a registry has neither username and password nor token")?);
        }
        Ok(keychain)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    username: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    password: Option<Zeroizing<String>>,
    #[serde(default, deserialize_with = "secret")]
    token: Option<Zeroizing<String>>,
    // What the messages of wasmCloud 1.x have besides.
    #[serde(default, rename = "registryType")]
    _kind: Option<String>,
}

/// Docker's `config.json`.
#[derive(Deserialize)]
struct Docker {
    auths: BTreeMap<String, DockerAuth>,
}

#[derive(Deserialize)]
struct DockerAuth {
    #[serde(default, deserialize_with = "secret")]
    auth: Option<Zeroizing<String>>,
    username: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    password: Option<Zeroizing<String>>,
    #[serde(default, deserialize_with = "secret")]
    registrytoken: Option<Zeroizing<String>>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Zeroizing<String>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Zeroizing::new))
}

impl DockerAuth {
    /// An entry without any is one that a helper keeps.
    fn credentials(self) -> Result<Option<Credentials>, &'static str> {
        if let Some(auth) = self.auth.filter(|auth| !auth.is_empty()) {
            let malformed = "an `auth` of docker's config is not base64 of a name and a password";
            let bytes = Zeroizing::new(BASE64.decode(auth.as_bytes()).map_err(|_| malformed)?);
            let text = std::str::from_utf8(&bytes).map_err(|_| malformed)?;
            let (user, password) = text.trim_end_matches('\0').split_once(':').ok_or(malformed)?;
            return Ok(Some(Credentials::basic(user, password)));
        }
        let password = self.password.as_deref().map(String::as_str);
        let token = self.registrytoken.as_deref().map(String::as_str);
        Ok(Credentials::of(self.username.as_deref(), password, token))
    }
}

/// One name for each registry: docker's has a scheme and a path.
fn named(registry: &str) -> String {
    let registry = registry.trim_start_matches("https://").trim_start_matches("http://");
    let host = registry.split('/').next().unwrap_or(registry).to_ascii_lowercase();
    if is_docker(&host) { DOCKER.into() } else { host }
}

/// Whether a registry is Docker Hub, which has several names.
pub(super) fn is_docker(host: &str) -> bool {
    matches!(host, DOCKER | "index.docker.io" | "registry-1.docker.io")
}

#[cfg(test)]
mod tests {
    use super::*;
    use umbel_core::reference::{Location, Reference};

    fn image(text: &str) -> Image {
        match Reference::new(text).unwrap().location() {
            Location::Oci(image) => image.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_of_both_forms_are_read() {
        let ours = r#"{"Ghcr.io": {"username": "me", "password": "p:w"}, "localhost:5000": {"token": "t", "registryType": "oci"}}"#;
        let keychain = Keychain::parse(ours).unwrap();
        assert_eq!(keychain.find(&image("ghcr.io/a/b:1")), Some(&Credentials::basic("me", "p:w")));
        assert_eq!(
            keychain.find(&image("localhost:5000/b:1")),
            Some(&Credentials::Token("t".to_string().into()))
        );
        assert_eq!(keychain.find(&image("localhost:5001/b:1")), None);
        let docker = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "bWU6cDp3"}, "helped.io": {}}, "credsStore": "x"}"#;
        let keychain = Keychain::parse(docker).unwrap();
        assert_eq!(keychain.find(&image("docker.io/team/b:1")), Some(&Credentials::basic("me", "p:w")));
        assert_eq!(keychain.len(), 1, "what a helper keeps is not there");
    }

    #[test]
    fn rubbish_is_refused_and_never_shown() {
        let rubbish = [
            "",
            "[]",
            r#"{"h": {"username": "s3cret"}}"#,
            r#"{"h": {"passwort": "s3cret"}}"#,
            r#"{"auths": {"h": {"auth": "s3cret"}}}"#,
            r#"{"auths": {"h": {"auth": "czNjcmV0"}}}"#,
        ];
        for text in rubbish {
            let reason = Keychain::parse(text).map(|_| ()).expect_err(text);
            assert!(!reason.contains("s3cret"), "{reason}");
        }
        assert!(!format!("{:?}", Credentials::basic("u", "s3cret")).contains("s3cret"));
    }
}
