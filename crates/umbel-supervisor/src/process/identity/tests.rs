use super::*;
use proptest::prelude::*;

#[test]
fn the_name_of_a_program_may_hold_anything() {
    let fields = "S 7 8 9 0 -1 4194304 1 0 0 0 10 5 0 0 20 0 1 0 12345 4096 77 0";
    let expected = Stat {
        state: 'S',
        parent: 7,
        group: 8,
        session: 9,
        cpu_ticks: 15,
        start_ticks: 12345,
        rss_pages: 77,
    };
    for name in [&b"sh"[..], b") R 1 1 1", b"(((", b"a\nb", b"\xff\xfe"] {
        let line = [b"42 (", name, b") ", fields.as_bytes()].concat();
        assert_eq!(Stat::parse(&line), Some(expected), "{name:?}");
    }
}

#[test]
fn a_process_is_itself_and_nobody_else() {
    let own = Identity::own().unwrap();
    assert!(own.is_running() && own.open().is_some());
    let other = Identity { start_ticks: own.start_ticks + 1, ..own };
    assert!(!other.is_running() && other.open().is_none());
    for pid in [0, u32::MAX] {
        let nobody = Identity { pid, start_ticks: 0 };
        assert!(!nobody.is_running() && nobody.open().is_none(), "{pid}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rubbish_is_nothing_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), text in "[0-9]{1,3} \\(.{0,6}\\) [SRZ]( -?[0-9]{1,22}){0,30}") {
        let _ = Stat::parse(&bytes);
        let _ = Stat::parse(text.as_bytes());
    }
}
