//! What can go wrong, as the operator is told it and as a guest is.

use tokio_postgres::error::SqlState;
use umbel_core::code::postgres as code;
use umbel_core::{Code, Coded};
use umbel_wit::Value;

/// Why a call or a config is refused.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Wrong config.
    #[error("config `{key}`: {reason}")]
    Config {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection.
    #[error("the database server does not answer")]
    Unreachable {
        /// What the client said.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The server refuses user, password or database.
    #[error("the database server refuses the connection: {state}")]
    Denied {
        /// The SQLSTATE.
        state: String,
    },
    /// The server refuses the statement.
    #[error("{state}: {message}")]
    Refused {
        /// The SQLSTATE: five characters.
        state: String,
        /// What the server says.
        message: String,
    },
    /// A parameter that does not fit.
    #[error("{reason}")]
    Parameter {
        /// What is wrong.
        reason: String,
    },
    /// A column of a type that has no `pg-value`.
    #[error("{reason}")]
    Column {
        /// What is wrong.
        reason: String,
    },
    /// More bytes than a call may return.
    #[error("the result has more than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// No answer in time.
    #[error("the database did not answer within {after_ms} ms, and was told to stop")]
    Timeout {
        /// The limit.
        after_ms: u128,
    },
    /// A token of nobody's.
    #[error("this is no token of a prepared statement")]
    UnknownStatement,
    /// The provider is stopping.
    #[error("the provider is stopping")]
    Closed,
}

impl PostgresError {
    /// What an error of the client means.
    pub(super) fn of(error: tokio_postgres::Error) -> PostgresError {
        if let Some(db) = error.as_db_error() {
            let state = db.code().code().to_string();
            // Class 08 is of connections, 28 of users, 57P of a server that ends or starts; 3D000 is a database that is not there.
            if state.starts_with("28") || db.code() == &SqlState::INVALID_CATALOG_NAME {
                return PostgresError::Denied { state };
            }
            if state.starts_with("08") || state.starts_with("57P") || state.starts_with("53300") {
                return PostgresError::Unreachable { source: Some(Box::new(error)) };
            }
            return PostgresError::Refused { state, message: shown(db.message()) };
        }
        if std::error::Error::source(&error).is_some_and(|source| source.is::<super::value::Mismatch>()) {
            let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            return match error.to_string().starts_with("error deserializing") {
                true => PostgresError::Column { reason },
                false => PostgresError::Parameter { reason },
            };
        }
        PostgresError::Unreachable { source: Some(Box::new(error)) }
    }

    /// The text that a guest is told.
    fn text(&self) -> Value {
        format!("{}: {self}", self.code()).into()
    }

    /// The `query-error` of the contract.
    pub(super) fn query(&self) -> Value {
        const INVALID_PARAMS: u32 = 0;
        const INVALID_QUERY: u32 = 1;
        const UNEXPECTED: u32 = 2;
        let case = match self {
            PostgresError::Parameter { .. } => INVALID_PARAMS,
            // Class 22: a value that its type does not take. Class 42: a statement that cannot be understood or is not allowed.
            PostgresError::Refused { state, .. } if state.starts_with("22") => INVALID_PARAMS,
            PostgresError::Refused { state, .. } if state.starts_with("42") => INVALID_QUERY,
            _ => UNEXPECTED,
        };
        Value::case(case, self.text())
    }

    /// The `statement-prepare-error` of the contract.
    pub(super) fn prepare(&self) -> Value {
        const UNEXPECTED: u32 = 0;
        Value::case(UNEXPECTED, self.text())
    }

    /// The `prepared-statement-exec-error` of the contract.
    pub(super) fn exec(&self) -> Value {
        const UNKNOWN: u32 = 0;
        const QUERY_ERROR: u32 = 1;
        const UNEXPECTED: u32 = 2;
        match self {
            PostgresError::UnknownStatement => Value::Variant(UNKNOWN, None),
            PostgresError::Parameter { .. }
            | PostgresError::Refused { .. }
            | PostgresError::Column { .. } => Value::case(QUERY_ERROR, self.query()),
            _ => Value::case(UNEXPECTED, self.text()),
        }
    }
}

/// At most 400 characters, on one line.
fn shown(text: &str) -> String {
    text.chars().take(400).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Coded for PostgresError {
    fn code(&self) -> Code {
        match self {
            PostgresError::Config { .. } => code::CONFIG,
            PostgresError::Unreachable { .. } => code::UNREACHABLE,
            PostgresError::Denied { .. } => code::DENIED,
            PostgresError::Refused { .. } => code::REFUSED,
            PostgresError::Parameter { .. } => code::PARAMETER,
            PostgresError::Column { .. } => code::COLUMN,
            PostgresError::TooLarge { .. } => code::TOO_LARGE,
            PostgresError::Timeout { .. } => code::TIMEOUT,
            PostgresError::UnknownStatement => code::UNKNOWN_STATEMENT,
            PostgresError::Closed => code::CLOSED,
        }
    }
}
