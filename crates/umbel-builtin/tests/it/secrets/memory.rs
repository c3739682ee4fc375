//! A value that was let go of is not in the memory of the process any more.

use super::{app, open, server};
use std::fs::File;
use std::os::unix::fs::FileExt;
use umbel_builtin::secrets::Secret;
use umbel_builtin::secrets::contract::Client;
use umbel_wit::Value;

const LENGTH: usize = 48;

/// The value, one byte at a time: it must not stand anywhere but where the code under test puts it.
fn letter(place: usize) -> u8 {
    b'A' + u8::try_from((place * 7 + place * place) % 26).expect("a letter")
}

/// How often the value stands in the writable memory of this process.
fn found() -> usize {
    let memory = File::open("/proc/self/mem").expect("our memory");
    let maps = std::fs::read_to_string("/proc/self/maps").expect("our map");
    // It is looked for in one buffer, which lies in the memory that is searched: so that holds the complement of what is read, and
    // the value is never in it.
    let mut buffer = vec![0; 1 << 20];
    let mut count = 0;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        if !rights.starts_with("rw") || line.ends_with("[vvar]") {
            continue;
        }
        let (start, end) = range.split_once('-').expect("a range");
        let [mut at, end] = [start, end].map(|n| u64::from_str_radix(n, 16).expect("a number"));
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            if memory.read_exact_at(&mut buffer[..length], at).is_err() {
                break;
            }
            buffer.iter_mut().for_each(|byte| *byte = !*byte);
            let here = |window: &[u8]| (0..LENGTH).all(|place| window[place] == !letter(place));
            count += buffer[..length].windows(LENGTH).filter(|window| here(window)).count();
            // The next piece overlaps, for a value that lies across.
            at += if length == buffer.len() { (length - LENGTH) as u64 } else { length as u64 };
        }
    }
    count
}

#[tokio::test]
async fn a_value_is_wiped() {
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = open(folder.path());
    assert_eq!(found(), 0);
    let value: Vec<u8> = (0..LENGTH).map(letter).collect();
    secrets.put(&app("app"), "name", Secret::from(value)).expect("put");
    assert!(found() > 0, "the search finds what is there");
    {
        let client = Client::new(&server(&secrets).await, "app-a", Some("app"));
        let handle = client.get("name").await.expect("it is there");
        let args = vec![Value::Borrow(handle)];
        let revealed = client.call("reveal", "reveal", args).await.expect("revealed");
        assert!(
            matches!(&revealed, Value::Variant(1, Some(bytes)) if matches!(&**bytes, Value::Bytes(bytes) if bytes.len() == LENGTH))
        );
    }
    drop(secrets);
    assert_eq!(found(), 0, "after it was sealed, revealed and closed");

    let secrets = open(folder.path());
    assert_eq!(secrets.list().expect("list").len(), 1);
    assert!(found() > 0, "it was unsealed");
    secrets.del(&app("app"), "name").expect("del");
    assert_eq!(found(), 0, "after it was deleted");
}
