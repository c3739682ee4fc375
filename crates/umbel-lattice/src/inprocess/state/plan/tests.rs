use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const ROOM: u64 = 1_000_000;

fn place(key: &str) -> Place {
    Place { bucket: "b".into(), key: key.into() }
}

fn write() -> impl Strategy<Value = (Place, Write)> {
    let key = proptest::sample::select(vec!["a", "b", "c"]).prop_map(place);
    let value = proptest::collection::vec(any::<u8>(), 0..4).prop_map(Bytes::from);
    let write =
        (value, 0_u64..12, 0..4_u8, any::<bool>()).prop_map(|(value, revision, kind, expects)| match kind {
            0 => Write::Put(value),
            1 => Write::Create(value),
            2 => Write::Update(value, revision),
            _ => Write::Delete(expects.then_some(revision)),
        });
    (key, write)
}

fn run(batches: &[Vec<(Place, Write)>]) -> (BTreeMap<Place, Stored>, Sums, Vec<Option<u64>>) {
    let mut stored: BTreeMap<Place, Stored> = BTreeMap::new();
    let mut sums = Sums::default();
    let mut answers = Vec::new();
    for batch in batches {
        let planned = plan(batch, sums, ROOM, |place| stored.get(place).cloned());
        sums = planned.sums;
        for change in planned.changes {
            match change.value {
                Some(value) => stored.insert(change.place, Stored { revision: change.revision, value }),
                None => stored.remove(&change.place),
            };
        }
        answers.extend(planned.answers.into_iter().map(Result::ok));
    }
    (stored, sums, answers)
}

proptest! {
    // However writes are batched, they do what they would do one by one; and the sums are those of what is there.
    #[test]
    fn batching_changes_nothing(writes in proptest::collection::vec(write(), 0..40), cut in 1_usize..10) {
        let one_by_one: Vec<_> = writes.iter().map(|w| vec![w.clone()]).collect();
        let batched: Vec<_> = writes.chunks(cut).map(<[_]>::to_vec).collect();
        let (stored, sums, answers) = run(&one_by_one);
        let (stored_batched, sums_batched, answers_batched) = run(&batched);
        prop_assert_eq!(&stored, &stored_batched);
        prop_assert_eq!(sums, sums_batched);
        prop_assert_eq!(answers, answers_batched);
        let mut recount = Sums { revision: sums.revision, ..Sums::default() };
        for (place, entry) in &stored {
            recount.add(place, entry);
        }
        prop_assert_eq!(recount, sums);
    }

    #[test]
    fn revisions_grow_by_one_with_each_change(writes in proptest::collection::vec(write(), 0..40)) {
        let planned = plan(&writes, Sums { revision: 7, ..Sums::default() }, ROOM, |_| None);
        let revisions: Vec<u64> = planned.changes.iter().map(|change| change.revision).collect();
        let expect: Vec<u64> = (8..8 + revisions.len() as u64).collect();
        prop_assert_eq!(revisions, expect);
    }
}

#[test]
fn the_state_has_a_limit_and_can_always_shrink() {
    let big = Bytes::from(vec![0; 60]);
    let batch = [
        (place("a"), Write::Put(big.clone())),
        (place("b"), Write::Put(big.clone())),
        (place("a"), Write::Put(Bytes::from_static(b"small"))),
        (place("b"), Write::Put(big)),
        (place("b"), Write::Delete(None)),
    ];
    let planned = plan(&batch, Sums::default(), 100, |_| None);
    let ok: Vec<bool> = planned.answers.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [true, false, true, true, true]);
    assert_eq!(planned.sums.bytes, 7, "bucket, key and value of what is left");
}

#[test]
fn the_checksum_sees_every_part() {
    let base = checksum(&place("key"), &Stored { revision: 1, value: "value".into() });
    let others = [
        checksum(&place("kez"), &Stored { revision: 1, value: "value".into() }),
        checksum(
            &Place { bucket: "c".into(), key: "key".into() },
            &Stored { revision: 1, value: "value".into() },
        ),
        checksum(&place("key"), &Stored { revision: 2, value: "value".into() }),
        checksum(&place("key"), &Stored { revision: 1, value: "valuf".into() }),
    ];
    assert!(others.iter().all(|other| *other != base));
}
