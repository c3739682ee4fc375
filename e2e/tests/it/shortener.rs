//! The link shortener of `examples/shortener`: three components, two contracts of its own, a resource and errors over links.

use crate::{ask, running};
use serde_json::Value;
use std::collections::BTreeSet;
use umbel_testkit::Platform;
use umbel_testkit::http::Answer;
use umbel_testkit::wait::block_until;

fn post(platform: &Platform, url: &[u8]) -> Answer {
    ask(platform, "shortener", "POST", "/", Some(url))
}

fn get(platform: &Platform, path: &str) -> Answer {
    platform.get("shortener", path).unwrap()
}

fn json(platform: &Platform, path: &str) -> Value {
    let answer = get(platform, path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// The path of a new short link.
fn shorten(platform: &Platform, url: &str) -> String {
    let answer = post(platform, url.as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
    let short = answer.text().trim().to_owned();
    assert_eq!(answer.header("location"), Some(short.as_str()));
    short.strip_prefix("http://shortener.localhost").unwrap().to_owned()
}

#[test]
fn a_link_is_made_followed_and_counted() {
    let mut platform = running("shortener");
    assert_eq!(json(&platform, "/"), serde_json::json!([]));
    let url = "https://example.com/a?b=\"c\"#d";
    let path = shorten(&platform, url);
    assert_eq!(shorten(&platform, &format!("  {url}\n")), path, "the same URL has the same code");
    assert_ne!(shorten(&platform, "http://example.com/"), path);
    for _ in 0..3 {
        let answer = get(&platform, &path);
        assert_eq!((answer.status, answer.header("location")), (302, Some(url)));
    }
    let seen = |platform: &Platform| {
        let stats = json(platform, &format!("{path}/stats"));
        assert_eq!(stats["url"], url);
        let days = stats["days"].as_object().unwrap();
        assert_eq!(days.values().map(|visits| visits.as_u64().unwrap()).sum::<u64>(), stats["visits"]);
        // On two of them if it is midnight now.
        assert!(days.keys().all(|date| date.len() == 10 && date.starts_with("20")), "{days:?}");
        stats["visits"].as_u64().unwrap()
    };
    assert_eq!(seen(&platform), 3);

    platform.signal("KILL").unwrap();
    block_until("it is gone", || !platform.is_alive());
    platform.start().unwrap();
    block_until("it answers", || get(&platform, "/").status == 200);
    assert_eq!(seen(&platform), 3);
    assert_eq!(get(&platform, &path).header("location"), Some(url));
}

#[test]
fn what_is_no_url_and_what_is_no_code_is_refused_in_words() {
    let platform = running("shortener");
    let long = format!("http://example.com/{}", "n".repeat(1000));
    let huge = "n".repeat(100_000);
    for (url, expected) in [
        (&b""[..], "there is no URL"),
        (b"example.com", "a URL begins with http:// or https://"),
        (b"javascript:alert(1)//://", "only http and https are shortened"),
        (b"ftp://example.com/", "only http and https"),
        (b"http:///path", "the URL has no host"),
        (b"http://user@:80/", "the URL has no host"),
        (b"http://example.com/\r\nset-cookie: a=b", "neither blanks nor control characters"),
        ("http://example.com/ü".as_bytes(), "others than ASCII are escaped"),
        (b"http://example.com/\xff", "a URL is ASCII"),
        (long.as_bytes(), "a URL may have 1000 bytes"),
        (huge.as_bytes(), "the request is too long"),
    ] {
        let answer = post(&platform, url);
        assert_eq!(answer.status, 400, "{}", String::from_utf8_lossy(url));
        assert!(answer.text().contains(expected), "{}", answer.text());
    }
    for path in ["/nope", "/abcdef", "/abcdef/stats", "/a/b/c", "/%00", &format!("/{huge}")[..2000]] {
        assert_eq!(get(&platform, path).status, 404, "{path}");
    }
    assert_eq!(ask(&platform, "shortener", "DELETE", "/", None).status, 405);
    assert_eq!(json(&platform, "/"), serde_json::json!([]), "nothing of that is a link");
}

#[test]
fn the_list_goes_on_over_the_pages_of_the_store() {
    let platform = running("shortener");
    const LINKS: usize = 1_100;
    std::thread::scope(|scope| {
        for part in 0..4 {
            let platform = &platform;
            scope.spawn(move || {
                (part..LINKS).step_by(4).for_each(|n| {
                    shorten(platform, &format!("http://example.com/{n}"));
                });
            });
        }
    });
    let links = json(&platform, "/");
    let of = |key: &str| -> BTreeSet<String> {
        links.as_array().unwrap().iter().map(|link| link[key].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((of("code").len(), of("url").len()), (LINKS, LINKS));
}
