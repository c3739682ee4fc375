use super::Digest;

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn the_digest_of_nothing_is_the_well_known_one() {
    assert_eq!(Digest::of(b"").to_string(), EMPTY);
    assert_eq!(Digest::new(EMPTY).expect("well-formed"), Digest::of(b""));
    assert_eq!(format!("sha256:{}", Digest::of(b"").hex()), EMPTY);
}

#[test]
fn json_is_the_text() {
    let json = serde_json::to_string(&Digest::of(b"")).expect("serialises");
    assert_eq!(json, format!("\"{EMPTY}\""));
    assert_eq!(serde_json::from_str::<Digest>(&json).expect("parses"), Digest::of(b""));
}

#[test]
fn what_is_not_a_digest_is_refused() {
    let upper = EMPTY.replace("e3b0", "E3B0");
    for text in ["", "sha256:", "sha256:00", "sha512:00", &EMPTY[7..], &EMPTY[..70], &upper, "sha256:é"] {
        let error = Digest::new(text).expect_err(text);
        assert!(error.to_string().contains("64 characters"), "{error}");
    }
}
