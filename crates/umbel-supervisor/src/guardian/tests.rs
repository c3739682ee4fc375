use super::*;

#[test]
fn what_it_is_told_is_one_argument() {
    let watch = Watch {
        folder: "/a b".into(),
        host: "t".to_owned(),
        process: Identity { pid: 1, start_ticks: 2 },
        boot_id: "b".to_owned(),
        adopt_grace_ms: 3,
        look: true,
    };
    let text = serde_json::to_string(&watch).unwrap();
    assert!(text.starts_with('{') && !text.contains('\n'), "{text}");
    assert_eq!(serde_json::from_str::<Watch>(&text).unwrap(), watch);
}

#[test]
fn a_host_of_another_start_or_boot_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let own = Identity::own().unwrap();
    let other = Identity { start_ticks: own.start_ticks + 1, ..own };
    for (process, boot_id) in [(other, boot_id()), (own, "another boot".to_owned())] {
        let watch = Watch {
            folder: folder.path().to_owned(),
            host: "t".to_owned(),
            process,
            boot_id,
            adopt_grace_ms: 60_000,
            look: false,
        };
        // It returns: nothing is there to guard.
        guard(&watch).unwrap();
    }
}
