//! Where a reader is in the event streams of several hosts.
//!
//! Each host numbers its own events from 1, so a place in the merged stream is one number per host. As text, which clients keep
//! and send back without looking into it: `HOST:NUMBER`, several with `,` between.

use std::collections::BTreeMap;
use umbel_core::Problem;
use umbel_core::code::api;

/// Hosts in one cursor; more than any lattice that one API serves.
const HOSTS_MAX: usize = 1_000;

/// A place in the streams: for each host the number of the last event that was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cursor(BTreeMap<String, u64>);

impl Cursor {
    /// Reads the text form.
    pub(crate) fn parse(text: &str) -> Result<Cursor, Problem> {
        let unknown =
            || Problem::new(api::BAD_REQUEST, format!("`{}` is not a cursor of events", text.escape_debug()));
        let mut places = BTreeMap::new();
        for place in text.split(',').filter(|place| !place.is_empty()) {
            let (host, seq) = place.rsplit_once(':').ok_or_else(unknown)?;
            if host.is_empty() || places.len() >= HOSTS_MAX {
                return Err(unknown());
            }
            places.insert(host.to_string(), seq.parse().map_err(|_| unknown())?);
        }
        Ok(Cursor(places))
    }

    /// The last number seen of the host; 0 before the first.
    pub(crate) fn seen(&self, host: &str) -> u64 {
        self.0.get(host).copied().unwrap_or(0)
    }

    /// Whether the cursor knows the host.
    pub(crate) fn knows(&self, host: &str) -> bool {
        self.0.contains_key(host)
    }

    /// Moves to the event.
    pub(crate) fn advance(&mut self, host: &str, seq: u64) {
        self.0.insert(host.to_string(), seq);
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (host, seq)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{host}:{seq}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        let mut cursor = Cursor::parse("").unwrap();
        assert_eq!(cursor.seen("N1"), 0);
        assert!(!cursor.knows("N1"));
        cursor.advance("N2", 3);
        cursor.advance("N1", 41);
        cursor.advance("N1", 42);
        assert_eq!(cursor.to_string(), "N1:42,N2:3");
        assert_eq!(Cursor::parse("N1:42,N2:3").unwrap(), cursor);
    }

    #[test]
    fn what_is_not_a_cursor_is_refused() {
        for text in ["7", ":7", "N1:", "N1:x", "N1:-1", "N1:1,x"] {
            assert_eq!(Cursor::parse(text).unwrap_err().code, api::BAD_REQUEST, "{text}");
        }
    }
}
