//! Who may ask over TCP: requests that name this machine as their host, come from no foreign page, and carry the token.
//!
//! A browser can be made to send requests to `127.0.0.1` by any page, and by DNS rebinding even to read the answers; such a
//! request still names the page's own host in `Host` and `Origin`. The unix socket is guarded by the modes of its folder.

use crate::folder::{StateFolder, folder_problem, read_limited, write_atomically};
use crate::problem::Problems;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Uri, header};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use umbel_core::Problem;
use umbel_core::code::api;

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

/// The bearer token of a state folder.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// Reads the state folder's token, and makes one when there is none.
    pub fn read_or_create(folder: &StateFolder) -> Result<Token, Problem> {
        match Token::read(folder)? {
            Some(token) => Ok(token),
            None => Token::create(folder),
        }
    }

    /// Reads the state folder's token.
    pub fn read(folder: &StateFolder) -> Result<Option<Token>, Problem> {
        let path = folder.token_file();
        let text = match read_limited(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(folder_problem(&path, "cannot be read", &error)),
        };
        let unusable = |why: &str| {
            Problem::new(api::TOKEN_UNUSABLE, format!("`{}` cannot be used: {why}", path.display()))
        };
        let mode = std::fs::metadata(&path)
            .map_err(|error| folder_problem(&path, "cannot be read", &error))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            return Err(unusable("others may read it"));
        }
        let text = String::from_utf8(text).map_err(|_| unusable("it is not text"))?;
        let text = text.trim();
        if text.len() < TOKEN_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unusable("it is too short or has unusual characters"));
        }
        Ok(Some(Token(text.into())))
    }

    fn create(folder: &StateFolder) -> Result<Token, Problem> {
        let bytes: [u8; TOKEN_BYTES] = rand::random();
        let text = data_encoding::BASE64URL_NOPAD.encode(&bytes);
        let path = folder.token_file();
        write_atomically(&path, format!("{text}\n").as_bytes(), 0o600)
            .map_err(|error| folder_problem(&path, "cannot be written", &error))?;
        Ok(Token(text.into()))
    }

    /// The token's text, for an `Authorization` header.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether the text is the token, in a time that does not depend on how much of it is right.
    fn is(&self, text: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(text).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The middleware of the TCP side.
pub(crate) async fn tcp_only(token: Token, request: Request, next: Next) -> Response {
    match check(&token, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => Problems::from(problem).into_response(),
    }
}

fn check(token: &Token, headers: &HeaderMap) -> Result<(), Problem> {
    let foreign = |what: String| Err(Problem::new(api::FOREIGN_ORIGIN, what));
    let host = single(headers, header::HOST).and_then(|value| value.to_str().ok());
    let Some(host) = host else {
        return foreign("the request needs exactly one `Host`".into());
    };
    if !is_loopback_authority(host) {
        return foreign(format!("the request is for the host `{}`", host.escape_debug()));
    }
    if headers.contains_key(header::ORIGIN) {
        let origin = single(headers, header::ORIGIN).and_then(|value| value.to_str().ok());
        // A page of this very listener only: another port of this machine is another page.
        if origin.and_then(|text| text.strip_prefix("http://")) != Some(host) {
            return foreign("the request comes from a foreign page".into());
        }
    }
    let bearer = single(headers, header::AUTHORIZATION).map(HeaderValue::as_bytes).and_then(bearer);
    match bearer {
        Some(text) if token.is(text) => Ok(()),
        Some(_) => {
            Err(Problem::new(api::NO_TOKEN, "the token of the request is not the one of this platform"))
        }
        None => Err(Problem::new(api::NO_TOKEN, "the request carries no bearer token")),
    }
}

/// The header's value, if it is there exactly once.
fn single(headers: &HeaderMap, name: header::HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// The token of `Bearer TOKEN`; the scheme's name is of any case (RFC 9110 §11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// Whether an authority such as `localhost:4000` can only mean this machine.
fn is_loopback_authority(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let Some(authority) = uri.authority() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    matches!(authority.host().to_ascii_lowercase().as_str(), "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests;
