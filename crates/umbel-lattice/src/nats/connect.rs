//! Making the connection, and making it again.

use super::link::{Connected, Link, RefusedSubjects};
use super::spec::{Auth, NatsSpec};
use crate::error::NatsProblem;
use crate::{LatticeError, Result};
use async_nats::{ConnectErrorKind, ConnectOptions, Event, ServerError};
use rand::RngExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// One attempt to connect.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Between two attempts.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// How often a quiet connection is asked whether it is there; after three without an answer it is made again.
const PING: Duration = Duration::from_secs(2);

/// Messages that may wait to be written.
const WAITING_MAX: usize = 1_024;

/// Connects once; from then on the client keeps the connection by itself, and says how it is.
pub(super) async fn connect(spec: &NatsSpec) -> Result<Connected> {
    spec.check()?;
    let (told, link) = watch::channel(Link { is_up: true, losses: 0, refusals: 0 });
    let refused = Arc::<RefusedSubjects>::default();
    let options = options(spec, Ears { told, refused: refused.clone(), server: spec.shown() })?;
    let addresses: Vec<async_nats::ServerAddr> =
        spec.servers.iter().filter_map(|server| server.parse().ok()).collect();
    let client = options.connect(addresses).await.map_err(|error| {
        let reason = reason(&error);
        let problem = match error.kind() {
            ConnectErrorKind::ServerParse => NatsProblem::Spec { key: "servers", reason },
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                NatsProblem::Refused { reason }
            }
            ConnectErrorKind::Tls => NatsProblem::Tls { reason },
            // Some of what TLS has against a connection is seen only when it is read from.
            _ if is_of_tls(&reason) => NatsProblem::Tls { reason },
            _ => NatsProblem::Unreachable { reason },
        };
        LatticeError::Nats { server: spec.shown(), problem }
    })?;
    if !client.is_server_compatible(2, 10, 0) {
        let problem = NatsProblem::Version { found: client.server_info().version };
        return Err(LatticeError::Nats { server: spec.shown(), problem });
    }
    Ok(Connected { client, link, refused })
}

fn options(spec: &NatsSpec, ears: Ears) -> Result<ConnectOptions> {
    let mut options = ConnectOptions::new()
        .name(&spec.name)
        .ping_interval(PING)
        .connection_timeout(CONNECT_MAX)
        .client_capacity(WAITING_MAX)
        .custom_inbox_prefix(&spec.inbox_prefix)
        .max_reconnects(None)
        .require_tls(spec.tls.required)
        .reconnect_delay_callback(delay)
        .event_callback(move |event| {
            ears.hear(&event);
            async {}
        });
    if let Some(path) = &spec.tls.ca_file {
        options = options.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &spec.tls.certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    if spec.tls.first {
        options = options.tls_first();
    }
    if let Some(text) = spec.auth.creds()? {
        return options.credentials(&text).map_err(|error| {
            let problem = NatsProblem::Spec { key: "auth", reason: error.to_string() };
            LatticeError::Nats { server: spec.shown(), problem }
        });
    }
    Ok(match &spec.auth {
        Auth::User { name, password } => options.user_and_password(name.clone(), password.to_string()),
        Auth::Token(token) => options.token(token.to_string()),
        Auth::Nkey(seed) => options.nkey(seed.to_string()),
        Auth::None | Auth::Jwt { .. } | Auth::Creds(_) => options,
    })
}

/// The first attempt is made at once. Later ones wait twice as long each, and up to half of that less, so that hosts which lost the
/// same server do not come back in the same moment.
fn delay(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let doubled = RETRY_MIN.saturating_mul(1 << (attempts - 2).min(10)).min(RETRY_MAX);
    doubled.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// What hears of the connection.
struct Ears {
    told: watch::Sender<Link>,
    refused: Arc<RefusedSubjects>,
    server: String,
}

impl Ears {
    fn hear(&self, event: &Event) {
        let server = &self.server;
        match event {
            Event::Connected => {
                self.told.send_modify(|link| link.is_up = true);
                tracing::info!(server, "connected to the lattice's server");
            }
            Event::Disconnected => {
                self.told.send_modify(|link| *link = Link { is_up: false, losses: link.losses + 1, ..*link });
                tracing::warn!(server, "the connection to the lattice's server is lost");
            }
            Event::SlowConsumer(_) => {
                tracing::warn!(server, "messages were dropped: a subscription did not keep up");
            }
            Event::ServerError(ServerError::Other(text)) => {
                if let Some(subject) = refused_subject(text) {
                    self.refused.add(subject);
                    self.told.send_modify(|link| link.refusals += 1);
                }
                tracing::warn!(server, text, "the lattice's server refuses something");
            }
            // Among them what refuses a connection.
            Event::ClientError(_) | Event::ServerError(_) => {
                tracing::warn!(server, %event, "the lattice's server");
            }
            event => tracing::debug!(server, %event, "the lattice's server"),
        }
    }
}

/// The subject of `Permissions Violation for Subscription to "…"`.
fn refused_subject(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("Subscription to \"")?;
    rest.split_once('"').map(|(subject, _)| subject)
}

/// The error with its causes, each once.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

fn is_of_tls(reason: &str) -> bool {
    ["certificate", "corrupt message", "fatal alert", "TLS", "tls"].iter().any(|word| reason.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_wait_longer_each_up_to_a_limit() {
        assert_eq!((delay(0), delay(1)), (Duration::ZERO, Duration::ZERO));
        let mut most = RETRY_MIN;
        for attempts in 2..40 {
            let wait = delay(attempts);
            assert!(wait >= most / 2 && wait <= most, "{attempts}: {wait:?}");
            most = (most * 2).min(RETRY_MAX);
        }
    }
}
