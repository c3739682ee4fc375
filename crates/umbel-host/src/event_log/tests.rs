use super::*;
use umbel_core::event::{ConfigName, Fact};

fn event(log: &Log) -> Event {
    let fact = Fact::ConfigSet(ConfigName { config_name: "x".repeat(EVENT_BYTES as usize) });
    let host = umbel_core::nkey::KeyPair::generate(umbel_core::nkey::KeyKind::Host);
    let id = umbel_core::id::HostId::new(host.public_key().as_str()).expect("a host's key");
    Event::new(&id, std::time::Duration::from_secs(log.seq), &fact)
}

const EVENT_BYTES: u64 = 64 << 10;

fn write(log: &mut Log, bytes: u64) {
    for _ in 0..bytes / EVENT_BYTES {
        log.push(event(log));
    }
}

#[test]
fn a_file_that_cannot_be_moved_aside_is_tried_again_now_and_then_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a temp folder");
    let path = dir.path().join("events.jsonl");
    // A folder with something in it is in the way.
    std::fs::create_dir_all(rotated(&path).join("in the way")).expect("writable");
    let mut log = Log::open(path.clone());
    write(&mut log, FILE_BYTES_MAX + RETRY_BYTES / 2);
    let size = std::fs::metadata(&path).expect("the file").len();
    assert_eq!(size, log.bytes, "nothing is lost, and nothing was written beside the events");
    let tried_again_at = log.move_at;
    assert!(tried_again_at > log.bytes && tried_again_at <= log.bytes + RETRY_BYTES, "{tried_again_at}");

    std::fs::remove_dir_all(rotated(&path)).expect("ours");
    log.push(event(&log));
    assert!(!rotated(&path).exists(), "not at every write");
    write(&mut log, RETRY_BYTES);
    assert!(rotated(&path).is_file());
    assert!(log.bytes < RETRY_BYTES && log.move_at == FILE_BYTES_MAX, "{} {}", log.bytes, log.move_at);
    let last = log.seq;
    assert_eq!(Log::open(path).seq, last);
}
