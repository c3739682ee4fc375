use super::*;
use crate::error::Coded;
use data_encoding::HEXLOWER;
use proptest::prelude::*;

const NOW: Duration = Duration::from_secs(1_790_000_000);
const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Pairs of a file and what wascap 0.15.3 made of it: names, padded lengths, nested modules and nested claims.
const VECTORS: [&str; 2] = [include_str!("vectors/module.hex"), include_str!("vectors/component.hex")];

fn vector(text: &str) -> (Vec<u8>, Vec<u8>) {
    let mut lines = text.lines().map(|line| HEXLOWER.decode(line.as_bytes()).expect("hex"));
    (lines.next().expect("the file"), lines.next().expect("the signed file"))
}

fn keys() -> (KeyPair, KeyPair) {
    (KeyPair::generate(KeyKind::Account), KeyPair::generate(KeyKind::Component))
}

fn claims(account: &KeyPair, component: &KeyPair) -> Claims<Component> {
    let wascap = Component { name: Some("hello".into()), ..Component::default() };
    Claims::new(account.public_key(), component.public_key(), wascap, NOW)
}

/// A token of any header and claims, signed by `key`.
fn token(header: &str, claims: &str, key: &KeyPair) -> String {
    let part = |json: &str| BASE64URL_NOPAD.encode(json.as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(signed.as_bytes()).expect("signs");
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

const HEADER: &str = r#"{"typ":"jwt","alg":"Ed25519"}"#;

fn of_wasm(wasm: &[u8]) -> Result<Option<Token<Component>>, ClaimsError> {
    super::of_wasm(Cursor::new(wasm))
}

fn verify_wasm(wasm: &[u8], now: Duration) -> Result<Option<Token<Component>>, ClaimsError> {
    super::verify_wasm(Cursor::new(wasm), now)
}

fn wasm_hash(wasm: &[u8]) -> Result<String, ClaimsError> {
    super::wasm_hash(Cursor::new(wasm))
}

fn code_of<T: std::fmt::Debug>(result: Result<T, ClaimsError>) -> String {
    result.expect_err("refused").code().to_string()
}

#[test]
fn claims_that_wascap_made_are_good() {
    for text in VECTORS {
        let (plain, signed) = vector(text);
        let token = verify_wasm(&signed, NOW).expect("good").expect("signed");
        assert_eq!(token.claims().wascap.hash, wasm_hash(&plain).expect("wasm"));
        assert_eq!(token.claims().wascap.hash, wasm_hash(&signed).expect("wasm"));
        let shown = token.for_event(NOW);
        assert_eq!((shown.name.as_deref(), shown.revision), (Some("hello"), Some(7)));
        assert_eq!((shown.version.as_deref(), shown.call_alias.as_deref()), (Some("0.1.0"), Some("greet")));
        assert_eq!(shown.expires_human, "in 25578days");

        // Our own embedding differs from wascap's in the token alone.
        let (account, component) = keys();
        let ours = sign_wasm(&plain, claims(&account, &component), &account).expect("signs");
        let place =
            |wasm: &[u8]| wasm.windows(3).rposition(|bytes| bytes == [13, b'w', b'a']).expect("embedded");
        assert_eq!(ours[..place(&ours) - 2], signed[..place(&signed) - 2]);
        assert_eq!(of_wasm(&plain).expect("wasm"), None);
    }
}

#[test]
fn signing_embeds_once_and_again() {
    let (account, component) = keys();
    for wasm in [EMPTY_MODULE, EMPTY_COMPONENT] {
        let once = sign_wasm(wasm, claims(&account, &component), &account).expect("signs");
        let twice = sign_wasm(&once, claims(&account, &component), &account).expect("signs again");
        let token = verify_wasm(&twice, NOW).expect("good").expect("signed");
        assert_eq!(token.claims().subject, *component.public_key());
        assert_eq!((once.len(), wasm_hash(wasm)), (twice.len(), wasm_hash(&twice)));
        assert!(once.starts_with(wasm));
    }
}

#[test]
fn changed_bytes_and_changed_claims_are_noticed() {
    let (account, component) = keys();
    let wasm = [EMPTY_MODULE, &[0, 3, 1, b'x', 7]].concat();
    let signed = sign_wasm(&wasm, claims(&account, &component), &account).expect("signs");
    let mut other = signed.clone();
    other[12] ^= 1;
    assert_eq!(code_of(of_wasm(&other)), "UM0126");

    let token = of_wasm(&signed).expect("good").expect("signed");
    let mut forged = token.jwt().to_string();
    let last = forged.pop().expect("not empty");
    forged.pop();
    forged.push_str(if last == 'A' { "Ag" } else { "AA" });
    let refused = code_of(Token::<Component>::new(&forged));
    assert!(refused == "UM0123" || refused == "UM0120", "{refused}");

    // Somebody else's signature under the issuer's name.
    let (stranger, _) = keys();
    let body = serde_json::to_string(token.claims()).expect("serialises");
    assert_eq!(code_of(Token::<Component>::new(&super::tests::token(HEADER, &body, &stranger))), "UM0123");
    assert!(Token::<Component>::new(&super::tests::token(HEADER, &body, &account)).is_ok());
}

#[test]
fn time_is_checked_to_the_second() {
    let (account, component) = keys();
    let mut claims = claims(&account, &component);
    claims.not_before = Some(NOW.as_secs());
    claims.expires = Some(NOW.as_secs() + 10);
    let signed = sign_wasm(EMPTY_MODULE, claims, &account).expect("signs");
    let second = Duration::from_secs(1);
    let cases = [
        (NOW - second, Some("UM0125")),
        (NOW, None),
        (NOW + 9 * second, None),
        (NOW + 10 * second, Some("UM0124")),
        (NOW + 99 * second, Some("UM0124")),
        (Duration::ZERO, Some("UM0125")),
    ];
    for (now, code) in cases {
        let found = verify_wasm(&signed, now).err().map(|error| error.code().to_string());
        assert_eq!(found.as_deref(), code, "at {now:?}");
    }
    let error = verify_wasm(&signed, NOW + 99 * second).expect_err("expired");
    assert!(error.to_string().contains("2026-09-21T14:13:30"), "{error}");
    assert!(of_wasm(&signed).is_ok(), "reading does not ask for the time");
}

#[test]
fn headers_other_than_ours_are_refused() {
    let (account, component) = keys();
    let body = serde_json::to_string(&claims(&account, &component)).expect("serialises");
    let cases = [
        (r#"{"typ":"jwt","alg":"none"}"#, "UM0122"),
        (r#"{"typ":"jwt","alg":"None"}"#, "UM0122"),
        (r#"{"typ":"jwt","alg":""}"#, "UM0122"),
        (r#"{"typ":"jwt","alg":"HS256"}"#, "UM0122"),
        (r#"{"typ":"jwt","alg":"ed25519"}"#, "UM0122"),
        (r#"{"typ":"JWE","alg":"Ed25519"}"#, "UM0120"),
        (r#"{"typ":"jwt"}"#, "UM0120"),
        (r#"{"typ":"jwt","alg":"none","alg":"Ed25519"}"#, "UM0120"),
        (r#"{"typ":"jwt","alg":"Ed25519","crit":["x"]}"#, "UM0120"),
        (r#"{"typ":"jwt","alg":["Ed25519"]}"#, "UM0120"),
        ("[]", "UM0120"),
        ("", "UM0120"),
    ];
    for (header, code) in cases {
        let jwt = token(header, &body, &account);
        assert_eq!(code_of(Token::<Component>::new(&jwt)), code, "{header}");
        // The classic: no signature at all.
        let (signed, _) = jwt.rsplit_once('.').expect("three parts");
        code_of(Token::<Component>::new(&format!("{signed}.")));
    }
}

#[test]
fn claims_of_another_form_are_refused() {
    let (account, component) = keys();
    let body = serde_json::to_string(&claims(&account, &component)).expect("serialises");
    let cases = [
        body.replace("\"jti\"", "\"iss\""),
        body.replacen('{', r#"{"sub":"x","#, 1),
        body.replacen("\"name\"", "\"hash\":\"\",\"name\"", 1),
        body.replace("\"wascap_revision\":3", "\"wascap_revision\":2"),
        body.replace(",\"wascap_revision\":3", ""),
        body.replace("\"iat\":1790000000", "\"iat\":-1"),
        body.replace("\"iat\":1790000000", "\"iat\":\"now\""),
        body.replace("\"iat\":1790000000", "\"iat\":1e99"),
        body.replace(account.public_key().as_str(), "AA"),
        body.replacen('{', r#"{"exp":1.5,"#, 1),
        format!("{body}{body}"),
        "[".repeat(40_000),
        "null".into(),
    ];
    for body in cases {
        assert_eq!(
            code_of(Token::<Component>::new(&token(HEADER, &body, &account))),
            "UM0120",
            "{body:.300}"
        );
    }
    for jwt in ["", ".", "..", "...", "a.b", "a.b.c.d", "é.é.é", "====.====.===="] {
        assert_eq!(code_of(Token::<Component>::new(jwt)), "UM0120", "{jwt}");
    }
    let huge = "a".repeat(CLAIMS_BYTES_MAX + 1);
    assert_eq!(code_of(Token::<Component>::new(&huge)), "UM0121");
    let section = [EMPTY_MODULE, &[0, 0x85, 0x80, 0x04, 3], b"jwt", huge.as_bytes()].concat();
    assert_eq!(code_of(of_wasm(&section)), "UM0121");
}

#[test]
fn a_message_shows_nothing_that_a_terminal_obeys_and_stays_short() {
    let (account, _) = keys();
    let loud = "\u{1b}[2J".repeat(5_000);
    let body = serde_json::json!({ "iss": loud, "jti": "", "iat": 0, "sub": loud }).to_string();
    let header = serde_json::json!({ "typ": "jwt", "alg": loud }).to_string();
    for jwt in [token(HEADER, &body, &account), token(&header, &body, &account)] {
        let message = Token::<Component>::new(&jwt).expect_err("refused").to_string();
        assert!(message.len() < 2_000 && !message.contains('\u{1b}'), "{message}");
    }
}

#[test]
fn only_the_right_kinds_of_keys_may_stand_there() {
    let pairs: Vec<KeyPair> = KeyKind::ALL.into_iter().map(KeyPair::generate).collect();
    for issuer in &pairs {
        for subject in &pairs {
            let (i, s) = (issuer.kind(), subject.kind());
            let component = Claims::new(issuer.public_key(), subject.public_key(), Component::default(), NOW);
            let good = (i, s) == (KeyKind::Account, KeyKind::Component);
            assert_eq!(component.sign(issuer).is_ok(), good, "{i} signs {s} as a component");

            let provider = Claims::new(issuer.public_key(), subject.public_key(), Provider::default(), NOW);
            let good = (i, s) == (KeyKind::Account, KeyKind::Provider);
            assert_eq!(provider.sign(issuer).is_ok(), good, "{i} signs {s} as a provider");

            let host = Claims::new(issuer.public_key(), subject.public_key(), Host::default(), NOW);
            let good = s == KeyKind::Host && matches!(i, KeyKind::Host | KeyKind::Account | KeyKind::Cluster);
            assert_eq!(host.sign(issuer).is_ok(), good, "{i} signs {s} as a host");
        }
    }
    let (account, component) = keys();
    let (stranger, other) = (KeyPair::generate(KeyKind::Host), KeyPair::generate(KeyKind::Host));
    assert_eq!(code_of(claims(&account, &component).sign(&keys().0)), "UM0127");
    let foreign = Claims::new(stranger.public_key(), other.public_key(), Host::default(), NOW);
    assert_eq!(code_of(foreign.sign(&stranger)), "UM0127");
    let provider = Provider { vendor: "acme".into(), ..Provider::default() };
    let key = KeyPair::generate(KeyKind::Provider);
    let token =
        Claims::new(account.public_key(), key.public_key(), provider, NOW).sign(&account).expect("signs");
    assert_eq!(Token::<Provider>::new(token.jwt()).expect("reads"), token);
    assert_eq!(token.for_event(NOW).expires_human, "never");
    assert_eq!(code_of(Token::<Component>::new(token.jwt())), "UM0127");
}

#[test]
fn what_is_not_wasm_is_refused() {
    let nested = |depth: usize| {
        let mut wasm = EMPTY_COMPONENT.to_vec();
        for _ in 0..depth {
            let mut outer = [EMPTY_COMPONENT, &[4]].concat();
            let mut length = wasm.len();
            while length >= 0x80 {
                outer.push(length as u8 | 0x80);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.extend(wasm);
            wasm = outer;
        }
        wasm
    };
    assert!(wasm_hash(&nested(60)).is_ok());
    let (module, component) = (EMPTY_MODULE, EMPTY_COMPONENT);
    let cases: Vec<Vec<u8>> = vec![
        vec![],
        b"\0as".to_vec(),
        b"(module)".to_vec(),
        b"#!/bin/sh\nexit 0".to_vec(),
        b"\0asm\x02\0\0\0".to_vec(),
        b"\0asm\x0c\0\x01\0".to_vec(),
        [module, &[1]].concat(),
        [module, &[1, 2, 0]].concat(),
        [module, &[1, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat(),
        [module, &[1, 0xff, 0xff, 0xff, 0xff, 0x1f]].concat(),
        [module, &[1, 0x80, 0x80, 0x80, 0x80, 0x10]].concat(),
        [module, &[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0]].concat(),
        [module, &[0, 0]].concat(),
        [module, &[0, 2, 9, b'x']].concat(),
        [component, &[1, 2, 0, 0]].concat(),
        nested(200),
    ];
    for wasm in cases {
        let error = wasm_hash(&wasm).expect_err("not wasm");
        assert_eq!(error.code().to_string(), "UM0402");
        assert!(error.to_string().contains("at byte"), "{error}");
    }
    let two = [module, b"\0\x05\x03jwtx", b"\0\x05\x03jwty"].concat();
    assert_eq!(code_of(of_wasm(&two)), "UM0120");
}

/// A file that is zeros behind a few bytes, and counts what is read of it.
struct Huge {
    head: Vec<u8>,
    length: u64,
    at: u64,
    read: u64,
}

impl Read for Huge {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = (self.length - self.at).min(buffer.len() as u64) as usize;
        for byte in &mut buffer[..length] {
            *byte = self.head.get(self.at as usize).copied().unwrap_or(0);
            self.at += 1;
        }
        self.read += length as u64;
        Ok(length)
    }
}

impl Seek for Huge {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.at = match to {
            std::io::SeekFrom::Start(at) => at,
            std::io::SeekFrom::End(by) => self.length.saturating_add_signed(by),
            std::io::SeekFrom::Current(by) => self.at.saturating_add_signed(by),
        };
        Ok(self.at)
    }
}

#[test]
fn little_of_a_huge_file_is_read_to_find_no_claims() {
    // One custom section with the name `x` and 4 GiB less a few bytes of nothing.
    let section = [EMPTY_COMPONENT, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, b'x']].concat();
    let length = 14 + u64::from(u32::MAX);
    let mut huge = Huge { head: section.clone(), length, at: 0, read: 0 };
    assert_eq!(super::of_wasm(&mut huge).expect("a component"), None);
    assert!(huge.read < 1 << 20, "{} bytes were read", huge.read);
    let mut cut = Huge { head: section, length: length - 1, at: 0, read: 0 };
    assert_eq!(code_of(super::of_wasm(&mut cut)), "UM0402");
    assert!(cut.read < 1 << 20, "{} bytes were read", cut.read);
    // Claims as large as that are refused before they are read.
    let name = b"wasmcloud_jwt";
    let claims = [EMPTY_COMPONENT, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f, name.len() as u8], name].concat();
    let mut claims = Huge { head: claims, length, at: 0, read: 0 };
    assert_eq!(code_of(super::of_wasm(&mut claims)), "UM0121");
    assert!(claims.read < 1 << 20, "{} bytes were read", claims.read);
}

#[test]
fn sections_without_end_are_refused() {
    let many = [EMPTY_COMPONENT, &[1, 0].repeat(1_000_001)].concat();
    assert_eq!(code_of(of_wasm(&many)), "UM0402");
    assert_eq!(of_wasm(&many[..many.len() - 2]).expect("that many may be"), None);
}

#[test]
fn spans_are_shown_in_the_largest_whole_unit() {
    let cases = [
        (None, "never"),
        (Some(1_000_000), "in 0s"),
        (Some(1_000_059), "in 59s"),
        (Some(1_000_060), "in 1m"),
        (Some(1_007_300), "in 2h"),
        (Some(1_086_400), "in 1day"),
        (Some(1_259_200), "in 3days"),
        (Some(970_000), "8h ago"),
        (Some(u64::MAX), "in 213503982334589days"),
    ];
    for (at, expect) in cases {
        assert_eq!(human(at, Duration::from_secs(1_000_000)), expect);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), component: bool) {
        let wasm = [if component { EMPTY_COMPONENT } else { EMPTY_MODULE }, &bytes].concat();
        for wasm in [&bytes, &wasm] {
            let hash = wasm_hash(wasm);
            let read = verify_wasm(wasm, NOW);
            prop_assert!(hash.is_ok() || read.is_err() || matches!(read, Ok(None)));
        }
        let _ = Token::<Component>::new(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_damage_to_a_signed_file_panics_or_goes_unnoticed(which in 0usize..2, at: prop::sample::Index, byte: u8) {
        let (_, mut signed) = vector(VECTORS[which]);
        let at = at.index(signed.len());
        let before = std::mem::replace(&mut signed[at], byte);
        let read = verify_wasm(&signed, NOW);
        if byte == before {
            prop_assert!(matches!(read, Ok(Some(_))));
        } else if let Ok(Some(token)) = read {
            // Another spelling of the same lengths is the same file to wascap.
            prop_assert_eq!(&token.claims().wascap.hash, &wasm_hash(&signed).expect("wasm"));
        }
    }

    #[test]
    fn the_hash_does_not_depend_on_how_lengths_are_written(
        sections in proptest::collection::vec((1u8..13, proptest::collection::vec(any::<u8>(), 0..150), 0usize..5), 0..8)
    ) {
        let write = |padded: bool| {
            let mut wasm = EMPTY_MODULE.to_vec();
            for (id, body, padding) in &sections {
                let mut length = vec![body.len() as u8 & 0x7f, (body.len() >> 7) as u8];
                let keep = if padded { *padding } else { 0 };
                length.resize(2 + keep.min(3), 0);
                if length.len() == 2 && length[1] == 0 && !padded {
                    length.pop();
                }
                let last = length.len() - 1;
                length[..last].iter_mut().for_each(|byte| *byte |= 0x80);
                wasm.push(*id);
                wasm.extend(length);
                wasm.extend(body);
            }
            wasm
        };
        let shortest = write(false);
        prop_assert_eq!(wasm_hash(&write(true)).expect("wasm"), wasm_hash(&shortest).expect("wasm"));
        prop_assert_eq!(
            wasm_hash(&shortest).expect("wasm"),
            data_encoding::HEXUPPER.encode(crate::digest::Digest::of(&shortest).as_bytes())
        );
    }
}
