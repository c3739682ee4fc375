//! JSON documents as YAML: block style, every text that could be read as something else quoted as JSON quotes it.

use crate::text::escape_in_strings;
use serde_json::Value;

/// The document as YAML.
pub(crate) fn render(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    escape_in_strings(text)
}

/// Writes the value at the cursor, which is at the start of a line indented by `indent`; ends with a line end.
fn block(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (index, (key, value)) in fields.iter().enumerate() {
                pad(index, indent, text);
                text.push_str(&scalar_text(key));
                text.push(':');
                nested(value, indent + 2, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                pad(index, indent, text);
                text.push_str("- ");
                block(item, indent + 2, text);
            }
        }
        other => {
            text.push_str(&scalar(other));
            text.push('\n');
        }
    }
}

/// The first entry continues the line that it is on.
fn pad(index: usize, indent: usize, text: &mut String) {
    if index > 0 {
        text.push_str(&" ".repeat(indent));
    }
}

/// The value of a key: on the same line if it is short, otherwise below.
fn nested(value: &Value, indent: usize, text: &mut String) {
    let is_block = match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if is_block {
        text.push('\n');
        text.push_str(&" ".repeat(indent));
    } else {
        text.push(' ');
    }
    block(value, indent, text);
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(string) => scalar_text(string),
        other => other.to_string(),
    }
}

/// Plain where nothing can go wrong, otherwise in double quotes, whose escapes YAML shares with JSON.
fn scalar_text(string: &str) -> String {
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let starts_plain = string.starts_with(|c: char| c.is_ascii_alphabetic() || "/$".contains(c));
    let is_plain = starts_plain
        && string.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./$".contains(&b))
        && !WORDS.contains(&string.to_ascii_lowercase().as_str());
    if is_plain { string.into() } else { Value::from(string).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_blocks() {
        let document = json!({
            "$type": "link.list/v1",
            "items": [{"name": "a b", "list": [1, "no"], "empty": [], "none": null}, {"name": "x:y", "deep": {"k": {}}}],
            "text": "two\nlines \u{9b}",
            "1": 1.5,
        });
        let expect = r#"$type: link.list/v1
items:
  - name: "a b"
    list:
      - 1
      - "no"
    empty: []
    none: null
  - name: "x:y"
    deep:
      k: {}
text: "two\nlines \u009b"
"1": 1.5
"#;
        assert_eq!(render(&document), expect);
    }
}
