//! The functions of `wasmcloud:postgres`, as values of WIT.

use super::Databases;
use super::error::PostgresError;
use super::statements::Statements;
use super::value::Param;
use futures::future::BoxFuture;
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_wit::serve::{Args, Link};
use umbel_wit::{Call, Serve, Value};

/// Longest statement or batch, in bytes.
const SQL_BYTES_MAX: usize = 8 << 20;
/// Bytes of all parameters of one call.
const PARAMS_BYTES_MAX: usize = 64 << 20;

/// Serves the contract.
#[derive(Clone)]
pub(super) struct Server {
    databases: Arc<Databases>,
    statements: Arc<Statements>,
}

impl Server {
    pub(super) fn new(databases: Arc<Databases>, statements: Arc<Statements>) -> Server {
        Server { databases, statements }
    }

    pub(super) fn databases(&self) -> &Databases {
        &self.databases
    }
}

impl Serve for Server {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let server = self.clone();
        Box::pin(async move { server.answer(call).await.map(Some) })
    }
}

impl Server {
    async fn answer(&self, call: Call) -> Result<Value, Problem> {
        // From 0.2.0 on the functions are the same by name and others by type.
        if call.version.as_ref().is_some_and(|version| (version.major, version.minor) != (0, 1)) {
            let message =
                format!("`sqldb-postgres` serves version 0.1 of `{}`, not the importer's", call.interface);
            return Err(Problem::new(guest::UNSUPPORTED_CALL, message));
        }
        let mut args = Args::new(&call.function, call.args);
        match (&*call.interface, &*call.function) {
            ("wasmcloud:postgres/query", "query") => {
                let (sql, params) = (args.string()?, args.list()?);
                let queried = self.query(&call.link, &sql, params).await;
                Ok(told(queried.map(Some), PostgresError::query))
            }
            ("wasmcloud:postgres/query", "query-batch") => {
                let sql = args.string()?;
                let done = self.batch(&call.link, &sql).await;
                Ok(told(done.map(|()| None), PostgresError::query))
            }
            ("wasmcloud:postgres/prepared", "prepare") => {
                let sql = args.string()?;
                let prepared = self.prepare(&call.link, &sql).await;
                Ok(told(prepared.map(|token| Some(token.into())), PostgresError::prepare))
            }
            ("wasmcloud:postgres/prepared", "exec") => {
                let (token, params) = (args.string()?, args.list()?);
                let count = self.exec(&call.link, &token, params).await;
                Ok(told(count.map(|count| Some(count.into())), PostgresError::exec))
            }
            (interface, function) => {
                let message = format!("`sqldb-postgres` does not serve `{function}` of `{interface}`");
                Err(Problem::new(guest::UNSUPPORTED_CALL, message))
            }
        }
    }

    async fn query(&self, link: &Link, sql: &str, params: Vec<Value>) -> Result<Value, PostgresError> {
        check(sql)?;
        let params = read(params)?;
        self.databases.find(link)?.query(sql, &params).await
    }

    async fn batch(&self, link: &Link, sql: &str) -> Result<(), PostgresError> {
        check(sql)?;
        self.databases.find(link)?.batch(sql).await
    }

    async fn prepare(&self, link: &Link, sql: &str) -> Result<String, PostgresError> {
        check(sql)?;
        self.databases.find(link)?.prepare(sql).await?;
        Ok(self.statements.put(owner(link), sql))
    }

    async fn exec(&self, link: &Link, token: &str, params: Vec<Value>) -> Result<u64, PostgresError> {
        let sql = self.statements.get(owner(link), token).ok_or(PostgresError::UnknownStatement)?;
        let params = read(params)?;
        self.databases.find(link)?.execute(&sql, &params).await
    }
}

/// Whose statements a component sees: its application's, or its own if it has none.
fn owner(link: &Link) -> &str {
    link.application.as_deref().unwrap_or(&link.source_id)
}

fn told(result: Result<Option<Value>, PostgresError>, error: impl FnOnce(&PostgresError) -> Value) -> Value {
    Value::Result(match result {
        Ok(value) => Ok(value.map(Box::new)),
        Err(failed) => Err(Some(Box::new(error(&failed)))),
    })
}

fn check(sql: &str) -> Result<(), PostgresError> {
    let refused = |message: String| PostgresError::Refused { state: "42601".into(), message };
    if sql.len() > SQL_BYTES_MAX {
        return Err(refused(format!("the statement has more than {SQL_BYTES_MAX} bytes")));
    }
    if sql.contains('\0') {
        return Err(refused("the statement has a NUL in it".into()));
    }
    Ok(())
}

fn read(params: Vec<Value>) -> Result<Vec<Param>, PostgresError> {
    let mut bytes = 0;
    let mut read = Vec::with_capacity(params.len());
    for (place, value) in params.into_iter().enumerate() {
        let param = Param::read(value)
            .map_err(|mismatch| PostgresError::Parameter { reason: format!("${}: {mismatch}", place + 1) })?;
        bytes += param.bytes();
        if bytes > PARAMS_BYTES_MAX {
            let reason = format!("the parameters have more than {PARAMS_BYTES_MAX} bytes");
            return Err(PostgresError::Parameter { reason });
        }
        read.push(param);
    }
    Ok(read)
}
