//! A value that was let go of is not in the memory of the process any more.

use super::{app, open, server};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use umbel_builtin::secrets::Secret;
use umbel_builtin::secrets::contract::Client;
use umbel_wit::Value;

/// What is looked for.
const LENGTH: usize = 48;

/// How often the value repeats it: whoever uses the memory again may overwrite a little of it by chance, but not all.
const TIMES: usize = 800;

/// It, one byte at a time: it must not stand anywhere but where the code under test puts it.
fn letter(place: usize) -> u8 {
    let place = place % LENGTH;
    b'A' + u8::try_from((place * 7 + place * place) % 26).expect("a letter")
}

/// Searches the writable memory of this process. Its own buffers are made before what it searches for, as they would otherwise be
/// made of the memory that was let go of, and overwrite it.
struct Search {
    maps: String,
    buffer: Vec<u8>,
}

impl Search {
    fn new() -> Search {
        Search { maps: String::with_capacity(1 << 20), buffer: vec![0; 1 << 20] }
    }

    /// How often it stands there.
    fn found(&mut self) -> usize {
        let memory = File::open("/proc/self/mem").expect("our memory");
        self.maps.clear();
        File::open("/proc/self/maps")
            .and_then(|mut maps| maps.read_to_string(&mut self.maps))
            .expect("our map");
        let mut count = 0;
        for line in self.maps.lines() {
            let mut words = line.split_whitespace();
            let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
            if rights.starts_with("rw") {
                let (start, end) = range.split_once('-').expect("a range");
                let [start, end] = [start, end].map(|n| u64::from_str_radix(n, 16).expect("a number"));
                count += search(&memory, start..end, &mut self.buffer);
            }
        }
        count
    }
}

/// The buffer lies in the memory that is searched: so it holds the complement of what is read, and what is looked for is never in it.
fn search(memory: &File, range: Range<u64>, buffer: &mut [u8]) -> usize {
    let (mut at, mut count) = (range.start, 0);
    while at < range.end {
        let length = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(buffer.len());
        // A part that was given back meanwhile.
        if memory.read_exact_at(&mut buffer[..length], at).is_err() {
            break;
        }
        buffer.iter_mut().for_each(|byte| *byte = !*byte);
        let here = |window: &[u8]| window.iter().enumerate().all(|(place, byte)| *byte == !letter(place));
        count += buffer[..length].windows(LENGTH).filter(|window| here(window)).count();
        // The next piece overlaps, for what lies across.
        at += if length == buffer.len() { (length - LENGTH) as u64 } else { length as u64 };
    }
    count
}

#[tokio::test]
async fn a_value_is_wiped() {
    let mut search = Search::new();
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = open(folder.path());
    assert_eq!(search.found(), 0);
    let value: Vec<u8> = (0..LENGTH * TIMES).map(letter).collect();
    secrets.put(&app("app"), "name", Secret::from(value)).expect("put");
    assert!(search.found() > 0, "the search finds what is there");
    {
        let client = Client::new(&server(&secrets).await, "app-a", Some("app"));
        let handle = client.get("name").await.expect("it is there");
        let args = vec![Value::Borrow(handle)];
        let revealed = client.call("reveal", "reveal", args).await.expect("revealed");
        assert!(
            matches!(&revealed, Value::Variant(1, Some(bytes)) if matches!(&**bytes, Value::Bytes(bytes) if bytes.len() == LENGTH * TIMES))
        );
    }
    drop(secrets);
    assert_eq!(search.found(), 0, "after it was sealed, revealed and closed");

    let secrets = open(folder.path());
    assert_eq!(secrets.list().expect("list").len(), 1);
    assert!(search.found() > 0, "it was unsealed");
    secrets.del(&app("app"), "name").expect("del");
    assert_eq!(search.found(), 0, "after it was deleted");
}
