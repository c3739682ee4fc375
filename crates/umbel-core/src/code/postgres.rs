//! UM1190 to UM1199: `wasmcloud:postgres`.

use super::codes;

codes! {
    1190 CONFIG Invalid {
        title: "the config of a database provider or link is wrong",
        why: "A key of the config is not known, its value is not of the form that it takes, or nobody says which server.",
        help: "`POSTGRES_HOST`, `POSTGRES_PORT`, `POSTGRES_USERNAME`, `POSTGRES_PASSWORD`, `POSTGRES_DATABASE`, `POSTGRES_TLS_REQUIRED` \
               and `POSTGRES_POOL_SIZE`, or `url: postgres://USER:PASSWORD@HOST/DATABASE`; `ca_file`, `timeout_ms`, `result_bytes_max`",
    }
    1191 UNREACHABLE Unavailable {
        title: "the database server does not answer",
        why: "It is not there, is starting or ending, has no connection left, or TLS with it fails. A statement may or may not have been carried out.",
        help: "check that the server runs and that host and port in the config lead to it; it is tried again with the next call",
    }
    1192 DENIED Denied {
        title: "the database server refuses user, password or database",
        why: "The server knows no such user or database, or the password is wrong.",
        help: "try the same with `psql`, then correct `POSTGRES_USERNAME`, `POSTGRES_PASSWORD` or `POSTGRES_DATABASE`",
    }
    1193 REFUSED Invalid {
        title: "the database refuses the statement",
        why: "The five characters are the SQLSTATE: 23505 is a value that must be unique, 42601 a syntax error, 42P01 a table that is not there.",
        help: "look the SQLSTATE up in PostgreSQL's documentation, appendix A, and try the statement with `psql`",
    }
    1194 PARAMETER Invalid {
        title: "a parameter does not fit the statement",
        why: "There are more or fewer parameters than `$1`, `$2`, … in the statement, or one is not of its form.",
        help: "give one `pg-value` for each `$N`, in their order",
    }
    1195 COLUMN Invalid {
        title: "a column has a type that has no `pg-value`",
        why: "Ranges, composite types, arrays with NULLs or of several dimensions and some others cannot be carried.",
        help: "cast it in the statement: `SELECT thing::text`, or `to_jsonb(thing)`",
    }
    1196 TOO_LARGE Exhausted {
        title: "the result of the query is too large",
        why: "All rows are held in memory at once, so their bytes are limited. The query was stopped.",
        help: "ask for fewer rows with `LIMIT`, or raise `result_bytes_max` in the config",
    }
    1197 TIMEOUT Timeout {
        title: "the database did not answer in time",
        why: "The statement, with waiting for a connection, took longer than `timeout_ms`. It was cancelled, and nothing of it was done unless it had ended already.",
        help: "look for locks with `SELECT * FROM pg_stat_activity`, or raise `timeout_ms` or `POSTGRES_POOL_SIZE`",
    }
    1198 UNKNOWN_STATEMENT NotFound {
        title: "there is no such prepared statement",
        why: "The token is none that `prepare` has returned to this application since the provider started, or it was not used for long.",
        help: "call `prepare` again: it is cheap, and gives the same token for the same statement",
    }
    1199 CLOSED Unavailable {
        title: "the database provider is stopping",
        why: "Its links lead elsewhere in a moment, or the host ends.",
        help: "`umbel ps` shows the provider; try again",
    }
}
