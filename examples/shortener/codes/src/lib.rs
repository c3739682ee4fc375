//! Makes codes for URLs and keeps them: under each code its link, and under each URL its code.

mod url;

use exports::examples::shortener::links::{Guest, GuestListing, Link, Problem};
use std::cell::Cell;
use wasi::keyvalue::atomics;
use wasi::keyvalue::store::{self, Bucket, Error};
use wasip2::clocks::wall_clock;
use wasip2::random::random::get_random_bytes;

wit_bindgen::generate!({ path: "../wit", world: "codes", generate_all });

/// What is not mistaken for another one when it is read aloud or typed.
const ALPHABET: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";
const CODE_CHARS: u64 = 6;

struct Codes;

export!(Codes);

impl Guest for Codes {
    type Listing = Listing;

    fn shorten(url: String) -> Result<Link, Problem> {
        let url = url::check(&url)?;
        let codes_of_urls = store::open("urls")?;
        if let Some(code) = codes_of_urls.get(url)? {
            return Codes::resolve(String::from_utf8_lossy(&code).into_owned());
        }
        let links = store::open("links")?;
        let link = Link { code: new_code()?, url: url.to_owned(), made_at: wall_clock::now().seconds };
        // The link comes first: a code that a URL leads to is always known.
        links.set(&link.code, format!("{} {}", link.made_at, link.url).as_bytes())?;
        codes_of_urls.set(url, link.code.as_bytes())?;
        Ok(link)
    }

    fn resolve(code: String) -> Result<Link, Problem> {
        find(&store::open("links")?, &code)?.ok_or(Problem::UnknownCode)
    }
}

/// A code that nobody else has, also of those who ask at the same moment.
fn new_code() -> Result<String, Problem> {
    let taken = store::open("taken")?;
    loop {
        let code: String = get_random_bytes(CODE_CHARS)
            .into_iter()
            .map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]))
            .collect();
        if atomics::increment(&taken, &code, 1)? == 1 {
            return Ok(code);
        }
    }
}

fn find(links: &Bucket, code: &str) -> Result<Option<Link>, Problem> {
    // What cannot be a code need not be looked for.
    if code.len() as u64 != CODE_CHARS {
        return Ok(None);
    }
    let Some(value) = links.get(code)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&value);
    let (made_at, url) = text.split_once(' ').unwrap_or(("0", &text));
    Ok(Some(Link { code: code.to_owned(), url: url.to_owned(), made_at: made_at.parse().unwrap_or(0) }))
}

/// Where a listing is.
#[derive(Clone, Copy)]
enum Place {
    Beginning,
    Cursor(u64),
    End,
}

struct Listing(Cell<Place>);

impl GuestListing for Listing {
    fn new() -> Listing {
        Listing(Cell::new(Place::Beginning))
    }

    fn next(&self) -> Result<Vec<Link>, Problem> {
        let cursor = match self.0.get() {
            Place::Beginning => None,
            Place::Cursor(cursor) => Some(cursor),
            Place::End => return Ok(Vec::new()),
        };
        let links = store::open("links")?;
        let page = links.list_keys(cursor)?;
        self.0.set(page.cursor.map_or(Place::End, Place::Cursor));
        page.keys.iter().filter_map(|code| find(&links, code).transpose()).collect()
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        Problem::Store(match error {
            Error::NoSuchStore => "the store is not there".to_owned(),
            Error::AccessDenied => "the store may not be used".to_owned(),
            Error::Other(why) => why,
        })
    }
}
