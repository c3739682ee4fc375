use super::*;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[track_caller]
fn check_headers(pairs: &[(&str, &str)], expect: Option<umbel_core::Code>) {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    let outcome = check(&Token(TOKEN.into()), &headers).err().map(|problem| problem.code);
    assert_eq!(outcome, expect, "{pairs:?}");
}

#[test]
fn only_loopback_hosts_own_pages_and_the_token_pass() {
    let bearer = format!("Bearer {TOKEN}");
    let right = ("authorization", bearer.as_str());
    let here = ("host", "127.0.0.1:4000");
    let foreign = Some(api::FOREIGN_ORIGIN);
    let no_token = Some(api::NO_TOKEN);

    check_headers(&[here, right], None);
    check_headers(&[("host", "localhost:4000"), right], None);
    check_headers(&[("host", "LOCALHOST"), right], None);
    check_headers(&[("host", "[::1]:4000"), right], None);
    check_headers(&[here, ("authorization", &format!("bEaReR {TOKEN}"))], None);
    check_headers(&[here, ("origin", "http://127.0.0.1:4000"), right], None);

    check_headers(&[right], foreign);
    check_headers(&[here, here, right], foreign);
    check_headers(&[("host", "evil.example:4000"), right], foreign);
    check_headers(&[("host", "127.0.0.1.evil.example"), right], foreign);
    check_headers(&[("host", "localhost@evil.example"), right], foreign);
    check_headers(&[("host", "hello.localhost:4000"), right], foreign);
    check_headers(&[("host", "0.0.0.0:4000"), right], foreign);
    check_headers(&[here, ("origin", "http://evil.example"), right], foreign);
    check_headers(&[here, ("origin", "http://127.0.0.1:5000"), right], foreign);
    check_headers(&[here, ("origin", "https://127.0.0.1:4000"), right], foreign);
    check_headers(&[here, ("origin", "null"), right], foreign);

    check_headers(&[here], no_token);
    check_headers(&[here, ("authorization", "Bearer ")], no_token);
    check_headers(&[here, ("authorization", "Bearer wrong")], no_token);
    check_headers(&[here, ("authorization", &format!("Basic {TOKEN}"))], no_token);
    check_headers(&[here, right, right], no_token);
}

#[test]
fn a_token_is_made_once_and_kept_private() {
    let dir = tempfile::tempdir().unwrap();
    let folder = StateFolder::new(dir.path());
    assert!(Token::read(&folder).unwrap().is_none());
    let made = Token::read_or_create(&folder).unwrap();
    let read = Token::read_or_create(&folder).unwrap();
    assert_eq!(made.text(), read.text());
    assert_eq!(format!("{made:?}"), "Token(…)");

    let mode = |bits| std::fs::set_permissions(folder.token_file(), PermissionsExt::from_mode(bits)).unwrap();
    mode(0o644);
    assert_eq!(Token::read(&folder).unwrap_err().code, api::TOKEN_UNUSABLE);
    mode(0o600);
    std::fs::write(folder.token_file(), "\n").unwrap();
    assert_eq!(Token::read(&folder).unwrap_err().code, api::TOKEN_UNUSABLE);
}
