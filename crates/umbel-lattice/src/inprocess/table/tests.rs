use super::*;
use crate::{Subscription, subject};
use proptest::prelude::*;

fn subscriber(id: u64, group: Option<&str>, observer: bool, room: usize) -> (Arc<Subscriber>, Subscription) {
    let (sender, subscription) = Subscription::channel(room, ());
    (Arc::new(Subscriber { id, sender, group: group.map(Into::into), observer }), subscription)
}

fn ids(found: &[Arc<Subscriber>]) -> Vec<u64> {
    let mut ids: Vec<u64> = found.iter().map(|s| s.id).collect();
    ids.sort_unstable();
    ids
}

fn token(alphabet: &'static str) -> impl Strategy<Value = String> {
    proptest::sample::select(alphabet.split(' ').collect::<Vec<_>>()).prop_map(str::to_string)
}

fn subject_of(alphabet: &'static str) -> impl Strategy<Value = String> {
    proptest::collection::vec(token(alphabet), 1..5).prop_map(|tokens| tokens.join("."))
}

proptest! {
    // The tree finds what comparing with every pattern finds, before and after some have left.
    #[test]
    fn the_tree_finds_what_a_scan_finds(
        patterns in proptest::collection::vec((subject_of("a b c *"), any::<bool>(), any::<bool>()), 0..24),
        subjects in proptest::collection::vec(subject_of("a b c"), 1..8),
    ) {
        let mut table = Table::default();
        let mut live = Vec::new();
        let mut leaving = Vec::new();
        for (id, (pattern, tail, leaves)) in patterns.into_iter().enumerate() {
            let pattern = if tail { format!("{pattern}.>") } else { pattern };
            let id = id as u64;
            table.insert(&pattern, subscriber(id, None, false, 1).0);
            if leaves { leaving.push((pattern, id)) } else { live.push((pattern, id)) }
        }
        for (pattern, id) in &leaving {
            table.remove(pattern, *id);
        }
        for subject in &subjects {
            let scan: Vec<u64> =
                live.iter().filter(|(p, _)| subject::matches(p, subject)).map(|(_, id)| *id).collect();
            prop_assert_eq!(ids(&table.matching(subject)), scan);
        }
        for (pattern, id) in &live {
            table.remove(pattern, *id);
        }
        prop_assert!(table.is_empty(), "everybody left, but something is still in the tree");
    }
}

#[test]
fn removing_what_is_not_there_changes_nothing() {
    let mut table = Table::default();
    table.insert("a.b", subscriber(1, None, false, 1).0);
    for pattern in ["a", "a.b.c", "a.>", "x", ">"] {
        table.remove(pattern, 1);
    }
    table.remove("a.b", 2);
    assert_eq!(ids(&table.matching("a.b")), [1]);
}

#[test]
fn observers_get_everything_and_count_for_nothing() {
    let (observer, mut heard) = subscriber(1, None, true, 4);
    let delivered = deliver(std::slice::from_ref(&observer), Message::new("a", "x"), 0);
    assert_eq!(delivered, Delivered { responders: 0, queued: 0 });
    let (worker, _inbox) = subscriber(2, None, false, 1);
    let both = [observer, worker];
    assert_eq!(deliver(&both, Message::new("a", "y"), 0), Delivered { responders: 1, queued: 1 });
    assert_eq!(
        deliver(&both, Message::new("a", "z"), 0),
        Delivered { responders: 1, queued: 0 },
        "its queue is full"
    );
    let payloads: Vec<_> = std::iter::from_fn(|| heard.try_next()).map(|m| m.payload).collect();
    assert_eq!(payloads, ["x", "y", "z"]);
}

#[test]
fn a_group_passes_over_members_without_room() {
    let (full, mut full_queue) = subscriber(1, Some("g"), false, 1);
    let (roomy, _roomy_queue) = subscriber(2, Some("g"), false, 100);
    let members = [full, roomy];
    for turn in 0..101 {
        let delivered = deliver(&members, Message::new("a", "x"), turn);
        assert_eq!(delivered, Delivered { responders: 1, queued: 1 }, "message {turn}");
    }
    assert_eq!(deliver(&members, Message::new("a", "x"), 7).queued, 0, "now all are full");
    assert!(full_queue.try_next().is_some());
}

#[test]
fn a_group_that_subscribed_to_several_patterns_is_still_one_group() {
    let mut table = Table::default();
    let mut queues = Vec::new();
    for (id, pattern) in [(1, "a.b"), (2, "a.*"), (3, "a.>"), (4, ">")] {
        let (member, queue) = subscriber(id, Some("g"), false, 1_000);
        table.insert(pattern, member);
        queues.push(queue);
    }
    for turn in 0..400 {
        assert_eq!(deliver(&table.matching("a.b"), Message::new("a.b", "x"), turn).queued, 1);
    }
    let counts: Vec<usize> = queues.iter_mut().map(|q| std::iter::from_fn(|| q.try_next()).count()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 400);
    assert!(counts.iter().all(|count| *count > 50), "unfair: {counts:?}");
}
