use super::*;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn key() -> Key {
    Key::random().unwrap()
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        ".{0,9}".prop_map(Scope::Application),
        ".{0,9}".prop_map(Scope::Component),
        Just(Scope::Shared),
    ]
}

fn secret() -> impl Strategy<Value = Entry> {
    let text = ".{0,40}".prop_map(Secret::from);
    let bytes = vec(any::<u8>(), 0..40).prop_map(Secret::from);
    (prop_oneof![text, bytes], any::<(u64, u64)>()).prop_map(|(secret, (version, put_unix_ms))| Entry {
        secret: Arc::new(secret),
        version,
        put_unix_ms,
    })
}

proptest! {
    #[test]
    fn what_is_sealed_can_be_unsealed(entries in btree_map((scope(), ".{1,9}"), secret(), 0..9)) {
        let key = key();
        let text = encode(&entries);
        prop_assert_eq!(text.len(), text.capacity(), "it was never moved");
        prop_assert!(decode(&text, true) == Some(entries.clone()));
        let sealed = seal(&key, &entries).unwrap();
        prop_assert!(unseal(&key, &sealed) == Ok(entries));
    }

    #[test]
    fn any_bytes_can_be_told_from_sealed_ones(bytes in vec(any::<u8>(), 0..200)) {
        let _ = (decode(&bytes, true), decode(&bytes, false));
        let found = unseal(&key(), &bytes).err();
        prop_assert!(found.is_some());
        for magic in [MAGIC, MAGIC_1] {
            let with_magic = [magic.as_slice(), &bytes].concat();
            prop_assert_eq!(unseal(&key(), &with_magic).err(), Some(Unsealable::Authentic));
        }
    }
}

fn sample() -> Entries {
    let at = |name: &str| (Scope::Application("app".into()), name.to_string());
    let secret =
        |text: &str| Entry { secret: Arc::new(Secret::from(text.to_string())), version: 1, put_unix_ms: 0 };
    [(at("a"), secret("canary-value")), (at("b"), secret("other"))].into()
}

#[test]
fn every_changed_byte_is_noticed() {
    let key = key();
    let sealed = seal(&key, &sample()).unwrap();
    for place in 0..sealed.len() {
        for bit in [1, 0x80] {
            let mut changed = sealed.clone();
            changed[place] ^= bit;
            let expected = if place < MAGIC.len() { Unsealable::Format } else { Unsealable::Authentic };
            assert_eq!(unseal(&key, &changed).err(), Some(expected), "byte {place}");
        }
    }
    for length in 0..sealed.len() {
        assert!(unseal(&key, &sealed[..length]).is_err(), "cut to {length}");
    }
    let longer = [sealed.as_slice(), b"x"].concat();
    assert_eq!(unseal(&key, &longer).err(), Some(Unsealable::Authentic));
    assert_eq!(unseal(&self::key(), &sealed).err(), Some(Unsealable::Authentic), "another key");
}

#[test]
fn nothing_can_be_read_of_it_and_no_two_are_alike() {
    let key = key();
    let (first, second) = (seal(&key, &sample()).unwrap(), seal(&key, &sample()).unwrap());
    assert_ne!(first[MAGIC.len()..][..NONCE_BYTES], second[MAGIC.len()..][..NONCE_BYTES]);
    for needle in [&b"canary"[..], b"app", b"other"] {
        assert!(!first.windows(needle.len()).any(|window| window == needle));
    }
    assert!(!format!("{:?}", sample()).contains("canary"));
}

#[test]
fn the_first_format_is_read_and_the_second_written() {
    // Sealed before secrets had versions: it must be read for ever.
    let key = Key::from_hex(&"0f".repeat(32)).unwrap();
    let sealed = include_bytes!("golden.sealed");
    assert!(sealed.starts_with(MAGIC_1) && unseal(&key, sealed) == Ok(sample()));
    let again = seal(&key, &sample()).unwrap();
    assert!(again.starts_with(MAGIC) && unseal(&key, &again) == Ok(sample()));
}
