use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn records() -> impl Strategy<Value = Record> {
    let leader = prop::option::of((any::<u32>(), any::<u64>()));
    ("[a-z0-9._-]{1,64}", any::<bool>(), ".{0,20}", leader, json_values()).prop_map(
        |(name, adopt, program, leader, data)| Record {
            leader: leader.map(|(pid, start_ticks)| Identity { pid, start_ticks }),
            data,
            ..Record::new(
                &name,
                if adopt { Policy::Adopt } else { Policy::End },
                Path::new(&program),
                Cgroup::default(),
            )
        },
    )
}

#[test]
fn only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    // What an interrupted write has left may have another mode.
    fs::write(folder.path().join(".a.json"), "").unwrap();
    replace(&path, b"{}").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(record in records()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        record.write(&path).unwrap();
        prop_assert_eq!(Record::read(&path, &record.name, "tag").unwrap(), record);
        // Nothing else is left beside it.
        prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn rubbish_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Record::parse(&bytes).is_err());
    }

    /// Every piece that is torn out of a record, or put into it, makes an error or a record, and never a panic.
    #[test]
    fn damaged_records_do_not_panic(record in records(), at in any::<prop::sample::Index>(), piece in prop::collection::vec(any::<u8>(), 0..4), cut in 0usize..4) {
        let mut bytes = serde_json::to_vec(&record).unwrap();
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, piece);
        let _ = Record::parse(&bytes);
        prop_assert!(Record::parse(&bytes[..at]).is_err());
    }

    #[test]
    fn values_of_any_shape_do_not_panic(value in json_values(), version in any::<u64>()) {
        let object = json!({ "name": "a", "policy": "end", "leader": value, "version": version });
        let result = Record::parse(&serde_json::to_vec(&object).unwrap());
        prop_assert!(result.is_err());
        prop_assert_eq!(result.unwrap_err() == Unreadable::Newer(version), version > u64::from(VERSION));
    }
}

/// The form on the disk is a promise: a record that a released version wrote is read by every later one.
#[test]
fn version_1_looks_like_this() {
    let text = r#"{
        "version": 1, "name": "acme-kv", "policy": "adopt", "program": "/opt/kv",
        "boot_id": "4f5a", "leader": { "pid": 7, "start_ticks": 9 },
        "cgroup": [["unified", "/sys/fs/cgroup/umbel-a/acme-kv"]], "data": { "socket": "kv.sock" }, "of later": true
    }"#;
    let record = Record::parse(text.as_bytes()).unwrap();
    assert_eq!(record.leader, Some(Identity { pid: 7, start_ticks: 9 }));
    assert_eq!(record.policy, Policy::Adopt);
    assert_eq!(record.cgroup.folders().count(), 1);
    let written = serde_json::to_value(&record).unwrap();
    let mut read: Value = serde_json::from_str(text).unwrap();
    read.as_object_mut().unwrap().remove("of later");
    assert_eq!(written, read);
}

#[test]
fn a_record_that_names_what_is_not_its_own_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    for cgroup in ["/", "/etc", "/sys/fs/cgroup/umbel-tag/other", "/sys/fs/cgroup/umbel-tag/../../../etc/a"] {
        let text = json!({
            "version": 1, "name": "a", "policy": "end", "program": "", "boot_id": "", "leader": null,
            "cgroup": [["unified", cgroup]], "data": null,
        });
        fs::write(&path, text.to_string()).unwrap();
        let error = Record::read(&path, "a", "tag").unwrap_err();
        assert!(matches!(error, ProcessError::Record { .. }), "{cgroup}: {error}");
    }
    fs::write(&path, vec![b' '; BYTES_MAX as usize + 1]).unwrap();
    let error = Record::read(&path, "a", "tag").unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
}
