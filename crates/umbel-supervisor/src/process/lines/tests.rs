use super::*;
use proptest::prelude::*;

fn lines(text: &[u8], cut: usize) -> Vec<Vec<u8>> {
    let (mut lines, mut told) = (Lines::default(), Vec::new());
    for piece in text.chunks(cut) {
        lines.put(piece, |line| told.push(line.to_vec()));
    }
    lines.end(|line| told.push(line.to_vec()));
    told
}

#[test]
fn a_long_line_is_cut_and_says_so() {
    let text = [vec![b'x'; LINE_BYTES_MAX + 7], b"\nshort\n".to_vec()].concat();
    let told = lines(&text, 1000);
    assert_eq!(told.len(), 2);
    let mark = " … [7 bytes cut]".as_bytes();
    assert_eq!(told[0], [vec![b'x'; LINE_BYTES_MAX].as_slice(), mark].concat());
    assert_eq!(told[1], b"short");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Lines are the same however the bytes come, and each is bounded.
    #[test]
    fn lines_do_not_depend_on_reads(text in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300), cut in 1usize..50) {
        let told = lines(&text, cut);
        let mut expected: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        if expected.last().is_some_and(|line| line.is_empty()) {
            expected.pop();
        }
        prop_assert_eq!(told, expected);
    }
}
