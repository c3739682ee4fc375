//! A value leaves no trace in errors, `Debug`, logs or files.

use super::{app, open, server};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use umbel_builtin::secrets::Secret;
use umbel_builtin::secrets::contract::{Client, Revealed};

const CANARY: &str = "canary-5f1c9e";

/// Keeps everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.lock().expect("nobody panicked").push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_value_leaves_no_trace() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = open(folder.path());
    let secret = Secret::from(CANARY.to_string());
    let mut said = format!("{secret:?}");
    secrets.put(&app("app"), "name", secret).expect("put");
    let large = Secret::from(CANARY.repeat(10_000));
    said += &format!("{:?}", secrets.put(&app("app"), "large", large).expect_err("too large"));
    let unnamed = secrets.put(&app("app"), "", CANARY.to_string().into()).expect_err("no name");
    said += &format!("{unnamed} {unnamed:?}");
    said += &format!("{:?}", secrets.list());
    let client = Client::new(&server(&secrets).await, "app-a", Some("app"));
    let handle = client.get("name").await.expect("it is there");
    said += &format!("{handle:?}");
    assert_eq!(client.reveal(&handle).await, Revealed::String(CANARY.into()));

    let logged = log.0.lock().expect("nobody panicked").clone();
    assert!(logged.contains("app-a") && logged.contains("name"), "who reads what is logged: {logged}");
    for file in std::fs::read_dir(folder.path().join("secrets")).expect("a folder") {
        let bytes = std::fs::read(file.expect("an entry").path()).expect("read");
        said += &String::from_utf8_lossy(&bytes);
    }
    assert!(!said.contains(CANARY) && !logged.contains(CANARY));
}
