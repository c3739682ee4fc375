//! What every server of `wasmcloud:secrets` has to pass.

use super::{Scope, Secret};
use std::sync::Arc;
use umbel_core::Problem;
use umbel_wit::serve::Link;
use umbel_wit::value::Resource;
use umbel_wit::{Call, Serve, Value};

/// What `variant secrets-error` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// `upstream`, with its text.
    Upstream(String),
    /// `io`, with its text.
    Io(String),
    /// `not-found`.
    NotFound,
}

/// A `secret-value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revealed {
    /// `string`.
    String(String),
    /// `bytes`.
    Bytes(Vec<u8>),
}

/// A component, as the server sees it.
#[derive(Clone)]
pub struct Client {
    server: Arc<dyn Serve>,
    link: Arc<Link>,
}

impl Client {
    /// A component of that application, or of none.
    pub fn new(server: &Arc<dyn Serve>, component: &str, application: Option<&str>) -> Client {
        let link = Link {
            source_id: component.into(),
            name: "default".into(),
            application: application.map(Into::into),
            values: [].into(),
        };
        Client { server: server.clone(), link: Arc::new(link) }
    }

    /// The same component over a link with that config.
    #[must_use]
    pub fn with(&self, values: &[(&str, &str)]) -> Client {
        let values = values.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let link = Arc::new(Link { values, ..Link::clone(&self.link) });
        Client { server: self.server.clone(), link }
    }

    /// Calls any function.
    pub async fn call(&self, interface: &str, function: &str, args: Vec<Value>) -> Result<Value, Problem> {
        let call = Call {
            link: self.link.clone(),
            interface: format!("wasmcloud:secrets/{interface}").into(),
            version: Some("0.1.0-draft".parse().expect("a version")),
            function: function.into(),
            args,
            patience: None,
        };
        Ok(self.server.call(call).await?.expect("every function of the contract has a result"))
    }

    /// `store.get`.
    pub async fn get(&self, name: &str) -> Result<Resource, Refused> {
        match self.call("store", "get", vec![name.into()]).await.expect("the server serves it") {
            Value::Result(Ok(Some(secret))) => match *secret {
                Value::Own(resource) => Ok(resource),
                other => panic!("`get` returned {other:?}"),
            },
            Value::Result(Err(Some(error))) => Err(match *error {
                Value::Variant(0, Some(text)) => Refused::Upstream(string(*text)),
                Value::Variant(1, Some(text)) => Refused::Io(string(*text)),
                Value::Variant(2, None) => Refused::NotFound,
                other => panic!("not an error of wasmcloud:secrets: {other:?}"),
            }),
            other => panic!("`get` returned {other:?}"),
        }
    }

    /// `reveal.reveal`.
    pub async fn reveal(&self, secret: &Resource) -> Revealed {
        let args = vec![Value::Borrow(secret.clone())];
        match self.call("reveal", "reveal", args).await.expect("the server serves it") {
            Value::Variant(0, Some(value)) => Revealed::String(string(*value)),
            Value::Variant(1, Some(value)) => match *value {
                Value::Bytes(bytes) => Revealed::Bytes(bytes.to_vec()),
                other => panic!("not bytes: {other:?}"),
            },
            other => panic!("`reveal` returned {other:?}"),
        }
    }

    /// Both, where it is known to be there.
    pub async fn read(&self, name: &str) -> Revealed {
        let secret = self.get(name).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        self.reveal(&secret).await
    }
}

fn string(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => panic!("not a string: {other:?}"),
    }
}

/// Changes the secrets that the server serves: the second one puts a value, or deletes it where there is none.
pub type Change<'c> = &'c dyn Fn(&Scope, &str, Option<Secret>);

/// Everything below.
pub async fn check(server: &Arc<dyn Serve>, change: Change<'_>) {
    what_is_kept_is_revealed(server, change).await;
    what_is_not_there_is_not_found(server, change).await;
    applications_are_apart(server, change).await;
    a_handle_stays_what_it_is(server, change).await;
    what_is_not_the_contract_is_refused(server, change).await;
}

fn app(name: &str) -> Scope {
    Scope::Application(name.into())
}

/// Text is revealed as text, bytes as bytes, as often as one likes.
pub async fn what_is_kept_is_revealed(server: &Arc<dyn Serve>, change: Change<'_>) {
    let client = Client::new(server, "a", Some("kept"));
    let bytes: Vec<u8> = (0..=255).collect();
    let values = [
        ("text", Revealed::String("pässwörd 🦀\0\n".into())),
        ("empty", Revealed::String(String::new())),
        ("bytes", Revealed::Bytes(bytes)),
        ("no-bytes", Revealed::Bytes(Vec::new())),
        ("a/b/../c d.🦀", Revealed::String("any printable text is a name".into())),
    ];
    for (name, value) in &values {
        let secret = match value.clone() {
            Revealed::String(text) => text.into(),
            Revealed::Bytes(bytes) => bytes.into(),
        };
        change(&app("kept"), name, Some(secret));
    }
    for (name, value) in &values {
        let secret = client.get(name).await.expect("it is there");
        assert_eq!(&client.reveal(&secret).await, value, "{name}");
        assert_eq!(&client.reveal(&secret).await, value, "{name} again");
        change(&app("kept"), name, None);
    }
}

/// A name that is not there, and one that can be none, is the contract's own `not-found`.
pub async fn what_is_not_there_is_not_found(server: &Arc<dyn Serve>, change: Change<'_>) {
    let client = Client::new(server, "a", Some("missing"));
    change(&app("missing"), "here", Some("x".to_string().into()));
    let long = "n".repeat(100_000);
    for name in ["", "her", "here ", "here\0", "Here", "..", "/", "🦀", "../missing/here", &long] {
        assert_eq!(client.get(name).await.err(), Some(Refused::NotFound), "{name:.20}");
    }
    assert_eq!(client.read("here").await, Revealed::String("x".into()));
    change(&app("missing"), "here", None);
    assert_eq!(client.get("here").await.err(), Some(Refused::NotFound));
}

/// A component reads the secrets of its own application, and shared ones only over a link that says so.
pub async fn applications_are_apart(server: &Arc<dyn Serve>, change: Change<'_>) {
    let scopes = [app("one"), app("two"), Scope::Component("alone".into()), Scope::Shared];
    for (n, scope) in scopes.iter().enumerate() {
        change(scope, "name", Some(n.to_string().into()));
        change(scope, &format!("only-{n}"), Some("x".to_string().into()));
    }
    let clients = [
        Client::new(server, "one-a", Some("one")),
        Client::new(server, "two-a", Some("two")),
        Client::new(server, "alone", None),
        Client::new(server, "one-b", Some("one")).with(&[("scope", "shared")]),
    ];
    for (n, client) in clients.iter().enumerate() {
        assert_eq!(client.read("name").await, Revealed::String(n.to_string()));
        for m in 0..scopes.len() {
            let found = client.get(&format!("only-{m}")).await;
            assert_eq!(found.err(), (n != m).then_some(Refused::NotFound), "{n} reads the secret of {m}");
        }
    }
    for (n, scope) in scopes.iter().enumerate() {
        change(scope, "name", None);
        change(scope, &format!("only-{n}"), None);
    }
}

/// A secret that was replaced or deleted after `get` is revealed as it was then; the next `get` finds what there is.
pub async fn a_handle_stays_what_it_is(server: &Arc<dyn Serve>, change: Change<'_>) {
    let client = Client::new(server, "a", Some("rotated"));
    change(&app("rotated"), "key", Some("old".to_string().into()));
    let old = client.get("key").await.expect("it is there");
    change(&app("rotated"), "key", Some("new".to_string().into()));
    assert_eq!(client.reveal(&old).await, Revealed::String("old".into()));
    assert_eq!(client.read("key").await, Revealed::String("new".into()));
    change(&app("rotated"), "key", None);
    assert_eq!(client.reveal(&old).await, Revealed::String("old".into()));
    assert_eq!(client.get("key").await.err(), Some(Refused::NotFound));
}

/// What is no function of the contract, or not called as one, is a coded problem.
pub async fn what_is_not_the_contract_is_refused(server: &Arc<dyn Serve>, _: Change<'_>) {
    let client = Client::new(server, "a", Some("refused"));
    for (interface, function, args) in [
        ("store", "put", vec!["name".into(), "value".into()]),
        ("store", "list", vec![]),
        ("store", "get", vec![]),
        ("store", "get", vec![7_u32.into()]),
        ("reveal", "reveal", vec!["name".into()]),
        ("reveal", "reveal", vec![Value::Borrow(Resource::new("something else"))]),
    ] {
        let problem = client.call(interface, function, args).await.expect_err(function);
        assert!(!problem.help.is_empty(), "{problem:?}");
    }
}
