//! What every server of `wasi:keyvalue` has to pass: one async function for each promise, and [`check`] for all of them.
//!
//! They panic when a promise is broken. Each uses buckets of its own, so that a server with data in it can be checked too.

use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use umbel_core::Problem;
use umbel_wit::serve::Link;
use umbel_wit::value::Resource;
use umbel_wit::{Call, Serve, Value};

/// The server's limits, which it may set as it likes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest key, in bytes.
    pub key_bytes_max: usize,
    /// Largest value, in bytes.
    pub value_bytes_max: usize,
}

/// A draft of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draft {
    /// `0.2.0-draft`.
    One,
    /// `0.2.0-draft2`.
    Two,
}

/// What `variant error` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// `no-such-store`.
    NoSuchStore,
    /// `access-denied`.
    AccessDenied,
    /// `other`, with its text.
    Other(String),
}

/// A page of keys, and where to go on.
pub type Page = (Vec<String>, Option<Value>);

/// A component, as the server sees it.
#[derive(Clone)]
pub struct Client {
    server: Arc<dyn Serve>,
    link: Arc<Link>,
    draft: Draft,
}

impl Client {
    /// A component of that application.
    pub fn new(server: &Arc<dyn Serve>, draft: Draft, application: &str) -> Client {
        let link = Link {
            source_id: format!("{application}-component"),
            name: "default".into(),
            application: Some(application.into()),
            values: [].into(),
        };
        Client { server: server.clone(), link: Arc::new(link), draft }
    }

    /// The same component over a link with that config.
    #[must_use]
    pub fn with(&self, values: &[(&str, &str)]) -> Client {
        let values = values.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Client { link: Arc::new(Link { values, ..Link::clone(&self.link) }), ..self.clone() }
    }

    /// Calls any function.
    pub async fn call(&self, interface: &str, function: &str, args: Vec<Value>) -> Result<Value, Problem> {
        let version = match self.draft {
            Draft::One => "0.2.0-draft",
            Draft::Two => "0.2.0-draft2",
        };
        let call = Call {
            link: self.link.clone(),
            interface: format!("wasi:keyvalue/{interface}").into(),
            version: Some(version.parse().expect("a version")),
            function: function.into(),
            args,
            patience: None,
        };
        Ok(self.server.call(call).await?.expect("every function of the contract has a result"))
    }

    async fn result(
        &self,
        interface: &str,
        function: &str,
        args: Vec<Value>,
    ) -> Result<Option<Value>, Refused> {
        match self.call(interface, function, args).await.expect("the server serves it") {
            Value::Result(Ok(value)) => Ok(value.map(|value| *value)),
            Value::Result(Err(Some(error))) => Err(refused(*error)),
            other => panic!("`{function}` returned {other:?}"),
        }
    }

    /// `store.open`.
    pub async fn open(&self, name: &str) -> Result<Bucket, Refused> {
        match self.result("store", "open", vec![name.into()]).await? {
            Some(Value::Own(resource)) => Ok(Bucket { client: self.clone(), resource }),
            other => panic!("`open` returned {other:?}"),
        }
    }
}

/// An open bucket.
#[derive(Clone)]
pub struct Bucket {
    client: Client,
    resource: Resource,
}

impl Bucket {
    /// A bucket that came from elsewhere, for example to a watcher.
    pub fn of(client: &Client, resource: Resource) -> Bucket {
        Bucket { client: client.clone(), resource }
    }

    fn me(&self) -> Value {
        Value::Borrow(self.resource.clone())
    }

    /// `bucket.get`.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, Refused> {
        let args = vec![self.me(), key.into()];
        Ok(bytes(self.client.result("store", "[method]bucket.get", args).await?))
    }

    /// `bucket.set`.
    pub async fn set(&self, key: &str, value: impl Into<Bytes>) -> Result<(), Refused> {
        let args = vec![self.me(), key.into(), Value::bytes(value)];
        self.client.result("store", "[method]bucket.set", args).await.map(nothing)
    }

    /// `bucket.delete`.
    pub async fn delete(&self, key: &str) -> Result<(), Refused> {
        let args = vec![self.me(), key.into()];
        self.client.result("store", "[method]bucket.delete", args).await.map(nothing)
    }

    /// `bucket.exists`.
    pub async fn exists(&self, key: &str) -> Result<bool, Refused> {
        let args = vec![self.me(), key.into()];
        match self.client.result("store", "[method]bucket.exists", args).await? {
            Some(Value::Bool(exists)) => Ok(exists),
            other => panic!("`exists` returned {other:?}"),
        }
    }

    /// `bucket.list-keys`.
    pub async fn page(&self, cursor: Option<Value>) -> Result<Page, Refused> {
        let args = vec![self.me(), Value::Option(cursor.map(Box::new))];
        let Some(Value::Record(fields)) =
            self.client.result("store", "[method]bucket.list-keys", args).await?
        else {
            panic!("`list-keys` returns a record");
        };
        let Ok([Value::List(keys), Value::Option(cursor)]) = <[Value; 2]>::try_from(fields) else {
            panic!("`key-response` has keys and a cursor");
        };
        let cursor = cursor.map(|cursor| *cursor);
        let fits = match (&cursor, self.client.draft) {
            (None, _) => true,
            (Some(Value::U64(_)), draft) => draft == Draft::One,
            (Some(Value::String(_)), draft) => draft == Draft::Two,
            _ => false,
        };
        assert!(fits, "{:?} has another cursor than {cursor:?}", self.client.draft);
        Ok((keys.into_iter().map(string).collect(), cursor))
    }

    /// All keys, page by page.
    pub async fn keys(&self) -> Vec<String> {
        let (mut keys, mut cursor) = self.page(None).await.expect("the first page");
        while let Some(at) = cursor {
            let (more, next) = self.page(Some(at)).await.expect("a page");
            keys.extend(more);
            cursor = next;
        }
        keys
    }

    /// `atomics.increment`.
    pub async fn increment(&self, key: &str, delta: i64) -> Result<i128, Refused> {
        let delta = match self.client.draft {
            Draft::One => Value::U64(delta.try_into().expect("draft counts upwards")),
            Draft::Two => Value::S64(delta),
        };
        let args = vec![self.me(), key.into(), delta];
        match (self.client.result("atomics", "increment", args).await?, self.client.draft) {
            (Some(Value::U64(sum)), Draft::One) => Ok(sum.into()),
            (Some(Value::S64(sum)), Draft::Two) => Ok(sum.into()),
            other => panic!("`increment` returned {other:?}"),
        }
    }

    /// `cas.new` of draft2.
    pub async fn cas(&self, key: &str) -> Result<Cas, Refused> {
        match self.client.result("atomics", "[static]cas.new", vec![self.me(), key.into()]).await? {
            Some(Value::Own(resource)) => Ok(Cas { client: self.client.clone(), resource }),
            other => panic!("`cas.new` returned {other:?}"),
        }
    }

    /// `batch.get-many`.
    pub async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<(String, Bytes)>>, Refused> {
        let args = vec![self.me(), strings(keys)];
        let Some(Value::List(found)) = self.client.result("batch", "get-many", args).await? else {
            panic!("`get-many` returns a list");
        };
        Ok(found.into_iter().map(pair).collect())
    }

    /// `batch.set-many`.
    pub async fn set_many(&self, items: &[(&str, Bytes)]) -> Result<(), Refused> {
        let pair =
            |(key, value): &(&str, Bytes)| Value::Tuple(vec![(*key).into(), Value::Bytes(value.clone())]);
        let args = vec![self.me(), Value::List(items.iter().map(pair).collect())];
        self.client.result("batch", "set-many", args).await.map(nothing)
    }

    /// `batch.delete-many`.
    pub async fn delete_many(&self, keys: &[&str]) -> Result<(), Refused> {
        let args = vec![self.me(), strings(keys)];
        self.client.result("batch", "delete-many", args).await.map(nothing)
    }
}

/// A compare-and-swap that was begun.
pub struct Cas {
    client: Client,
    resource: Resource,
}

/// What a swap ends with, if not well.
pub enum CasError {
    /// `store-error`.
    Store(Refused),
    /// `cas-failed`, with what to try again with.
    Failed(Cas),
}

impl Cas {
    /// `cas.current`.
    pub async fn current(&self) -> Result<Option<Bytes>, Refused> {
        let me = Value::Borrow(self.resource.clone());
        Ok(bytes(self.client.result("atomics", "[method]cas.current", vec![me]).await?))
    }

    /// `atomics.swap`.
    pub async fn swap(self, value: impl Into<Bytes>) -> Result<(), CasError> {
        let args = vec![Value::Own(self.resource), Value::bytes(value)];
        match self.client.call("atomics", "swap", args).await.expect("the server serves it") {
            Value::Result(Ok(None)) => Ok(()),
            Value::Result(Err(Some(error))) => match *error {
                Value::Variant(0, Some(error)) => Err(CasError::Store(refused(*error))),
                Value::Variant(1, Some(cas)) => match *cas {
                    Value::Own(resource) => Err(CasError::Failed(Cas { client: self.client, resource })),
                    other => panic!("`cas-failed` has {other:?}"),
                },
                other => panic!("`swap` failed with {other:?}"),
            },
            other => panic!("`swap` returned {other:?}"),
        }
    }
}

fn refused(error: Value) -> Refused {
    match error {
        Value::Variant(0, None) => Refused::NoSuchStore,
        Value::Variant(1, None) => Refused::AccessDenied,
        Value::Variant(2, Some(text)) => Refused::Other(string(*text)),
        other => panic!("not an error of wasi:keyvalue: {other:?}"),
    }
}

fn nothing(value: Option<Value>) {
    assert!(value.is_none(), "`ok` has no payload here: {value:?}");
}

fn string(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => panic!("not a string: {other:?}"),
    }
}

fn strings(texts: &[&str]) -> Value {
    Value::List(texts.iter().map(|text| (*text).into()).collect())
}

fn bytes(value: Option<Value>) -> Option<Bytes> {
    match value {
        Some(Value::Option(value)) => value.map(|value| match *value {
            Value::Bytes(bytes) => bytes,
            other => panic!("not bytes: {other:?}"),
        }),
        other => panic!("not an option: {other:?}"),
    }
}

fn pair(value: Value) -> Option<(String, Bytes)> {
    let Value::Option(value) = value else { panic!("not an option: {value:?}") };
    value.map(|value| match *value {
        Value::Tuple(parts) => match <[Value; 2]>::try_from(parts) {
            Ok([Value::String(key), Value::Bytes(value)]) => (key, value),
            other => panic!("not a key and a value: {other:?}"),
        },
        other => panic!("not a tuple: {other:?}"),
    })
}

/// Everything below, with components of both drafts.
pub async fn check(server: &Arc<dyn Serve>, limits: Limits) {
    for draft in [Draft::One, Draft::Two] {
        let client = Client::new(server, draft, &format!("contract-{draft:?}").to_lowercase());
        what_is_set_is_there(&client).await;
        any_text_is_a_key(&client).await;
        limits_are_kept(&client, limits).await;
        keys_are_listed_each_once(&client).await;
        a_listing_survives_writes(&client).await;
        counters_count(&client).await;
        counters_do_not_overflow(&client).await;
        batches_do_as_single_calls(&client).await;
        buckets_are_apart(&client).await;
        applications_are_apart(server, draft).await;
        what_is_not_the_contract_is_refused(&client).await;
    }
    let client = Client::new(server, Draft::Two, "contract-cas");
    a_swap_needs_what_was_read(&client).await;
    of_many_swaps_each_counts(&client).await;
}

async fn bucket(client: &Client, name: &str) -> Bucket {
    client.open(name).await.expect("a bucket")
}

fn text(bytes: Option<Bytes>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8(bytes.to_vec()).expect("text"))
}

/// A write is seen by the reads that follow it, through every handle of the bucket.
pub async fn what_is_set_is_there(client: &Client) {
    let (b, other) = (bucket(client, "set").await, bucket(client, "set").await);
    assert_eq!(b.get("key").await, Ok(None));
    assert_eq!(b.exists("key").await, Ok(false));
    b.set("key", "one").await.expect("set");
    b.set("key", "two").await.expect("set");
    assert_eq!(text(other.get("key").await.expect("get")), Some("two".into()));
    assert_eq!(other.exists("key").await, Ok(true));
    b.set("empty", Bytes::new()).await.expect("set");
    assert_eq!(other.get("empty").await, Ok(Some(Bytes::new())));
    other.delete("key").await.expect("delete");
    other.delete("key").await.expect("a delete of nothing does nothing");
    assert_eq!(b.get("key").await, Ok(None));
    assert_eq!(b.exists("key").await, Ok(false));
    b.delete("empty").await.expect("delete");
}

/// A key is text, and nothing in it has a meaning.
pub async fn any_text_is_a_key(client: &Client) {
    let b = bucket(client, "texts").await;
    let keys = [
        "",
        " ",
        "/",
        "..",
        "../../etc/passwd",
        "a/b",
        "a\0b",
        "\0",
        "🦀",
        "ä",
        "a\u{308}",
        "*",
        ">",
        "a.b",
        "\u{10ffff}",
    ];
    for (n, key) in keys.iter().enumerate() {
        b.set(key, n.to_string()).await.unwrap_or_else(|e| panic!("{key:?}: {e:?}"));
    }
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(text(b.get(key).await.expect("get")), Some(n.to_string()), "{key:?}");
    }
    let listed: BTreeSet<String> = b.keys().await.into_iter().collect();
    assert_eq!(listed, keys.iter().map(|key| key.to_string()).collect());
    for name in ["", "/", "..", "a\0b", "🦀"] {
        let named = bucket(client, name).await;
        named.set("key", name.to_string()).await.expect("set");
        assert_eq!(text(named.get("key").await.expect("get")), Some(name.into()), "{name:?}");
        named.delete("key").await.expect("delete");
    }
    b.delete_many(&keys).await.expect("delete");
    assert_eq!(b.keys().await, [""; 0]);
}

/// What is of the limit is taken; what is beyond is refused with words, and nothing has changed.
pub async fn limits_are_kept(client: &Client, limits: Limits) {
    let b = bucket(client, "limits").await;
    let long = "k".repeat(limits.key_bytes_max);
    b.set(&long, "v").await.expect("a key of the limit");
    assert_eq!(text(b.get(&long).await.expect("get")), Some("v".into()));
    let big = Bytes::from(vec![7; limits.value_bytes_max]);
    b.set("big", big.clone()).await.expect("a value of the limit");
    assert_eq!(b.get("big").await, Ok(Some(big)));

    let longer = "k".repeat(limits.key_bytes_max + 1);
    let bigger = Bytes::from(vec![8; limits.value_bytes_max + 1]);
    other(b.set(&longer, "v").await);
    other(b.get(&longer).await);
    other(b.exists(&longer).await);
    other(b.delete(&longer).await);
    other(b.increment(&longer, 1).await);
    other(b.get_many(&["big", &longer]).await);
    other(b.delete_many(&["big", &longer]).await);
    other(b.set("big", bigger.clone()).await);
    other(b.set_many(&[("small", "v".into()), ("big", bigger)]).await);
    assert_eq!(b.exists("big").await, Ok(true), "what was refused has deleted nothing");
    assert_eq!(b.exists("small").await, Ok(false), "nothing of a refused batch is there");
    match client.open(&"b".repeat(100_000)).await {
        // A client of wasmCloud 1.x asks nobody before the first call in a bucket.
        Ok(bucket) => other(bucket.exists("key").await),
        refused => other(refused.map(drop)),
    }
    b.delete_many(&["big", &long]).await.expect("delete");
}

fn other<T: std::fmt::Debug>(result: Result<T, Refused>) {
    match result {
        Err(Refused::Other(text)) => assert!(text.len() > 10, "`{text}` tells nothing"),
        result => panic!("it was to be refused: {result:?}"),
    }
}

/// All keys come, each once, however many pages they take; a key that was deleted does not come.
pub async fn keys_are_listed_each_once(client: &Client) {
    let b = bucket(client, "listed").await;
    assert_eq!(b.keys().await, [""; 0]);
    let keys: Vec<String> = (0..2_500).map(|n| format!("key/{n}")).collect();
    let items: Vec<(&str, Bytes)> = keys.iter().map(|key| (key.as_str(), Bytes::from("v"))).collect();
    b.set_many(&items).await.expect("set");
    b.set("key/0", "again").await.expect("set");
    b.delete("key/1").await.expect("delete");
    let listed = b.keys().await;
    let distinct: BTreeSet<&String> = listed.iter().collect();
    assert_eq!(distinct.len(), listed.len(), "a key came twice");
    assert_eq!(distinct, keys.iter().filter(|key| *key != "key/1").collect());
    let all: Vec<&str> = keys.iter().map(String::as_str).collect();
    b.delete_many(&all).await.expect("delete");
    assert_eq!(b.keys().await, [""; 0]);
    if client.draft == Draft::Two {
        other(b.page(Some("not a cursor".into())).await);
    }
}

/// A key that is there all the time is listed once, whatever else is made and deleted between two pages.
pub async fn a_listing_survives_writes(client: &Client) {
    let b = bucket(client, "survives").await;
    let keys: Vec<String> = (0..3_000).map(|n| format!("key/{n}")).collect();
    let items: Vec<(&str, Bytes)> = keys.iter().map(|key| (key.as_str(), Bytes::from("v"))).collect();
    b.set_many(&items).await.expect("set");
    let mut seen = Vec::new();
    let (mut page, mut cursor) = b.page(None).await.expect("the first page");
    loop {
        // As one would empty a bucket: what was listed is deleted before the next page is asked for.
        let listed: Vec<&str> = page.iter().map(String::as_str).collect();
        b.delete_many(&listed).await.expect("delete");
        seen.extend(page);
        let Some(at) = cursor else { break };
        (page, cursor) = b.page(Some(at)).await.expect("a page");
    }
    seen.sort();
    let mut expected = keys;
    expected.sort();
    assert_eq!(seen, expected);
    assert_eq!(b.keys().await, [""; 0]);
}

/// Of many increments at once each counts, and the counter is a text of digits.
pub async fn counters_count(client: &Client) {
    let b = bucket(client, "counters").await;
    assert_eq!(b.increment("new", 5).await, Ok(5));
    assert_eq!(text(b.get("new").await.expect("get")), Some("5".into()));
    b.set("text", "41").await.expect("set");
    assert_eq!(b.increment("text", 1).await, Ok(42));
    assert_eq!(b.increment("text", 0).await, Ok(42));
    if client.draft == Draft::Two {
        assert_eq!(b.increment("text", -50).await, Ok(-8));
    }
    let many = (0..100).map(|_| b.increment("many", 1));
    let mut sums: Vec<i128> =
        futures::future::join_all(many).await.into_iter().map(|sum| sum.expect("increment")).collect();
    sums.sort();
    assert_eq!(sums, (1..=100).collect::<Vec<i128>>(), "each increment has a sum of its own");
    b.delete_many(&["new", "text", "many"]).await.expect("delete");
}

/// A counter that cannot be incremented stays as it is.
pub async fn counters_do_not_overflow(client: &Client) {
    let b = bucket(client, "overflow").await;
    let most = match client.draft {
        Draft::One => u64::MAX.to_string(),
        Draft::Two => i64::MAX.to_string(),
    };
    for value in [&*most, "no number", "", "1.5"] {
        b.set("key", value.to_string()).await.expect("set");
        other(b.increment("key", 1).await);
        assert_eq!(text(b.get("key").await.expect("get")), Some(value.into()));
    }
    b.delete("key").await.expect("delete");
}

/// What `batch` does is what `store` does, key by key.
pub async fn batches_do_as_single_calls(client: &Client) {
    let b = bucket(client, "batch").await;
    b.set_many(&[("a", "1".into()), ("b", "2".into()), ("a", "3".into())]).await.expect("set");
    let found = b.get_many(&["b", "missing", "a", "b"]).await.expect("get");
    let expected = [("b", "2"), ("", ""), ("a", "3"), ("b", "2")];
    let expected =
        expected.map(|(key, value)| (!key.is_empty()).then(|| (key.to_string(), Bytes::from(value))));
    assert_eq!(found, expected, "the answers stand in the order of the keys");
    b.delete_many(&["a", "missing"]).await.expect("delete");
    assert_eq!(b.keys().await, ["b"]);
    b.set_many(&[]).await.expect("nothing to set");
    b.delete_many(&[]).await.expect("nothing to delete");
    assert_eq!(b.get_many(&[]).await.expect("nothing to get"), []);
    b.delete("b").await.expect("delete");
}

/// A key of one bucket is not in another.
pub async fn buckets_are_apart(client: &Client) {
    let (a, b) = (bucket(client, "apart").await, bucket(client, "apart/b").await);
    a.set("key", "a").await.expect("set");
    a.set("b/key", "a").await.expect("set");
    assert_eq!(b.get("key").await, Ok(None));
    assert_eq!(b.keys().await, [""; 0]);
    b.set("key", "b").await.expect("set");
    b.delete("key").await.expect("delete");
    assert_eq!(a.keys().await.len(), 2);
    a.delete_many(&["key", "b/key"]).await.expect("delete");
}

/// Two applications that open a bucket of one name do not see one another's data.
pub async fn applications_are_apart(server: &Arc<dyn Serve>, draft: Draft) {
    let clients = ["one", "two"].map(|application| Client::new(server, draft, application));
    let buckets = [bucket(&clients[0], "default").await, bucket(&clients[1], "default").await];
    buckets[0].set("key", "one").await.expect("set");
    assert_eq!(buckets[1].get("key").await, Ok(None));
    assert_eq!(buckets[1].keys().await, [""; 0]);
    buckets[1].set("key", "two").await.expect("set");
    assert_eq!(text(buckets[0].get("key").await.expect("get")), Some("one".into()));
    for b in &buckets {
        b.delete("key").await.expect("delete");
    }
}

/// What is no function of the contract, or not called as one, is a coded problem, and nobody else is hurt.
pub async fn what_is_not_the_contract_is_refused(client: &Client) {
    let b = bucket(client, "refused").await;
    let foreign = || Value::Borrow(Resource::new("something else"));
    for (interface, function, args) in [
        ("store", "close", vec![]),
        ("nothing", "open", vec!["b".into()]),
        ("store", "open", vec![]),
        ("store", "open", vec![1_u32.into()]),
        ("store", "[method]bucket.get", vec![b.me()]),
        ("store", "[method]bucket.get", vec![foreign(), "key".into()]),
        ("store", "[method]bucket.get", vec!["b".into(), "key".into()]),
        ("store", "[method]bucket.set", vec![b.me(), "key".into(), "text".into()]),
        ("batch", "set-many", vec![b.me(), strings(&["key"])]),
        ("atomics", "increment", vec![b.me(), "key".into(), 1_u32.into()]),
        ("atomics", "swap", vec![b.me(), Value::bytes("value")]),
    ] {
        let problem = client.call(interface, function, args).await.expect_err(function);
        assert!(!problem.help.is_empty(), "{problem:?}");
    }
    assert_eq!(b.keys().await, [""; 0]);
    b.set("key", "v").await.expect("it goes on");
    b.delete("key").await.expect("delete");
}

/// A swap succeeds if nobody has written meanwhile, even the same value; if not, the handle that comes back can try again.
pub async fn a_swap_needs_what_was_read(client: &Client) {
    let b = bucket(client, "swap").await;
    let first = b.cas("key").await.expect("cas");
    assert_eq!(first.current().await, Ok(None));
    let second = b.cas("key").await.expect("cas");
    assert!(first.swap("one").await.is_ok(), "nothing was there");
    let Err(CasError::Failed(again)) = second.swap("two").await else { panic!("something was there") };
    assert_eq!(text(again.current().await.expect("current")), Some("one".into()));
    assert!(again.swap("two").await.is_ok());

    let stale = b.cas("key").await.expect("cas");
    b.set("key", "other").await.expect("set");
    b.set("key", "two").await.expect("set");
    let Err(CasError::Failed(again)) = stale.swap("three").await else { panic!("it was written meanwhile") };
    b.delete("key").await.expect("delete");
    let Err(CasError::Failed(again)) = again.swap("three").await else { panic!("it was deleted meanwhile") };
    assert_eq!(again.current().await, Ok(None));
    assert!(again.swap("three").await.is_ok());
    assert_eq!(text(b.get("key").await.expect("get")), Some("three".into()));

    let cas = b.cas("key").await.expect("cas");
    b.delete("key").await.expect("delete");
    b.set("key", "three").await.expect("set");
    assert!(matches!(cas.swap("four").await, Err(CasError::Failed(_))), "it went and came back");
    b.delete("key").await.expect("delete");
}

/// Read-modify-write by compare-and-swap loses nothing.
pub async fn of_many_swaps_each_counts(client: &Client) {
    let b = bucket(client, "swaps").await;
    let add = || async {
        let mut cas = b.cas("sum").await.expect("cas");
        loop {
            let sum: u32 =
                text(cas.current().await.expect("current")).map_or(0, |sum| sum.parse().expect("a number"));
            match cas.swap((sum + 1).to_string()).await {
                Ok(()) => return,
                Err(CasError::Failed(fresh)) => cas = fresh,
                Err(CasError::Store(error)) => panic!("{error:?}"),
            }
        }
    };
    futures::future::join_all((0..20).map(|_| add())).await;
    assert_eq!(text(b.get("sum").await.expect("get")), Some("20".into()));
    b.delete("sum").await.expect("delete");
}
