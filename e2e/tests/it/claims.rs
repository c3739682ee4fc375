//! Signed components: what the claims inside say is checked before they run.

use crate::up;
use data_encoding::BASE64URL_NOPAD;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use umbel_core::claims::{Claims, Component, sign_wasm};
use umbel_core::nkey::{KeyKind, KeyPair};
use umbel_testkit::example;

struct Signer {
    account: KeyPair,
    module: KeyPair,
    now: Duration,
}

impl Signer {
    #[expect(clippy::disallowed_methods, reason = "the program under test reads the same clock")]
    fn new() -> Signer {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Signer {
            account: KeyPair::generate(KeyKind::Account),
            module: KeyPair::generate(KeyKind::Component),
            now,
        }
    }

    fn sign(&self, change: impl FnOnce(&mut Claims<Component>)) -> Vec<u8> {
        let hello = std::fs::read(example("hello")).unwrap();
        let component = Component { name: Some("hello".to_owned()), ..Component::default() };
        let mut claims =
            Claims::new(self.account.public_key(), self.module.public_key(), component, self.now);
        change(&mut claims);
        sign_wasm(&hello, claims, &self.account).unwrap()
    }
}

/// The file with another token in place of its own, of the same length or shorter by what a payload of spaces makes up.
fn replace_token(wasm: &[u8], change: impl FnOnce(&str) -> String) -> Vec<u8> {
    let name = b"wasmcloud_jwt";
    let at = wasm.windows(name.len()).rposition(|window| window == name).unwrap() + name.len();
    let token = change(std::str::from_utf8(&wasm[at..]).unwrap());
    assert_eq!(token.len(), wasm.len() - at, "the section keeps its length");
    [&wasm[..at], token.as_bytes()].concat()
}

#[test]
fn good_claims_run_and_bad_ones_do_not() {
    let platform = up();
    let signer = Signer::new();
    let good = signer.sign(|_| ());
    let hour = 3_600;
    let now = signer.now.as_secs();
    let forged = replace_token(&good, |token| {
        // The last characters are the signature.
        let (rest, last) = token.split_at(token.len() - 8);
        format!("{rest}{}", if last.starts_with('A') { "BBBBBBBB" } else { "AAAAAAAA" })
    });
    let none = replace_token(&good, |token| {
        let length = token.len();
        let payload = token.split('.').nth(1).unwrap();
        let header = BASE64URL_NOPAD.encode(br#"{"typ":"jwt","alg":"none"}"#);
        let start = format!("{header}.{payload}.");
        format!("{start}{}", "A".repeat(length - start.len()))
    });
    let mut tampered = good.clone();
    let text = b"Hello from Umbel!";
    let at = tampered.windows(text.len()).position(|window| window == text).unwrap();
    tampered[at..at + 5].copy_from_slice(b"Hacks");

    for (name, wasm, code) in [
        ("expired", signer.sign(|claims| claims.expires = Some(now - hour)), "UM0124"),
        ("early", signer.sign(|claims| claims.not_before = Some(now + hour)), "UM0125"),
        ("forged", forged, "UM012"),
        ("none", none, "UM012"),
        ("tampered", tampered, "UM0126"),
    ] {
        let file = platform.folder().join(format!("{name}.wasm"));
        std::fs::write(&file, wasm).unwrap();
        let ran = platform.run(&["launch", file.to_str().unwrap()]).unwrap();
        assert_ne!(ran.code, 0, "{name}: {}", ran.stdout);
        assert!(ran.stderr.contains(code), "{name} is refused with {code}: {}", ran.stderr);
    }
    let file = platform.folder().join("signed.wasm");
    std::fs::write(&file, good).unwrap();
    platform.succeed(&["launch", file.to_str().unwrap()]).unwrap();
    assert_eq!(platform.get("signed", "/").unwrap().text(), "Hello from Umbel!\n");
}
