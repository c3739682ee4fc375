//! What is shortened: URLs that a browser may safely be sent to.

use crate::exports::examples::shortener::links::Problem;

/// It is the key under which its code is found.
const BYTES_MAX: usize = 1_000;

/// The URL without blanks around it.
pub fn check(text: &str) -> Result<&str, Problem> {
    let url = text.trim();
    let bad = |why: &str| Err(Problem::BadUrl(why.to_owned()));
    if url.is_empty() {
        return bad("there is no URL");
    }
    if url.len() > BYTES_MAX {
        return Err(Problem::TooLong(BYTES_MAX as u32));
    }
    // It becomes a header, in which only these may stand.
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return bad("a URL has neither blanks nor control characters, and others than ASCII are escaped");
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return bad("a URL begins with http:// or https://");
    };
    // Others, such as javascript:, could do harm in the name of this site.
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return bad("only http and https are shortened");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.is_empty() || host.starts_with(':') {
        return bad("the URL has no host");
    }
    Ok(url)
}
