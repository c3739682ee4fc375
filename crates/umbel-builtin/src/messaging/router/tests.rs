use super::Router;
use proptest::prelude::*;
use std::sync::Arc;

/// The rule as a person would say it.
fn matches(pattern: &str, subject: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('.').collect();
    let subject: Vec<&str> = subject.split('.').collect();
    match pattern.split_last() {
        Some((&">", head)) => subject.len() > head.len() && same(head, &subject[..head.len()]),
        _ => pattern.len() == subject.len() && same(&pattern, &subject),
    }
}

fn same(pattern: &[&str], subject: &[&str]) -> bool {
    pattern.iter().zip(subject).all(|(p, s)| *p == "*" || p == s)
}

fn found(router: &Router<usize>, subject: &str) -> Vec<usize> {
    let mut found = Vec::new();
    router.each(subject, |item| found.push(**item));
    found.sort_unstable();
    found
}

#[test]
fn the_examples_of_nats() {
    let cases = [
        ("time.us.east", "time.us.east", true),
        ("time.us.east", "time.us", false),
        ("time.*.east", "time.us.east", true),
        ("time.*.east", "time.us.east.atlanta", false),
        ("time.us.*", "time.us.east", true),
        ("time.us.>", "time.us.east.atlanta", true),
        ("time.us.>", "time.us", false),
        (">", "a", true),
        ("*", "a", true),
        ("*", "a.b", false),
        ("*.*.east.>", "time.us.east.atlanta", true),
        ("*.*.east.>", "time.us.east", false),
    ];
    for (pattern, subject, expected) in cases {
        let mut router = Router::default();
        router.insert(pattern, Arc::new(0));
        assert_eq!(!found(&router, subject).is_empty(), expected, "{pattern} and {subject}");
        assert_eq!(matches(pattern, subject), expected, "the model: {pattern} and {subject}");
    }
}

#[test]
fn a_published_tree_does_not_change() {
    let mut router = Router::default();
    let one = Arc::new(1);
    router.insert("a.*", one.clone());
    let before = router.clone();
    router.insert("a.b", Arc::new(2));
    router.remove("a.*", &one);
    assert_eq!((found(&before, "a.b"), found(&router, "a.b")), (vec![1], vec![2]));
    assert_eq!((before.len(), router.len()), (1, 1));
}

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c"])
}

fn subject() -> impl Strategy<Value = String> {
    prop::collection::vec(word(), 1..5).prop_map(|words| words.join("."))
}

fn pattern() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec!["a", "b", "c", "*"]);
    (prop::collection::vec(word, 0..4), any::<bool>()).prop_map(|(mut words, rest)| {
        if rest || words.is_empty() {
            words.push(">");
        }
        words.join(".")
    })
}

proptest! {
    #[test]
    fn finds_what_the_slow_rule_finds(
        patterns in prop::collection::vec(pattern(), 0..24),
        gone in prop::collection::vec(any::<bool>(), 24),
        subjects in prop::collection::vec(subject(), 1..8),
    ) {
        let mut router = Router::default();
        let items: Vec<Arc<usize>> = (0..patterns.len()).map(Arc::new).collect();
        for (pattern, item) in patterns.iter().zip(&items) {
            router.insert(pattern, item.clone());
        }
        for ((pattern, item), _) in patterns.iter().zip(&items).zip(&gone).filter(|(_, gone)| **gone) {
            router.remove(pattern, item);
            // A second time changes nothing.
            router.remove(pattern, item);
        }
        let left: Vec<usize> = (0..patterns.len()).filter(|place| !gone[*place]).collect();
        prop_assert_eq!(router.len(), left.len());
        for subject in &subjects {
            let expected: Vec<usize> =
                left.iter().copied().filter(|place| matches(&patterns[*place], subject)).collect();
            prop_assert_eq!(found(&router, subject), expected, "{}", subject);
        }
        if left.is_empty() {
            prop_assert!(router.root.is_empty(), "nothing is left behind");
        }
    }
}
