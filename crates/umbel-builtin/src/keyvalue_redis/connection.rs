//! One connection to a server: shared by all calls, made again when it is lost, each call with its deadline.

use super::config::Url;
use super::script;
use crate::keyvalue::error::{KeyvalueError, ServerProblem};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ErrorKind, RedisError, RedisResult};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use umbel_core::Problem;

/// Between two attempts to connect; each time twice as long. After the last one the calls that wait are told why, and the next
/// call begins anew.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);
const RETRIES: usize = 3;

/// One connection. Cheap to use from many calls at once.
pub(super) struct Connection {
    client: Client,
    manager: ConnectionManager,
    timeout: Duration,
    /// Why the last call failed, if the server did not answer it.
    failed: AtomicBool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the client: its address may have a password in it.
        f.debug_struct("Connection").field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl Connection {
    /// Nothing is connected before the first call.
    pub(super) fn new(url: &Url, timeout: Duration) -> Result<Connection, KeyvalueError> {
        let client = Client::open(url.expose()).map_err(refused)?;
        let config = ConnectionManagerConfig::new()
            .set_min_delay(RETRY_MIN)
            .set_max_delay(RETRY_MAX)
            .set_number_of_retries(RETRIES)
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout));
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(refused)?;
        Ok(Connection { client, manager, timeout, failed: AtomicBool::new(false) })
    }

    /// Whoever listens has a connection of its own.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// One call, with all that it takes to connect, within the deadline.
    pub(super) async fn call<T, F>(
        &self,
        call: impl FnOnce(ConnectionManager) -> F + Send,
    ) -> Result<T, KeyvalueError>
    where
        F: Future<Output = RedisResult<T>> + Send,
    {
        let answered = tokio::time::timeout(self.timeout, call(self.manager.clone())).await;
        let result = match answered {
            Ok(answer) => answer.map_err(refused),
            Err(_) => Err(unreachable(None)),
        };
        let lost = matches!(&result, Err(KeyvalueError::Server { problem: ServerProblem::Unreachable, .. }));
        if lost != self.failed.swap(lost, Relaxed) {
            match &result {
                Err(error) => {
                    tracing::warn!(cause = %Problem::from(error), "the connection to a key-value server is lost");
                }
                Ok(_) => tracing::info!("the key-value server answers again"),
            }
        }
        result
    }

    /// It did not answer in time.
    pub(super) fn lost(&self) {
        self.failed.store(true, Relaxed);
    }

    /// Why it does not serve, if it does not.
    pub(super) fn failure(&self) -> Option<Problem> {
        self.failed.load(Relaxed).then(|| Problem::from(&unreachable(None)))
    }
}

fn unreachable(source: Option<RedisError>) -> KeyvalueError {
    let source = source.map(|error| Arc::new(error) as Arc<dyn std::error::Error + Send + Sync>);
    KeyvalueError::Server { problem: ServerProblem::Unreachable, source }
}

/// What an error of the client or the server means.
pub(super) fn refused(error: RedisError) -> KeyvalueError {
    let lost = error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_connection_refusal()
        // The server is starting, or gives way to another.
        || matches!(error.code(), Some("LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN"));
    let problem = match error.code() {
        _ if lost => return unreachable(Some(error)),
        Some("OOM") => ServerProblem::Full,
        _ => ServerProblem::Refused,
    };
    if error.kind() == ErrorKind::Parse || error.code().is_some_and(|code| code.starts_with("UMBEL")) {
        tracing::debug!(code = error.code(), "an answer of a script");
    } else {
        tracing::warn!(%error, "the key-value server refuses a call");
    }
    KeyvalueError::Server { problem, source: Some(Arc::new(error)) }
}

/// What one of our scripts has said, if that is what the error is.
pub(super) fn said(error: &KeyvalueError) -> Option<&str> {
    let KeyvalueError::Server { source: Some(source), .. } = error else { return None };
    let code = source.downcast_ref::<RedisError>()?.code()?;
    [script::FULL, script::LARGE, script::UNCOUNTABLE].into_iter().find(|said| *said == code)
}
