//! A pool of connections to one database, and calls with deadlines.

use super::config::{Place, shown};
use super::error::PostgresError;
use super::value::{Cell, Param};
use crate::http_client::{self, tls_config};
use deadpool_postgres::{Hook, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use futures::TryStreamExt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio_postgres::{CancelToken, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use umbel_core::Problem;
use umbel_supervisor::scope::Spawner;
use umbel_wit::Value;

type Result<T> = std::result::Result<T, PostgresError>;

/// Statements that one connection has prepared at most; then it forgets all of them.
const PREPARED_MAX: usize = 500;

/// How long the server may take to hear that a statement is not wanted any more.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

/// What a session is told before others get it.
const TIDY: &str = "ROLLBACK; CLOSE ALL; UNLISTEN *; RESET SESSION AUTHORIZATION; RESET ALL; DISCARD TEMP; \
                    SELECT pg_advisory_unlock_all()";

/// Statements that leave nothing behind in their session.
const PLAIN: [&str; 9] =
    ["select", "insert", "update", "delete", "with", "values", "table", "merge", "explain"];

/// A database.
pub(super) struct Database {
    pool: Pool,
    tls: MakeRustlsConnect,
    timeout: Duration,
    result_bytes_max: usize,
    tasks: Spawner,
    host: String,
    /// Whether the last call had no connection.
    failed: AtomicBool,
}

impl Database {
    /// Nothing is connected before the first call.
    pub(super) fn new(place: &Place, tasks: Spawner) -> Result<Database> {
        let settings =
            http_client::Settings { ca_file: place.ca_file.clone(), ..http_client::Settings::default() };
        let wrong = |error: http_client::ClientError| PostgresError::Config {
            key: "ca_file".into(),
            reason: error.to_string(),
        };
        let mut tls = tls_config(&settings).map_err(wrong)?;
        tls.alpn_protocols.clear();
        let tls = MakeRustlsConnect::new(tls);
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(place.config.clone(), tls.clone(), config);
        let pool = Pool::builder(manager)
            .max_size(place.pool_size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(place.timeout))
            .create_timeout(Some(place.timeout))
            .recycle_timeout(Some(place.timeout))
            .pre_recycle(Hook::sync_fn(|client, _| {
                if client.statement_cache.size() > PREPARED_MAX {
                    client.statement_cache.clear();
                }
                Ok(())
            }))
            .build()
            .map_err(|error| PostgresError::Config {
                key: "POSTGRES_POOL_SIZE".into(),
                reason: error.to_string(),
            })?;
        Ok(Database {
            pool,
            tls,
            timeout: place.timeout,
            result_bytes_max: place.result_bytes_max,
            tasks,
            host: shown(&place.config),
            failed: AtomicBool::new(false),
        })
    }

    /// Why it does not serve, if it does not.
    pub(super) fn failure(&self) -> Option<Problem> {
        let unreachable = PostgresError::Unreachable { source: None };
        self.failed.load(Relaxed).then(|| Problem::from(&unreachable))
    }

    /// The rows of a statement.
    pub(super) async fn query(&self, sql: &str, params: &[Param]) -> Result<Value> {
        self.call(!is_plain(sql), async |client| {
            let statement = prepared(client, sql, params.len()).await?;
            let rows = client.query_raw(&statement, params).await.map_err(PostgresError::of)?;
            let mut rows = pin!(rows);
            let (mut found, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.try_next().await.map_err(PostgresError::of)? {
                bytes += row.raw_size_bytes() + row.len() * size_of::<Value>();
                if bytes > self.result_bytes_max {
                    return Err(PostgresError::TooLarge { bytes_max: self.result_bytes_max });
                }
                let mut entries = Vec::with_capacity(row.len());
                for (place, column) in row.columns().iter().enumerate() {
                    let Cell(value) = row.try_get(place).map_err(PostgresError::of)?;
                    entries.push(Value::Record(vec![column.name().into(), value]));
                }
                found.push(Value::List(entries));
            }
            Ok(Value::List(found))
        })
        .await
    }

    /// How many rows a statement has changed.
    pub(super) async fn execute(&self, sql: &str, params: &[Param]) -> Result<u64> {
        self.call(!is_plain(sql), async |client| {
            let statement = prepared(client, sql, params.len()).await?;
            client.execute_raw(&statement, params).await.map_err(PostgresError::of)
        })
        .await
    }

    /// Several statements, without parameters and without rows.
    pub(super) async fn batch(&self, sql: &str) -> Result<()> {
        self.call(true, async |client| client.batch_execute(sql).await.map_err(PostgresError::of)).await
    }

    /// Whether the server takes a statement.
    pub(super) async fn prepare(&self, sql: &str) -> Result<()> {
        self.call(false, async |client| client.prepare_cached(sql).await.map(drop).map_err(PostgresError::of))
            .await
    }

    /// One call on a connection of its own, within the deadline.
    async fn call<T>(&self, tidy: bool, work: impl AsyncFnOnce(&Object) -> Result<T>) -> Result<T> {
        let result = tokio::time::timeout(self.timeout, self.with_connection(tidy, work)).await;
        let result = result.unwrap_or(Err(PostgresError::Timeout { after_ms: self.timeout.as_millis() }));
        let lost = matches!(&result, Err(PostgresError::Unreachable { .. }));
        if self.failed.swap(lost, Relaxed) != lost {
            match &result {
                Err(error) => {
                    tracing::warn!(host = self.host, cause = %Problem::from(error), "a database server does not answer");
                }
                Ok(_) => tracing::info!(host = self.host, "the database server answers again"),
            }
        }
        if let Err(PostgresError::Denied { state }) = &result {
            tracing::error!(host = self.host, state, "a database server refuses the connection");
        }
        result
    }

    async fn with_connection<T>(
        &self,
        tidy: bool,
        work: impl AsyncFnOnce(&Object) -> Result<T>,
    ) -> Result<T> {
        let client = self.pool.get().await.map_err(no_connection)?;
        let mut lease = Lease { cancel: client.cancel_token(), client: Some(client), database: self };
        let client = lease.client.as_ref().expect("only dropping takes it");
        let result = work(client).await;
        // What has failed in the middle of its rows may still be at work.
        let is_over = !matches!(&result, Err(PostgresError::TooLarge { .. } | PostgresError::Column { .. }));
        let is_clean = is_over && (!tidy || client.batch_execute(TIDY).await.is_ok());
        if is_clean {
            // Back to the pool.
            drop(lease.client.take());
        }
        result
    }
}

/// A statement that takes as many parameters.
async fn prepared(client: &Object, sql: &str, count: usize) -> Result<Statement> {
    let statement = client.prepare_cached(sql).await.map_err(PostgresError::of)?;
    let wanted = statement.params().len();
    if wanted != count {
        let reason = format!("the statement has {wanted} parameters, and {count} were given");
        return Err(PostgresError::Parameter { reason });
    }
    Ok(statement)
}

fn no_connection(error: PoolError) -> PostgresError {
    match error {
        PoolError::Backend(error) => PostgresError::of(error),
        PoolError::Closed => PostgresError::Closed,
        error => PostgresError::Unreachable { source: Some(Box::new(error)) },
    }
}

/// Whether a statement says nothing to its session. What cannot be told says something.
fn is_plain(sql: &str) -> bool {
    let word: String = sql.trim_start().chars().take_while(char::is_ascii_alphabetic).take(10).collect();
    PLAIN.contains(&word.to_ascii_lowercase().as_str())
}

/// A connection that a call has. Dropped before it was given back, what it does is cancelled, and it is closed.
struct Lease<'d> {
    client: Option<Object>,
    cancel: CancelToken,
    database: &'d Database,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let client = Object::take(client);
        let (cancel, tls) = (self.cancel.clone(), self.database.tls.clone());
        let cancelling = async move {
            let cancelled: std::pin::Pin<Box<dyn Future<Output = _> + Send>> =
                Box::pin(cancel.cancel_query(tls));
            // If it is not heard, the server finds out when it writes to the connection.
            drop(tokio::time::timeout(CANCEL_PATIENCE, cancelled).await);
            drop(client);
        };
        // A provider that is stopping closes everything anyway.
        self.database.tasks.spawn(cancelling);
    }
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn only_what_is_known_is_plain() {
        for sql in [
            "SELECT 1",
            "  insert into t values (1)",
            "\n\tWith x as (select 1) select * from x",
            "values (1)",
        ] {
            assert!(is_plain(sql), "{sql}");
        }
        for sql in [
            "BEGIN",
            "set role admin",
            "",
            "/* */ SELECT 1",
            "-- x\nSELECT 1",
            "(SELECT 1)",
            "selection",
            "LISTEN x",
        ] {
            assert!(!is_plain(sql), "{sql}");
        }
    }
}
