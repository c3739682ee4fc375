use super::*;
use umbel_core::Problem;
use umbel_core::code::artifact;

fn asked(offset: u64) -> ArtifactRead {
    ArtifactRead { digest: Digest::of(b"it"), offset, bytes_max: 4 }
}

#[test]
fn a_piece_comes_as_it_is() {
    for bytes in [&b""[..], b"{}", b"\x00asm"] {
        let answer = asked(7).piece("inbox".into(), bytes.to_vec());
        assert_eq!(asked(7).of("read", &answer).expect("it is the piece"), bytes);
    }
}

#[test]
fn what_is_not_the_piece_is_none() {
    let other = asked(3).piece("inbox".into(), b"abc".to_vec());
    assert!(matches!(asked(7).of("read", &other), Err(ControlError::Answer { .. })), "another place");
    let long = asked(7).piece("inbox".into(), b"abcde".to_vec());
    assert!(
        matches!(asked(7).of("read", &long), Err(ControlError::Answer { .. })),
        "more than was asked for"
    );
    let odd = Message::new("inbox", CtlResponse::<()>::accepted("yes").to_bytes());
    assert!(matches!(asked(7).of("read", &odd), Err(ControlError::Answer { .. })), "neither");
}

#[test]
fn a_refusal_is_told_with_its_code() {
    let problem = Problem::new(artifact::DIGEST_UNKNOWN, "nothing is stored as sha256:00");
    let refusal = Message::new("inbox", CtlResponse::<()>::refused(problem).to_bytes());
    let error = asked(0).of("read", &refusal).expect_err("it is a refusal");
    assert_eq!(Problem::from(error).code, artifact::DIGEST_UNKNOWN);
}
