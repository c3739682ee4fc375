//! Limits of size, and what is not hurt when they are hit.

use super::{Bed, code, text};
use bytes::Bytes;
use umbel_builtin::keyvalue::contract::Draft;
use umbel_core::link::Values;

#[tokio::test]
async fn each_limit_has_its_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = Bed::open(folder.path(), &[("value_bytes_max", "1000"), ("page_keys_max", "3")]).await;
    let bucket = bed.bucket("app", "default").await;
    bucket.set("k", vec![0; 1000]).await.expect("a value of the limit");
    assert_eq!(code(bucket.set("k", vec![0; 1001]).await), "UM1101");
    assert_eq!(code(bucket.set(&"k".repeat(1025), "v").await), "UM1100");
    assert_eq!(code(bed.client("app").open(&"b".repeat(257)).await.map(drop)), "UM1102");
    let many = vec!["k"; 10_001];
    assert_eq!(code(bucket.get_many(&many).await), "UM1103");
    assert_eq!(code(bucket.delete_many(&many).await), "UM1103");
    assert_eq!(code(bucket.page(Some("x".into())).await), "UM1105");
    bucket.set("n", "none").await.expect("set");
    assert_eq!(code(bucket.increment("n", 1).await), "UM1106");
    bucket.set("n", i64::MIN.to_string()).await.expect("set");
    assert_eq!(code(bucket.increment("n", -1).await), "UM1107");
    bucket.set_many(&[("a", "".into()), ("b", "".into())]).await.expect("set");
    assert_eq!(bucket.page(None).await.expect("a page").0.len(), 3);
    assert_eq!(bucket.keys().await, ["k", "n", "a", "b"], "in the order in which they were made");
    bed.stop().await;
}

#[tokio::test]
async fn an_answer_of_many_large_values_is_limited() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = Bed::open(folder.path(), &[]).await;
    let bucket = bed.bucket("app", "default").await;
    bucket.set("big", vec![1; 8 << 20]).await.expect("set");
    assert_eq!(bucket.get_many(&["big"; 8]).await.expect("64 MiB").len(), 8);
    assert_eq!(code(bucket.get_many(&["big"; 9]).await), "UM1103");
    let big = Bytes::from(vec![2; 8 << 20]);
    let keys: Vec<String> = (0..9).map(|n| n.to_string()).collect();
    let items: Vec<(&str, Bytes)> = keys.iter().map(|key| (key.as_str(), big.clone())).collect();
    assert_eq!(code(bucket.set_many(&items).await), "UM1103");
    assert_eq!(bucket.keys().await, ["big"]);
    bed.stop().await;
}

#[tokio::test]
async fn a_full_application_does_not_hurt_another_and_can_be_emptied() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = [("application_bytes_max", "10000"), ("total_bytes_max", "15000")];
    let bed = Bed::open(folder.path(), &config).await;
    let (greedy, modest) = (bed.bucket("greedy", "default").await, bed.bucket("modest", "default").await);
    let mut stored = 0;
    let refused = loop {
        match greedy.set(&format!("key/{stored}"), vec![7; 500]).await {
            Ok(()) => stored += 1,
            refused => break refused,
        }
    };
    assert_eq!(code(refused), "UM1104");
    assert!((15..20).contains(&stored), "{stored} of 500 bytes fit into 10,000");
    assert_eq!(
        code(greedy.increment("counter", 1).await.map(drop).and(greedy.set("x", vec![7; 900]).await)),
        "UM1104"
    );
    modest.set("key", vec![7; 2_000]).await.expect("the other application has room");
    assert_eq!(code(modest.set("key", vec![7; 8_000]).await), "UM1104", "all together have a limit too");
    assert_eq!(modest.get("key").await.expect("get").map(|value| value.len()), Some(2_000));

    // A batch fits as a whole or not at all.
    let half = Bytes::from(vec![7; 100]);
    greedy.delete_many(&["key/0", "counter"]).await.expect("what is full can be emptied");
    assert_eq!(code(greedy.set_many(&[("a", half.clone()), ("b", vec![7; 900].into())]).await), "UM1104");
    assert_eq!(greedy.exists("a").await, Ok(false));
    greedy.set("key/1", vec![7; 400]).await.expect("what shrinks is taken");
    bed.stop().await;

    // What is used is known after a restart, and the limit can be raised while it runs.
    let bed = Bed::open(folder.path(), &config).await;
    let greedy = bed.bucket("greedy", "default").await;
    assert_eq!(code(greedy.set("b", vec![7; 1_500]).await), "UM1104");
    bed.provider.put_config(Values::new()).await.expect("config");
    greedy.set("b", vec![7; 1_500]).await.expect("there is room");
    bed.stop().await;
}

#[tokio::test]
async fn wrong_config_is_refused_and_what_runs_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let problem = Bed::try_open(folder.path(), &[("value_bytes_max", "0")]).await.err().expect("refused");
    assert_eq!(problem.code.to_string(), "UM1108");
    let bed = Bed::open(folder.path(), &[]).await;
    bed.provider.put_config(super::values(&[("value_bytes_max", "many")])).await.expect_err("refused");
    let link = super::link("app-component", "keyvalue", &[], &[("scope", "all")]);
    assert_eq!(bed.provider.put_link(link).await.expect_err("refused").code.to_string(), "UM1108");
    let bucket = bed.bucket("app", "default").await;
    bucket.set("key", "value").await.expect("set");
    assert_eq!(text(bucket.get("key").await).as_deref(), Some("value"));
    let other = umbel_builtin::keyvalue::contract::Client::new(&bed.server, Draft::One, "app");
    assert_eq!(code(other.with(&[("scope", "all")]).open("default").await.map(drop)), "UM1108");
    bed.stop().await;
}
