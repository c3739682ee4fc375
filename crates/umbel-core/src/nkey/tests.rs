use super::{KeyError, KeyKind, KeyPair, PublicKey};
use crate::error::{Coded, Problem};
use crate::id::HostId;
use proptest::prelude::*;

/// Keys that appear in recorded messages of wasmCloud 1.x.
const HOST: &str = "NBRZMDCRF4QWAACNVAYFE7E2OUHYWLNBV7PWGIVVAXD5QDZXJGQQIA67";
const ACCOUNT: &str = "AA2IF6BVSOUJA7BBCDITFSWNSH6RPXDS6NR5BG7YF4HN6R4GBKKA2WEH";
const COMPONENT: &str = "MBSXRNDNSMZAZ2Y7EHCQXBAJJI2MKE3Z4HCISVFGYPEO3JX75BTZDKYE";

/// A seed of the bytes 0 to 31, and its public key by the `wascap` crate's claims.
const SEED: &str = "SAAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4HYMHI";

#[test]
fn recorded_keys_are_understood() {
    for (text, kind) in [(HOST, KeyKind::Host), (ACCOUNT, KeyKind::Account), (COMPONENT, KeyKind::Component)]
    {
        let key = PublicKey::new(text).expect(text);
        assert_eq!((key.kind(), key.as_str()), (kind, text));
        assert_eq!(serde_json::to_string(&key).expect("serialises"), format!("\"{text}\""));
    }
    let host = PublicKey::new(HOST).expect("a host");
    assert_eq!(HostId::from(&host).as_str(), HOST);
    assert!(host.require(KeyKind::Host).is_ok());
    let error = host.require(KeyKind::Account).expect_err("another kind");
    assert_eq!(error.code().to_string(), "UM0104");
    assert!(error.to_string().contains("host (N)") && error.to_string().contains("account (A)"), "{error}");
}

#[test]
fn every_kind_is_made_and_comes_back_from_its_seed() {
    for kind in KeyKind::ALL {
        let pair = KeyPair::generate(kind);
        let public = pair.public_key().clone();
        assert_eq!((pair.kind(), public.as_str().len()), (kind, 56));
        assert!(public.as_str().starts_with(kind.letter()));
        assert_eq!(PublicKey::new(public.as_str()).expect("its own text"), public);

        let seed = pair.seed();
        assert_eq!((&seed.expose()[..1], seed.expose().chars().nth(1)), ("S", Some(kind.letter())));
        let again = KeyPair::from_seed(&format!("  {}\n", seed.expose())).expect("its own seed");
        assert_eq!((again.public_key(), again.seed()), (&public, seed));
    }
    assert_ne!(KeyPair::generate(KeyKind::Host).seed(), KeyPair::generate(KeyKind::Host).seed());
}

#[test]
fn a_signature_is_good_for_these_bytes_and_this_key() {
    for kind in KeyKind::ALL {
        let pair = KeyPair::generate(kind);
        if kind == KeyKind::Curve {
            let error = pair.sign(b"hello").expect_err("curve keys do not sign");
            assert_eq!(error.code().to_string(), "UM0105");
            pair.verify(b"hello", &[0; 64]).expect_err("nor verify");
            continue;
        }
        let signature = pair.sign(b"hello").expect("signs");
        pair.verify(b"hello", &signature).expect("its own signature");
        pair.public_key().verify(b"hello", &signature).expect("by the public half");
        let other = KeyPair::generate(kind);
        for error in [
            pair.verify(b"hellO", &signature),
            pair.verify(b"hello", &signature[..63]),
            pair.verify(b"hello", &[]),
            pair.verify(b"hello", &[0xff; 64]),
            other.verify(b"hello", &signature),
        ] {
            assert_eq!(error.expect_err("another signature").code().to_string(), "UM0106");
        }
    }
}

#[test]
fn no_secret_is_shown() {
    for kind in KeyKind::ALL {
        let pair = KeyPair::generate(kind);
        let seed = pair.seed();
        // Most of a seed is as secret as all of it, and so are the bytes behind it.
        let middle = &seed.expose()[4..24];
        for shown in [format!("{pair:?}"), format!("{pair:#?}"), format!("{seed:?}")] {
            assert!(!shown.contains(middle), "{kind}: {shown}");
        }
        let mut broken = seed.expose().to_string();
        broken.replace_range(57..58, if broken.ends_with('A') { "B" } else { "A" });
        let errors = [
            KeyPair::from_seed(&broken).expect_err("its checksum is wrong"),
            KeyPair::from_seed(&seed.expose()[..57]).expect_err("too short"),
            PublicKey::new(seed.expose()).expect_err("not a public key"),
            pair.require(if kind == KeyKind::Host { KeyKind::Account } else { KeyKind::Host })
                .expect_err("kind"),
        ];
        for error in errors {
            let problem = serde_json::to_string(&Problem::from(&error)).expect("serialises");
            assert!(!problem.contains(middle) && !format!("{error:?}").contains(middle), "{problem}");
        }
    }
}

#[test]
fn what_is_not_a_key_is_refused_with_its_reason() {
    let mistyped = HOST.replace("RZM", "RMZ");
    let lower = HOST.to_lowercase();
    let longer = format!("{HOST}A");
    // `O` and `U` are kinds of NATS that wasmCloud's lattice does not know.
    let operator = HOST.replacen('N', "O", 1);
    let cases = [
        ("", "begin with"),
        ("N", "length"),
        (&HOST[..55], "length"),
        (&longer, "length"),
        (&mistyped, "checksum"),
        (&lower, "begin with"),
        (&operator, "begin with"),
        ("NÉÉÉÉÉÉÉÉÉÉÉÉÉÉÉÉÉÉÉÉÉÉÉÉÉÉÉ!", "A-Z"),
    ];
    for (text, reason) in cases {
        let error = PublicKey::new(text).expect_err(text);
        assert_eq!(error.code().to_string(), "UM0103");
        assert!(error.to_string().contains(reason), "{text}: {error}");
        KeyPair::from_seed(text).expect_err(text);
    }
    assert!(matches!(KeyPair::from_seed(HOST), Err(KeyError::Seed { .. })));
    assert_eq!(KeyPair::from_seed(SEED).expect("well-formed").kind(), KeyKind::Account);
}

proptest! {
    #[test]
    fn what_is_accepted_comes_back_and_what_is_refused_has_a_code_and_stays_secret(
        text in ".{0,80}", base32 in "[SNMVACX][A-Z2-7]{54,58}",
    ) {
        for text in [text, base32] {
            match PublicKey::new(&text) {
                Ok(key) => prop_assert_eq!(key.as_str(), text.as_str()),
                Err(error) => {
                    prop_assert_eq!(error.code().to_string(), "UM0103");
                    prop_assert!(error.to_string().len() < 1_000, "{}", error);
                }
            }
            match KeyPair::from_seed(&text) {
                Ok(pair) => prop_assert_eq!(pair.seed().expose().to_string(), text.trim()),
                Err(error) => {
                    prop_assert_eq!(error.code().to_string(), "UM0103");
                    let shown = format!("{error} {error:?}");
                    prop_assert!(text.len() < 20 || !shown.contains(&text), "{}", shown);
                }
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_key_again(kind in 0..KeyKind::ALL.len(), spaces in "[ \n\t]{0,3}") {
        let pair = KeyPair::generate(KeyKind::ALL[kind]);
        let seed = format!("{spaces}{}{spaces}", pair.seed().expose());
        let again = KeyPair::from_seed(&seed).expect("its own seed");
        prop_assert_eq!(again.public_key(), pair.public_key());
    }

    #[test]
    fn one_wrong_character_is_noticed(at in 0usize..56, letter in "[A-Z2-7]") {
        let mut text = COMPONENT.to_string();
        text.replace_range(at..=at, &letter);
        prop_assert_eq!(PublicKey::new(&text).is_ok(), text == COMPONENT);
    }
}
