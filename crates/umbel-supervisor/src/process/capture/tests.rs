use super::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// However the bytes are cut into reads: the head is the head, the tail is the tail, and every byte is counted.
    #[test]
    fn heads_tails_and_counts_are_right(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20), max in 0usize..50) {
        let all: Vec<u8> = pieces.concat();
        let (head, tail) = (Sink::new(&Capture::Head(max)), Sink::new(&Capture::Tail(max)));
        for piece in &pieces {
            head.put(piece);
            tail.put(piece);
        }
        let kept = all.len().min(max);
        let dropped = (all.len() - kept) as u64;
        prop_assert_eq!(head.take(), Captured { bytes: all[..kept].to_vec(), dropped });
        prop_assert_eq!(tail.take(), Captured { bytes: all[all.len() - kept..].to_vec(), dropped });
    }

    /// Lines do not depend on how the bytes are cut, and are bounded.
    #[test]
    fn lines_are_whole_and_bounded(lines in prop::collection::vec("[a-z]{0,9}|[a-z]{9000}", 0..8), cut in 1usize..5000) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let keep = told.clone();
        let sink = Sink::new(&Capture::Lines { tell: Arc::new(move |line: &str| keep.lock().unwrap().push(line.to_string())), tail: 0 });
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        for piece in text.as_bytes().chunks(cut) {
            sink.put(piece);
        }
        sink.end();
        let told = told.lock().unwrap();
        prop_assert!(told.iter().all(|line| line.len() <= LINE_BYTES_MAX));
        prop_assert_eq!(told.concat(), lines.concat());
        prop_assert_eq!(told.len(), lines.len() + lines.iter().filter(|line| line.len() > LINE_BYTES_MAX).count());
    }
}
