//! The PostgreSQL provider with a real server.

mod server;
mod types;

use server::{Database, PASSWORD, start, values};
use std::sync::Arc;
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::link::{Contract, Distance, Link as CoreLink, ResolvedLink};
use umbel_provider::{Health, Provider};
use umbel_testkit::wait::wait_for;
use umbel_wit::{Call, Link, Serve, Value};

const INT4: u32 = 17;
const TEXT: u32 = 88;

/// A running provider.
struct Bed {
    provider: Arc<dyn Provider>,
    server: Arc<dyn Serve>,
}

/// A component of an application.
#[derive(Clone)]
struct Guest {
    server: Arc<dyn Serve>,
    link: Arc<Link>,
}

/// What an error of the contract says: its case, with `/` the one in it, and its text.
type Refused = (String, String);

/// The rows of a query: names and values of the columns.
type Rows = Vec<Vec<(String, Value)>>;

impl Bed {
    fn guest(&self, application: &str) -> Guest {
        let link = Link {
            source_id: format!("{application}-component"),
            name: "default".into(),
            application: Some(application.into()),
            values: [].into(),
        };
        Guest { server: self.server.clone(), link: Arc::new(link) }
    }

    async fn stop(self) {
        self.provider.stop(Duration::from_secs(5)).await;
    }
}

fn int4(number: i32) -> Value {
    Value::case(INT4, Value::S32(number))
}

fn text(text: &str) -> Value {
    Value::case(TEXT, text.into())
}

impl Guest {
    fn with(&self, pairs: &[(&str, &str)]) -> Guest {
        let link = Link { values: values(pairs), ..Link::clone(&self.link) };
        Guest { link: Arc::new(link), ..self.clone() }
    }

    async fn call(&self, version: &str, function: &str, args: Vec<Value>) -> Result<Value, Problem> {
        let (interface, function) = function.split_once('.').expect("an interface");
        let call = Call {
            link: self.link.clone(),
            interface: format!("wasmcloud:postgres/{interface}").into(),
            version: Some(version.parse().expect("a version")),
            function: function.into(),
            args,
            patience: None,
        };
        Ok(self.server.call(call).await?.expect("every function has a result"))
    }

    async fn result(&self, function: &str, args: Vec<Value>) -> Result<Option<Value>, Refused> {
        match self.call("0.1.1-draft", function, args).await.expect("it is served") {
            Value::Result(Ok(value)) => Ok(value.map(|value| *value)),
            Value::Result(Err(Some(error))) => Err(refused(*error)),
            other => panic!("{other:?}"),
        }
    }

    async fn query(&self, sql: &str, params: Vec<Value>) -> Result<Rows, Refused> {
        let Some(Value::List(rows)) =
            self.result("query.query", vec![sql.into(), Value::List(params)]).await?
        else {
            panic!("`query` returns rows");
        };
        let entry = |entry| match entry {
            Value::Record(fields) => match <[Value; 2]>::try_from(fields) {
                Ok([Value::String(name), value]) => (name, value),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        let row = |row| match row {
            Value::List(entries) => entries.into_iter().map(entry).collect(),
            other => panic!("{other:?}"),
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// The only value of the only row, as it prints.
    async fn one(&self, sql: &str, params: Vec<Value>) -> Result<String, Refused> {
        let mut rows = self.query(sql, params).await?;
        let (Some(mut row), true) = (rows.pop(), rows.is_empty()) else { panic!("`{sql}` has one row") };
        Ok(format!("{:?}", row.pop().expect("a column").1))
    }

    async fn batch(&self, sql: &str) -> Result<(), Refused> {
        self.result("query.query-batch", vec![sql.into()]).await.map(|nothing| assert!(nothing.is_none()))
    }

    async fn prepare(&self, sql: &str) -> Result<String, Refused> {
        match self.result("prepared.prepare", vec![sql.into()]).await? {
            Some(Value::String(token)) => Ok(token),
            other => panic!("{other:?}"),
        }
    }

    async fn exec(&self, token: &str, params: Vec<Value>) -> Result<u64, Refused> {
        match self.result("prepared.exec", vec![token.into(), Value::List(params)]).await? {
            Some(Value::U64(count)) => Ok(count),
            other => panic!("{other:?}"),
        }
    }
}

fn refused(error: Value) -> Refused {
    match error {
        Value::Variant(case, None) => (case.to_string(), String::new()),
        Value::Variant(case, Some(payload)) => match *payload {
            Value::String(text) => (case.to_string(), text),
            inner => {
                let (inner, text) = refused(inner);
                (format!("{case}/{inner}"), text)
            }
        },
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn fails<T: std::fmt::Debug>(case: &str, code: &str, result: Result<T, Refused>) {
    let (found, text) = result.expect_err("it is refused");
    assert_eq!(found, case, "{text}");
    assert!(text.starts_with(code), "{text}");
    assert!(!text.contains(PASSWORD) && !text.contains('\n'), "{text}");
}

#[tokio::test]
async fn rows_come_and_go() {
    let database = Database::start().await;
    let bed = database.bed(&[]).await;
    let guest = bed.guest("app");
    guest.batch("CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE, age int); INSERT INTO users (name) VALUES ('zoe')")
        .await
        .expect("a table");
    let rows = guest
        .query(
            "INSERT INTO users (name, age) VALUES ($1, $2), ('bob', NULL) RETURNING id, name, age",
            vec![text("al'ice"), int4(7)],
        )
        .await
        .expect("inserts");
    let shown = format!("{rows:?}");
    assert_eq!(rows.len(), 2);
    assert!(shown.contains("al'ice") && shown.contains("S32(7)"), "{shown}");
    assert_eq!(rows[0].iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["id", "name", "age"]);
    assert!(matches!(rows[1][2].1, Value::Variant(0, None)), "NULL is `null`");
    assert_eq!(guest.query("SELECT * FROM users WHERE false", vec![]).await.expect("no rows").len(), 0);

    let token = guest.prepare("UPDATE users SET age = $1 WHERE name <> $2").await.expect("a token");
    assert_eq!(guest.prepare("UPDATE users SET age = $1 WHERE name <> $2").await.expect("a token"), token);
    assert_eq!(guest.exec(&token, vec![int4(8), text("zoe")]).await, Ok(2));
    let ages: Vec<_> = (0..40).map(|_| guest.exec(&token, vec![int4(9), text("nobody")])).collect();
    for age in futures::future::join_all(ages).await {
        assert_eq!(age, Ok(3), "many at once share a few connections");
    }
    assert_eq!(
        bed.guest("other").exec(&token, vec![int4(1), text("")]).await,
        Err(("0".into(), String::new()))
    );
    assert_eq!(guest.exec("rubbish", vec![]).await, Err(("0".into(), String::new())));

    fails("0", "UM1194", guest.query("SELECT $1::int", vec![]).await);
    fails("0", "UM1194", guest.query("SELECT 1", vec![int4(1)]).await);
    fails("0", "UM1193: 22P02", guest.query("SELECT $1::int", vec![text("seven")]).await);
    fails("0", "UM1193: 22003", guest.query("SELECT $1::smallint", vec![int4(70_000)]).await);
    fails("0", "UM1194", guest.query("SELECT $1", vec![Value::case(200, 1_u32.into())]).await);
    fails("1", "UM1193: 42601", guest.query("SELEKT 1", vec![]).await);
    fails("1", "UM1193: 42601", guest.query("SELECT 1; SELECT 2", vec![]).await);
    fails("1", "UM1193: 42601", guest.query("SELECT '\0'", vec![]).await);
    fails("1", "UM1193: 42P01", guest.query("SELECT * FROM nothing", vec![]).await);
    fails("2", "UM1193: 23505", guest.query("INSERT INTO users (name) VALUES ('zoe')", vec![]).await);
    fails("2", "UM1193: 23505", guest.batch("INSERT INTO users (name) VALUES ('zoe')").await);
    fails("0", "UM1193: 42P01", guest.prepare("SELECT * FROM nothing").await);
    fails("1/0", "UM1194", guest.exec(&token, vec![]).await);
    fails("2", "UM1195", guest.query("SELECT row(1, 2)", vec![]).await);
    assert_eq!(bed.provider.health(), Health::Healthy, "what is refused is no failure of the server");

    let problem = guest.call("0.2.0", "query.query", vec!["SELECT 1".into(), Value::List(vec![])]).await;
    assert_eq!(problem.expect_err("another contract").code.to_string(), "UM0574");
    for (function, args) in [
        ("query.begin", vec![]),
        ("query.query", vec![]),
        ("query.query", vec![1_u32.into()]),
        ("other.query", vec![]),
    ] {
        guest.call("0.1.1-draft", function, args).await.expect_err(function);
    }
    bed.stop().await;
    fails("2", "UM1199", guest.query("SELECT 1", vec![]).await);
    database.end().await;
}

#[tokio::test]
async fn a_session_ends_with_its_call() {
    let database = Database::start().await;
    let bed = database.bed(&[("POSTGRES_POOL_SIZE", "1")]).await;
    let guest = bed.guest("app");
    guest.batch("CREATE TABLE t (n int); CREATE ROLE reader").await.expect("a table");
    guest.batch("BEGIN; INSERT INTO t VALUES (1)").await.expect("an open transaction");
    assert_eq!(guest.one("SELECT count(*) FROM t", vec![]).await.as_deref(), Ok("Variant(2, Some(S64(0)))"));
    guest.query("BEGIN", vec![]).await.expect("an open transaction");
    guest.query("INSERT INTO t VALUES (2)", vec![]).await.expect("a row of its own");
    assert_eq!(guest.one("SELECT count(*) FROM t", vec![]).await.as_deref(), Ok("Variant(2, Some(S64(1)))"));
    guest.batch("SET application_name = 'mine'; SET SESSION AUTHORIZATION reader").await.expect("settings");
    let name = guest.one("SELECT current_user || ' ' || current_setting('application_name')", vec![]).await;
    assert!(name.as_ref().is_ok_and(|name| name.contains("umbel umbel")), "{name:?}");
    fails(
        "1",
        "UM1193: 42P01",
        guest.batch("BEGIN; CREATE TEMP TABLE gone (n int); SELECT * FROM nothing").await,
    );
    fails("1", "UM1193: 42P01", guest.query("SELECT * FROM gone", vec![]).await);
    guest.batch("BEGIN; INSERT INTO t VALUES (3); COMMIT").await.expect("a whole transaction");
    assert_eq!(guest.one("SELECT count(*) FROM t", vec![]).await.as_deref(), Ok("Variant(2, Some(S64(2)))"));
    bed.stop().await;
    database.end().await;
}

#[tokio::test]
async fn what_takes_too_long_or_too_much_is_stopped_in_the_server() {
    let database = Database::start().await;
    let bed = database
        .bed(&[("POSTGRES_POOL_SIZE", "2"), ("timeout_ms", "400"), ("result_bytes_max", "100000")])
        .await;
    let (guest, watcher) = (bed.guest("app"), database.bed(&[]).await);
    fails("2", "UM1197", guest.query("SELECT pg_sleep(60)", vec![]).await);
    fails(
        "2",
        "UM1196",
        guest.query("SELECT repeat('x', 1000), generate_series(1, 100000000)", vec![]).await,
    );
    // A caller that goes away, too.
    let sleeping = guest.query("SELECT pg_sleep(61)", vec![]);
    assert!(tokio::time::timeout(Duration::from_millis(100), sleeping).await.is_err());
    let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query ~ 'pg_sleep|repeat' AND pid <> pg_backend_pid()";
    for _ in 0..500 {
        if watcher.guest("app").one(running, vec![]).await.as_deref() == Ok("Variant(2, Some(S64(0)))") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(watcher.guest("app").one(running, vec![]).await.as_deref(), Ok("Variant(2, Some(S64(0)))"));
    assert_eq!(
        guest.one("SELECT 1", vec![]).await.as_deref(),
        Ok("Variant(17, Some(S32(1)))"),
        "there are connections left"
    );
    bed.stop().await;
    watcher.stop().await;
    database.end().await;
}

#[tokio::test]
async fn a_lost_server_is_an_error_in_time_and_comes_back() {
    let mut database = Database::start().await;
    let bed = database.bed(&[("timeout_ms", "2000")]).await;
    let guest = bed.guest("app");
    guest.batch("CREATE TABLE t (n int)").await.expect("a table");
    let token = guest.prepare("INSERT INTO t VALUES (1)").await.expect("a token");
    database.server.end().await;
    let asked = tokio::time::timeout(Duration::from_secs(20), guest.query("SELECT 1", vec![]));
    fails("2", "UM1191", asked.await.expect("in time"));
    assert!(
        matches!(bed.provider.health(), Health::Unhealthy(problem) if problem.code.to_string() == "UM1191")
    );
    database.server.again();
    database.is_there().await;
    let mut again = guest.query("SELECT 1", vec![]).await;
    for _ in 0..20 {
        if again.is_ok() {
            break;
        }
        again = guest.query("SELECT 1", vec![]).await;
    }
    again.expect("it is there again");
    assert_eq!(
        guest.exec(&token, vec![]).await,
        Ok(1),
        "a token outlives the connection that it was made on"
    );
    wait_for("it is healthy", || bed.provider.health() == Health::Healthy).await;
    bed.stop().await;
    database.end().await;
}

#[tokio::test]
async fn passwords_and_tls_are_used_and_never_told() {
    let database = Database::start().await;
    let ca_file = database.ca_file().display().to_string();
    let tls = [("POSTGRES_HOST", "localhost"), ("POSTGRES_TLS_REQUIRED", "true"), ("ca_file", &*ca_file)];
    let bed = database.bed(&tls).await;
    let is_tls =
        bed.guest("app").one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", vec![]).await;
    assert_eq!(is_tls.as_deref(), Ok("Variant(6, Some(Bool(true)))"));
    // A certificate of nobody whom we trust.
    let untrusting = database.bed(&tls[..2]).await;
    fails("2", "UM1191", untrusting.guest("app").query("SELECT 1", vec![]).await);

    let wrong = database.bed(&[("POSTGRES_PASSWORD", "wr0ng")]).await;
    fails("2", "UM1192", wrong.guest("app").query("SELECT 1", vec![]).await);
    let missing = database.bed(&[("POSTGRES_DATABASE", "missing")]).await;
    fails("2", "UM1192", missing.guest("app").query("SELECT 1", vec![]).await);

    // Everything in one address, from a link, to a provider without a server of its own.
    let open = start(values(&[])).await.expect("links may say it");
    fails("2", "UM1190", open.guest("app").query("SELECT 1", vec![]).await);
    let url = format!("postgres://umbel:{PASSWORD}@localhost:{}/umbel", database.port);
    let put = |pairs: &[(&str, &str)]| {
        ResolvedLink::new(
            CoreLink {
                source_id: "app-component".into(),
                target: "database".into(),
                name: "default".into(),
                contract: Contract::new("wasmcloud", "postgres", &["query"]),
                source_config: Vec::new(),
                target_config: Vec::new(),
                distance: Distance::Any,
            },
            values(&[]),
            values(pairs),
        )
    };
    open.provider.put_link(put(&[("url", &url)])).await.expect("it says all");
    let linked = open.guest("app").with(&[("url", &url)]);
    assert_eq!(
        linked.one("SELECT 'x'::text", vec![]).await.as_deref(),
        Ok("Variant(88, Some(String(\"x\")))")
    );
    let broken = url.replace("localhost", "local host:x");
    for pairs in [&[][..], &[("url", &*broken)], &[("POSTGRES_PORT", "x")], &[("pool", "1")]] {
        let problem = open.provider.put_link(put(pairs)).await.expect_err("refused");
        assert_eq!(problem.code.to_string(), "UM1190", "{pairs:?}");
        assert!(!format!("{problem:?}").contains(PASSWORD), "{problem:?}");
    }
    for bed in [bed, untrusting, wrong, missing, open] {
        bed.stop().await;
    }
    database.end().await;
}
