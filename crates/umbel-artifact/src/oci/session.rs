//! Asking one repository: where it is, who one is there, what is tried again and which redirects are followed.

use super::connect::{Whose, authority};
use super::credentials::{Credentials, is_docker};
use super::error::{OciError, printable};
use super::exchange::{self, Answer, Body, empty};
use super::{Client, DOCUMENT_BYTES_MAX};
use data_encoding::BASE64;
use http::header::{ACCEPT, AUTHORIZATION, HOST, LOCATION, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request};
use serde::Deserialize;
use umbel_core::reference::Image;
use url::Url;
use zeroize::Zeroizing;

/// Redirects of one request.
const REDIRECTS_MAX: usize = 5;
/// Attempts at one request that fails for reasons that pass.
const ATTEMPTS_MAX: u32 = 3;
/// What a registry says of a failure, bytes.
const SAID_BYTES_MAX: u64 = 64 << 10;
/// The same, as it is shown.
const SAID_CHARS_MAX: usize = 300;

/// What is to be done with the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    Pull,
    Push,
}

/// One repository, and who one is there.
pub(super) struct Session<'a> {
    client: &'a Client,
    credentials: Option<&'a Credentials>,
    right: Right,
    /// As the reference has it.
    registry: String,
    repository: String,
    /// `https://HOST/v2/NAME/`.
    base: Url,
    authorization: Option<HeaderValue>,
    /// Whether the registry is on this machine, as far as that is known.
    here: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        client: &'a Client,
        image: &Image,
        credentials: Option<&'a Credentials>,
        right: Right,
    ) -> Result<Session<'a>, OciError> {
        let registry =
            image.registry.clone().ok_or_else(|| OciError::NoRegistry { image: image.repository.clone() })?;
        let (host, repository) = match is_docker(&registry.to_ascii_lowercase()) {
            true if image.repository.contains('/') => ("registry-1.docker.io", image.repository.clone()),
            true => ("registry-1.docker.io", format!("library/{}", image.repository)),
            false => (registry.as_str(), image.repository.clone()),
        };
        let scheme = if client.settings.is_insecure(&registry) { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{host}/v2/{repository}/"));
        let base =
            base.map_err(|error| OciError::Answer { host: registry.clone(), reason: error.to_string() })?;
        Ok(Session {
            client,
            credentials,
            right,
            registry,
            repository,
            base,
            authorization: None,
            here: false,
        })
    }

    /// The registry, as the reference has it.
    pub(super) fn host(&self) -> String {
        self.registry.clone()
    }

    /// A URL below the repository's: `manifests/TAG`.
    pub(super) fn url(&self, path: &str) -> Url {
        self.base.join(path).expect("tags, digests and names have no characters that a path may not have")
    }

    /// A URL that the registry has named, which may be relative to what was asked.
    pub(super) fn located(&self, answer: &Answer) -> Result<Url, OciError> {
        let location = answer.head.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let joined = location.and_then(|location| answer.url.join(location).ok());
        joined.filter(|url| url.host().is_some()).ok_or_else(|| OciError::Answer {
            host: answer.host(),
            reason: "it leads elsewhere and does not say where".into(),
        })
    }

    /// Asks without a body, again if that may help.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Answer, OciError> {
        let mut attempt = 0;
        loop {
            let answered = self.follow(&method, url, headers).await;
            let passes = match &answered {
                Ok(answer) => matches!(answer.status(), 429 | 500 | 502..=504),
                // Whoever is silent has had its time.
                Err(error) => matches!(error, OciError::Unreachable { .. }),
            };
            attempt += 1;
            if !passes || attempt == ATTEMPTS_MAX {
                return answered;
            }
            tokio::time::sleep(self.client.settings.times.backoff * 2_u32.pow(attempt - 1)).await;
        }
    }

    async fn follow(&mut self, method: &Method, url: &Url, headers: &HeaderMap) -> Result<Answer, OciError> {
        let (mut url, mut is_authenticated) = (url.clone(), false);
        for _ in 0..=REDIRECTS_MAX + 1 {
            let answer = self.send(method, &url, headers.clone(), empty()).await?;
            match answer.status() {
                401 if self.is_home(&url) && !is_authenticated => {
                    self.authenticate(answer.head.headers).await?;
                    is_authenticated = true;
                }
                301 | 302 | 303 | 307 | 308 if matches!(*method, Method::GET | Method::HEAD) => {
                    url = self.located(&answer)?;
                }
                _ => return Ok(answer),
            }
        }
        Err(OciError::Redirect {
            host: self.host(),
            to: authority(&url),
            reason: "it redirects again and again",
        })
    }

    /// Sends one request, with credentials if it is for the registry itself.
    pub(super) async fn send(
        &mut self,
        method: &Method,
        url: &Url,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Answer, OciError> {
        let authorization = self.authorization.clone().filter(|_| self.is_home(url));
        let answer = self.exchange(method, url, headers, body, authorization).await?;
        if self.is_home(url) {
            self.here = answer.here;
        }
        Ok(answer)
    }

    async fn exchange(
        &self,
        method: &Method,
        url: &Url,
        headers: HeaderMap,
        body: Body,
        authorization: Option<HeaderValue>,
    ) -> Result<Answer, OciError> {
        self.check_scheme(url)?;
        let odd = |reason: String| OciError::Answer { host: self.host(), reason };
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut request =
            Request::builder().method(method).uri(path).body(body).map_err(|e| odd(e.to_string()))?;
        *request.headers_mut() = headers;
        let host = HeaderValue::from_str(&authority(url)).map_err(|error| odd(error.to_string()))?;
        request.headers_mut().insert(HOST, host);
        let agent = HeaderValue::from_static(concat!("umbel/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, agent);
        if let Some(authorization) = authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        let whose = if self.is_home(url) { Whose::Registry } else { Whose::Other { here: self.here } };
        exchange::send(url, whose, request, &self.client.tls, &self.client.settings.times).await
    }

    /// Plain HTTP goes where it is listed, and nowhere else, whoever leads there.
    fn check_scheme(&self, url: &Url) -> Result<(), OciError> {
        let reason = match url.scheme() {
            "https" => return Ok(()),
            "http" if self.is_home(url) || self.client.settings.is_insecure(&authority(url)) => return Ok(()),
            "http" => "it is plain HTTP, and not listed as insecure",
            _ => "only HTTP is spoken",
        };
        Err(OciError::Redirect { host: self.host(), to: authority(url), reason })
    }

    /// Whether the URL is of the registry itself: scheme, host and port.
    fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Gets what the registry wants to see, from what it says.
    async fn authenticate(&mut self, said: HeaderMap) -> Result<(), OciError> {
        let denied = || OciError::Unauthenticated {
            host: self.registry.clone(),
            repository: self.repository.clone(),
            given: self.credentials.is_some(),
        };
        let challenges = challenges(&said);
        let bearer = challenges.iter().find(|challenge| challenge.is("bearer"));
        let value = match (self.credentials, bearer) {
            (Some(Credentials::Token(token)), _) => secret("Bearer ", token),
            (credentials, Some(challenge)) => {
                let token = self.token(challenge, credentials).await?.ok_or_else(denied)?;
                secret("Bearer ", &token)
            }
            (Some(Credentials::Basic { user, password }), None)
                if challenges.iter().any(|it| it.is("basic")) =>
            {
                basic(user, password)
            }
            _ => None,
        };
        self.authorization = Some(value.ok_or_else(denied)?);
        Ok(())
    }

    /// A token for this repository from whoever gives them; none if that one wants other credentials.
    async fn token(
        &self,
        challenge: &Challenge,
        credentials: Option<&Credentials>,
    ) -> Result<Option<Zeroizing<String>>, OciError> {
        let odd = |reason: &str| OciError::Answer { host: self.host(), reason: reason.into() };
        let realm = challenge.get("realm").and_then(|realm| Url::parse(realm).ok());
        let mut realm = realm.ok_or_else(|| odd("it does not say who gives tokens"))?;
        let actions = if self.right == Right::Push { "pull,push" } else { "pull" };
        let scope = format!("repository:{}:{actions}", self.repository);
        realm.query_pairs_mut().append_pair("scope", &scope);
        if let Some(service) = challenge.get("service") {
            realm.query_pairs_mut().append_pair("service", service);
        }
        let authorization = match credentials {
            Some(Credentials::Basic { user, password }) => basic(user, password),
            _ => None,
        };
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        // No redirect is followed: it would carry the credentials on, or lose them.
        let mut answer = self.exchange(&Method::GET, &realm, headers, empty(), authorization).await?;
        match answer.status() {
            200 => {}
            401 | 403 => return Ok(None),
            _ => return Err(refused(&mut answer).await),
        }
        let body = answer.all(DOCUMENT_BYTES_MAX).await?;
        let given: Given =
            serde_json::from_slice(&body).map_err(|_| odd("what gives tokens gave something else"))?;
        Ok(given.token.or(given.access_token).map(Zeroizing::new))
    }

    /// What an answer means that is not what was hoped for.
    pub(super) async fn failed(&self, answer: &mut Answer, what: &str) -> OciError {
        let (host, repository) = (self.host(), self.repository.clone());
        if !self.is_home(&answer.url) {
            return refused(answer).await;
        }
        match answer.status() {
            401 => OciError::Unauthenticated { host, repository, given: self.credentials.is_some() },
            403 => OciError::Denied {
                host,
                what: if self.right == Right::Push { "push to" } else { "pull from" },
                repository,
            },
            404 => OciError::Unknown { host, image: format!("{repository}{what}") },
            _ => refused(answer).await,
        }
    }
}

/// A status with what was said of it.
async fn refused(answer: &mut Answer) -> OciError {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Said>,
    }
    #[derive(Deserialize)]
    struct Said {
        #[serde(default)]
        message: String,
    }
    // What it says is a help; that it cannot be read hinders nothing.
    let body = answer.all(SAID_BYTES_MAX).await.unwrap_or_default();
    let errors = serde_json::from_slice::<Errors>(&body).map(|it| it.errors).unwrap_or_default();
    let said: Vec<String> = errors.into_iter().map(|said| said.message).collect();
    let said = Some(printable(&said.join("; "), SAID_CHARS_MAX)).filter(|said| !said.is_empty());
    OciError::Refused { host: answer.host(), status: answer.status(), said }
}

/// What a server for tokens gives.
#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    access_token: Option<String>,
}

/// How a registry wants to be told who one is.
struct Challenge {
    scheme: String,
    params: Vec<(String, String)>,
}

impl Challenge {
    fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What is not understood is left out: another one may be.
fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let parsed = texts.filter_map(|text| http_auth::parse_challenges(text).ok()).flatten();
    let owned = parsed.map(|challenge| Challenge {
        scheme: challenge.scheme.to_string(),
        params: challenge.params.iter().map(|(key, value)| (key.to_string(), value.to_unescaped())).collect(),
    });
    owned.collect()
}

fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    let both = Zeroizing::new(format!("{user}:{password}"));
    secret("Basic ", &BASE64.encode(both.as_bytes()))
}

/// A header that no log shows; none if it has characters that no header may have.
fn secret(scheme: &str, value: &str) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("{scheme}{value}"));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
