//! Prepared statements: which text a token stands for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use umbel_core::Digest;

/// Statements that one owner may have prepared; the one that was not used for longest goes.
const STATEMENTS_MAX: usize = 1_000;
/// Owners that are remembered.
const OWNERS_MAX: usize = 10_000;

/// The statements of all applications.
#[derive(Default)]
pub(super) struct Statements {
    owners: Mutex<Owners>,
}

#[derive(Default)]
struct Owners {
    by_owner: HashMap<String, HashMap<String, Entry>>,
    /// Grows with each use.
    clock: u64,
}

struct Entry {
    text: Arc<str>,
    used: u64,
}

impl Statements {
    /// A token for the text: the same one each time.
    pub(super) fn put(&self, owner: &str, text: &str) -> String {
        let token = Digest::of(format!("{owner}\0{text}").as_bytes()).hex();
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.clock += 1;
        let used = owners.clock;
        if owners.by_owner.len() >= OWNERS_MAX && !owners.by_owner.contains_key(owner) {
            owners.by_owner.clear();
        }
        let statements = owners.by_owner.entry(owner.to_string()).or_default();
        if statements.len() >= STATEMENTS_MAX && !statements.contains_key(&token) {
            let oldest =
                statements.iter().min_by_key(|(_, entry)| entry.used).map(|(token, _)| token.clone());
            oldest.and_then(|oldest| statements.remove(&oldest));
        }
        statements.insert(token.clone(), Entry { text: text.into(), used });
        token
    }

    /// The text of a token, if it is the owner's.
    pub(super) fn get(&self, owner: &str, token: &str) -> Option<Arc<str>> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.clock += 1;
        let used = owners.clock;
        let entry = owners.by_owner.get_mut(owner)?.get_mut(token)?;
        entry.used = used;
        Some(entry.text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_owners_and_the_same_each_time() {
        let statements = Statements::default();
        let token = statements.put("app", "SELECT 1");
        assert_eq!(statements.put("app", "SELECT 1"), token);
        assert_eq!(statements.get("app", &token).as_deref(), Some("SELECT 1"));
        assert_eq!(statements.get("other", &token), None);
        assert_ne!(statements.put("other", "SELECT 1"), token);
        for n in 0..STATEMENTS_MAX {
            assert!(statements.get("app", &token).is_some(), "what is used stays");
            statements.put("app", &format!("SELECT {n} + 1"));
        }
        let first = Digest::of(b"app\0SELECT 0 + 1").hex();
        assert_eq!(statements.get("app", &first), None, "what was not used for longest has gone");
    }
}
