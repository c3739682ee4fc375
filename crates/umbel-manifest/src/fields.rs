//! Reads the fields of a mapping: what is unknown, missing or of the wrong type is reported with its place.

use crate::load::{Entry, Node, Value};
use crate::report::{Mark, Report, shown};
use std::collections::BTreeMap;
use umbel_core::code::manifest;

/// A mapping being read. `path` names it in messages: `spec.components[0].properties`.
pub(crate) struct Fields<'n> {
    pub(crate) path: String,
    pub(crate) at: Mark,
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    /// Opens a mapping of which only `known` fields mean something.
    pub(crate) fn open(
        node: &'n Node,
        path: String,
        known: &[&str],
        report: &mut Report<'_>,
    ) -> Option<Fields<'n>> {
        let Value::Map(entries) = &node.value else {
            wrong_type(node, &path, "a mapping", report);
            return None;
        };
        for entry in entries {
            if !known.contains(&entry.key.as_str()) {
                unknown_field(entry, &path, known, report);
            }
        }
        Some(Fields { path, at: node.at, entries })
    }

    /// The value of a field. An explicit `null` counts as left out.
    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (!matches!(entry.value.value, Value::Null)).then_some(&entry.value)
    }

    /// Where the key of a field stands.
    pub(crate) fn key_at(&self, key: &str) -> Mark {
        self.entries.iter().find(|entry| entry.key == key).map_or(self.at, |entry| entry.key_at)
    }

    /// The value of a field that must be there.
    pub(crate) fn required(&self, key: &str, example: &str, report: &mut Report<'_>) -> Option<&'n Node> {
        let node = self.get(key);
        if node.is_none() {
            let message = format!("`{}` is missing", self.at_key(key));
            report.add_with_help(
                manifest::MISSING_FIELD,
                self.key_at(key),
                message,
                format!("add `{key}: {example}`"),
            );
        }
        node
    }

    /// Text that may be left out.
    pub(crate) fn text(&self, key: &str, report: &mut Report<'_>) -> Option<&'n str> {
        text(self.get(key)?, &self.at_key(key), report)
    }

    /// Text that must be there.
    pub(crate) fn required_text(&self, key: &str, example: &str, report: &mut Report<'_>) -> Option<&'n str> {
        text(self.required(key, example, report)?, &self.at_key(key), report)
    }

    /// The items of a list with their paths; nothing when the field is left out or no list.
    pub(crate) fn items(&self, key: &str, report: &mut Report<'_>) -> Vec<(&'n Node, String)> {
        let Some(node) = self.get(key) else { return Vec::new() };
        let path = self.at_key(key);
        let Value::List(items) = &node.value else {
            wrong_type(node, &path, "a list", report);
            return Vec::new();
        };
        items.iter().enumerate().map(|(i, item)| (item, format!("{path}[{i}]"))).collect()
    }

    /// A mapping of free keys to text.
    pub(crate) fn values(&self, key: &str, report: &mut Report<'_>) -> Option<BTreeMap<String, String>> {
        let node = self.get(key)?;
        let path = self.at_key(key);
        let Value::Map(entries) = &node.value else {
            wrong_type(node, &path, "a mapping", report);
            return None;
        };
        let mut values = BTreeMap::new();
        for entry in entries {
            if let Some(value) = text(&entry.value, &format!("{path}.{}", shown(&entry.key)), report) {
                values.insert(entry.key.clone(), value.to_owned());
            }
        }
        Some(values)
    }

    /// A whole number within a range.
    pub(crate) fn number(
        &self,
        key: &str,
        range: std::ops::RangeInclusive<u32>,
        report: &mut Report<'_>,
    ) -> Option<u32> {
        let node = self.get(key)?;
        let path = self.at_key(key);
        let Value::Number(text) = &node.value else {
            wrong_type(node, &path, "a whole number", report);
            return None;
        };
        match text.parse::<u32>() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let (low, high) = (range.start(), range.end());
                let message = format!("`{path}` is {}, not a whole number from {low} to {high}", shown(text));
                let help = format!("write a whole number from {low} to {high}");
                report.add_with_help(manifest::INVALID_VALUE, node.at, message, help);
                None
            }
        }
    }

    /// The full name of a field, for messages.
    pub(crate) fn at_key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// The text of a node.
pub(crate) fn text<'n>(node: &'n Node, path: &str, report: &mut Report<'_>) -> Option<&'n str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => {
            wrong_type(node, path, "text", report);
            None
        }
    }
}

/// Reports a value of a type other than the wanted one.
pub(crate) fn wrong_type(node: &Node, path: &str, wanted: &str, report: &mut Report<'_>) {
    let place = if path.is_empty() { "the manifest".to_owned() } else { format!("`{path}`") };
    let message = format!("{place} is {}, not {wanted}", node.value.type_name());
    let help = match (&node.value, wanted) {
        (Value::Number(number), "text") => format!("write it in quotes: \"{}\"", shown(number)),
        (Value::Bool(flag), "text") => format!("write it in quotes: \"{flag}\""),
        (Value::Null, "text") => "write the text, or \"\" for an empty one".to_owned(),
        (_, "a list") => "write a list: each item on a line of its own, beginning with `- `".to_owned(),
        (_, "a mapping") => "write a mapping: `key: value` lines, indented by two spaces".to_owned(),
        _ => format!("write {wanted}"),
    };
    report.add_with_help(manifest::WRONG_TYPE, node.at, message, help);
}

fn unknown_field(entry: &Entry, path: &str, known: &[&str], report: &mut Report<'_>) {
    let key = shown(&entry.key);
    if entry.key == "<<" {
        let help = "write the fields out";
        report.add_with_help(manifest::UNSUPPORTED_YAML, entry.key_at, "merge keys are not supported", help);
        return;
    }
    let place = if path.is_empty() { "at the top".to_owned() } else { format!("in `{path}`") };
    let message = format!("there is no field `{key}` {place}");
    let help = match nearest(&entry.key, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    report.add_with_help(manifest::UNKNOWN_FIELD, entry.key_at, message, help);
}

/// The known word that is so near to `text` that it may have been meant.
pub(crate) fn nearest<'k>(text: &str, known: &[&'k str]) -> Option<&'k str> {
    let text: Vec<char> = text.chars().take(64).flat_map(char::to_lowercase).collect();
    let distances =
        known.iter().map(|word| (edits(&text, &word.to_lowercase().chars().collect::<Vec<_>>()), *word));
    let (distance, word) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + word.chars().count() / 5).then_some(word)
}

/// How many insertions, deletions, replacements and swaps of neighbours turn `a` into `b`.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}
