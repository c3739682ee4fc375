//! The counter of `examples/counter`: what was counted once stays counted.

use crate::{ask, running};
use umbel_testkit::Platform;
use umbel_testkit::wait::block_until;

/// One visit; its number.
fn visit(platform: &Platform, path: &str) -> u64 {
    let answer = platform.get("counter", path).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().trim().parse().unwrap()
}

fn all(platform: &Platform) -> serde_json::Value {
    serde_json::from_slice(&platform.get("counter", "/?all").unwrap().body).unwrap()
}

#[test]
fn each_path_has_a_number_of_its_own() {
    let platform = running("counter");
    assert_eq!(all(&platform), serde_json::json!({}));
    assert_eq!([visit(&platform, "/"), visit(&platform, "/"), visit(&platform, "/tea")], [1, 2, 1]);
    // The query is not a part of the path.
    assert_eq!(visit(&platform, "/tea?milk"), 2);
    assert_eq!(visit(&platform, "/%22quoted\"\\"), 1);
    assert_eq!(all(&platform), serde_json::json!({"/": 2, "/tea": 2, "/%22quoted\"\\": 1}));

    assert_eq!(ask(&platform, "counter", "DELETE", "/tea", None).status, 204);
    assert_eq!(visit(&platform, "/tea"), 1);
    assert_eq!(ask(&platform, "counter", "PUT", "/", Some(b"7")).status, 405);
    let answer = platform.get("counter", &format!("/{}", "n".repeat(2000))).unwrap();
    assert_eq!(answer.status, 414);
    assert!(answer.text().starts_with("UM1100: "), "{}", answer.text());
}

#[test]
fn no_visit_is_lost_or_counted_twice() {
    let mut platform = running("counter");
    let mut numbers: Vec<u64> = std::thread::scope(|scope| {
        let visitor = || (0..50).map(|_| visit(&platform, "/")).collect::<Vec<_>>();
        let visitors: Vec<_> = (0..8).map(|_| scope.spawn(visitor)).collect();
        visitors.into_iter().flat_map(|visitor| visitor.join().unwrap()).collect()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=400).collect::<Vec<_>>());

    platform.signal("KILL").unwrap();
    block_until("it is gone", || !platform.is_alive());
    platform.start().unwrap();
    block_until("it answers", || platform.get("counter", "/?all").unwrap().status == 200);
    assert_eq!(visit(&platform, "/"), 401);
}
