use super::*;
use crate::LatticeError;
use futures::FutureExt;

fn change(key: &str, revision: u64, value: Option<&str>) -> Change {
    let place = Place { bucket: "b".into(), key: key.into() };
    Change { place, revision, value: value.map(|v| Bytes::copy_from_slice(v.as_bytes())) }
}

/// What the watch shows without waiting, shortened.
fn shown(watch: &mut Watch) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(event) = watch.next().now_or_never() {
        all.push(match event {
            Some(WatchEvent::Put(entry)) => format!("+{}@{}", entry.key, entry.revision),
            Some(WatchEvent::Delete { key, revision }) => format!("-{key}@{revision}"),
            Some(WatchEvent::InSync) => "sync".into(),
            None => {
                all.push("end".into());
                break;
            }
        });
    }
    all
}

#[test]
fn a_slow_watch_skips_states_but_not_keys() {
    let memory = Memory::new([], 0);
    let mut watch = memory.watch("b", "", None).expect("watch");
    assert_eq!(shown(&mut watch), ["sync"]);
    memory.apply(&[change("a", 1, Some("1")), change("b", 2, Some("1")), change("a", 3, Some("2"))]);
    assert_eq!(shown(&mut watch), ["+b@2", "+a@3"]);
    memory.apply(&[change("b", 4, None), change("c", 5, Some("1")), change("c", 6, None)]);
    assert_eq!(shown(&mut watch), ["-b@4", "-c@6"]);
    memory.close();
    assert_eq!(shown(&mut watch), ["end"]);
    assert_eq!(shown(&mut memory.watch("new", "", None).expect("watch")), ["sync", "end"]);
}

#[test]
fn a_change_during_the_replay_comes_after_the_marker() {
    let memory = Memory::new([], 0);
    for n in 1..=200 {
        memory.apply(&[change(&format!("k{n}"), n, Some("1"))]);
    }
    let mut watch = memory.watch("b", "", None).expect("watch");
    assert!(watch.next().now_or_never().is_some(), "the replay has begun");
    memory.apply(&[change("k150", 201, Some("2")), change("k1", 202, None)]);
    let all = shown(&mut watch);
    assert_eq!(all[all.len() - 3..], ["sync", "+k150@201", "-k1@202"]);
    assert!(!all.contains(&"+k150@150".to_string()), "its old state is gone");
}

#[test]
fn a_resumed_watch_shows_deletes_a_fresh_one_does_not() {
    let memory = Memory::new([], 0);
    memory.apply(&[change("a", 1, Some("1")), change("b", 2, Some("1")), change("a", 3, None)]);
    assert_eq!(shown(&mut memory.watch("b", "", None).expect("watch")), ["+b@2", "sync"]);
    assert_eq!(shown(&mut memory.watch("b", "", Some(2)).expect("watch")), ["-a@3", "sync"]);
    assert_eq!(shown(&mut memory.watch("b", "", Some(3)).expect("watch")), ["sync"]);
    assert_eq!(shown(&mut memory.watch("b", "b", Some(1)).expect("watch")), ["+b@2", "sync"]);
}

#[test]
fn deletes_from_before_the_file_was_opened_are_not_known() {
    let place = Place { bucket: "b".into(), key: "a".into() };
    let memory = Memory::new([(place, Stored { revision: 4, value: "1".into() })], 9);
    let error = memory.watch("b", "", Some(8)).expect_err("too long ago");
    assert!(matches!(error, LatticeError::RevisionGone { after: 8, .. }));
    let mut resumed = memory.watch("b", "", Some(9)).expect("watch");
    let mut fresh = memory.watch("b", "", None).expect("watch");
    assert_eq!(shown(&mut resumed), ["sync"]);
    assert_eq!(shown(&mut fresh), ["+a@4", "sync"]);
    memory.apply(&[change("a", 10, None)]);
    assert_eq!(shown(&mut resumed), ["-a@10"]);
    assert_eq!(shown(&mut fresh), ["-a@10"]);
}

#[test]
fn deletes_are_forgotten_and_who_missed_them_is_told() {
    let memory = Memory::new([], 0);
    let mut follows = memory.watch("b", "", None).expect("watch");
    let mut sleeps = memory.watch("b", "", None).expect("watch");
    assert_eq!(shown(&mut sleeps), ["sync"]);
    memory.apply(&[change("stays", 1, Some("1"))]);
    let mut deletes = 0;
    let mut revision = 1;
    for n in 0..DELETES_MAX + 10 {
        memory.apply(&[
            change(&format!("k{n}"), revision + 1, Some("1")),
            change(&format!("k{n}"), revision + 2, None),
        ]);
        revision += 2;
        deletes += shown(&mut follows).iter().filter(|event| event.starts_with('-')).count();
    }
    assert_eq!(deletes, DELETES_MAX + 10, "who follows sees them all");
    assert_eq!(shown(&mut sleeps), ["end"], "who slept has missed some, and starts again");
    assert!(memory.watch("b", "", Some(1)).is_err());
    assert_eq!(shown(&mut memory.watch("b", "", None).expect("watch")), ["+stays@1", "sync"]);
    let shelf = memory.shelf("b");
    let contents = lock(&shelf.contents);
    assert!(contents.by_key.len() <= DELETES_MAX + 2, "forgotten deletes use no memory");
    assert_eq!(contents.by_key.len(), contents.by_revision.len());
}
