//! Whose data a bucket holds.

use super::{Bed, text};
use std::sync::Arc;
use umbel_builtin::keyvalue::contract::Client;
use umbel_core::Problem;
use umbel_wit::serve::Link;
use umbel_wit::{Call, Value};

async fn set(client: &Client, name: &str, value: &str) {
    client.open(name).await.expect("a bucket").set("key", value.to_string()).await.expect("set");
}

async fn get(client: &Client, name: &str) -> Option<String> {
    text(client.open(name).await.expect("a bucket").get("key").await)
}

#[tokio::test]
async fn buckets_are_shared_only_where_both_links_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = Bed::open(folder.path(), &[]).await;
    let (one, two) = (bed.client("one"), bed.client("two"));
    set(&one, "default", "one").await;
    assert_eq!(get(&two, "default").await, None);
    assert_eq!(get(&two, "../one/default").await, None, "a name is no path");

    let shared = [("scope", "shared")];
    let (one_shared, two_shared) = (one.with(&shared), two.with(&shared));
    set(&one_shared, "default", "shared").await;
    assert_eq!(get(&two_shared, "default").await.as_deref(), Some("shared"));
    assert_eq!(
        get(&one, "default").await.as_deref(),
        Some("one"),
        "it is another bucket than the application's own"
    );

    let named = one.with(&[("bucket", "orders")]);
    set(&named, "whatever", "orders").await;
    assert_eq!(get(&named, "default").await.as_deref(), Some("orders"), "all that is opened leads there");
    assert_eq!(
        get(&one, "orders").await.as_deref(),
        Some("orders"),
        "which is the application's bucket of that name"
    );
    let both = [("bucket", "orders"), ("scope", "shared")];
    assert_eq!(get(&two.with(&both), "x").await, None);
    set(&one.with(&both), "x", "for all").await;
    assert_eq!(get(&two_shared, "orders").await.as_deref(), Some("for all"));
    bed.stop().await;
}

#[tokio::test]
async fn a_component_without_an_application_has_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = Bed::open(folder.path(), &[]).await;
    let open = |source: &str, application: Option<&str>| {
        let link = Link {
            source_id: source.into(),
            name: "default".into(),
            application: application.map(Into::into),
            values: [].into(),
        };
        let call = Call {
            link: Arc::new(link),
            interface: "wasi:keyvalue/store".into(),
            version: None,
            function: "open".into(),
            args: vec!["default".into()],
            patience: None,
        };
        let server = bed.server.clone();
        let client = bed.client("x");
        async move {
            let opened: Result<Option<Value>, Problem> = server.call(call).await;
            match opened.expect("open") {
                Some(Value::Result(Ok(Some(bucket)))) => match *bucket {
                    Value::Own(resource) => umbel_builtin::keyvalue::contract::Bucket::of(&client, resource),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
        }
    };
    open("lonely", None).await.set("key", "mine").await.expect("set");
    assert_eq!(text(open("lonely", None).await.get("key").await).as_deref(), Some("mine"));
    assert_eq!(text(open("other", None).await.get("key").await), None);
    assert_eq!(text(open("other", Some("lonely")).await.get("key").await), None);
    open("a", Some("app")).await.set("key", "ours").await.expect("set");
    assert_eq!(text(open("b", Some("app")).await.get("key").await).as_deref(), Some("ours"));
    bed.stop().await;
}
