//! Makes nodes with spans of text, within limits. JSON is read as the YAML that it is.

use crate::read::{DEPTH_MAX, EXPANDED_BYTES_MAX, NODES_MAX, TEXT_BYTES_MAX};
use crate::report::{Mark, Report, shown};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use umbel_core::code::manifest;

/// A value of the text and where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: Mark,
}

/// What a value is. Scalars keep their text: `0.10` stays `0.10`.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Mark,
    pub(crate) value: Node,
}

impl Value {
    /// What the value is, for messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Loads the one document of `bytes`. Problems go to the report; `None` when nothing can be read on.
pub(crate) fn load(bytes: &[u8], report: &mut Report<'_>) -> Option<Node> {
    let text = decode(bytes, report)?;
    let text =
        if text.trim_start().starts_with(['{', '[']) { json_as_yaml(text) } else { Cow::Borrowed(text) };
    Loader {
        parser: Parser::new_from_str(&text),
        end: mark_after(&text),
        anchors: HashMap::new(),
        spent: Weight::default(),
        report,
    }
    .document()
}

/// Checks size and encoding before anything else looks at the bytes.
fn decode<'b>(bytes: &'b [u8], report: &mut Report<'_>) -> Option<&'b str> {
    if bytes.len() > TEXT_BYTES_MAX {
        let message = format!("the manifest has {} bytes, {} are allowed", bytes.len(), TEXT_BYTES_MAX);
        report.add(manifest::TOO_LARGE, Mark::START, message);
        return None;
    }
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        report.add(manifest::NOT_TEXT, Mark::START, "the text is UTF-16, not UTF-8");
        return None;
    }
    let bytes = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
            report.add(manifest::NOT_TEXT, mark_after(&before), "a byte here is not UTF-8");
            return None;
        }
    };
    let is_refused =
        |c: char| (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}')) || c == '\u{FEFF}';
    if let Some(offset) = text.find(is_refused) {
        let found = text[offset..].chars().next().unwrap_or_default();
        let message = format!("the control character U+{:04X} is not allowed", u32::from(found));
        report.add(manifest::NOT_TEXT, mark_after(&text[..offset]), message);
        return None;
    }
    Some(text)
}

/// The place right after `before`. Lines end as YAML says.
fn mark_after(before: &str) -> Mark {
    let before = before.replace("\r\n", "\n").replace('\r', "\n");
    let last_line = before.rsplit('\n').next().unwrap_or_default();
    Mark { line: before.matches('\n').count() + 1, column: last_line.chars().count() + 1 }
}

/// JSON is YAML but for two things, which are rewritten without moving a line: tabs between tokens, and characters that are
/// escaped as two surrogates.
fn json_as_yaml(text: &str) -> Cow<'_, str> {
    if !text.contains('\t') && !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut in_string = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if in_string && c == '\\' {
            if let Some((pair, length)) = surrogate_pair(rest) {
                out.push(pair);
                rest = &rest[length..];
                continue;
            }
            let escaped = rest.chars().nth(1).map_or(1, |next| 1 + next.len_utf8());
            out.push_str(&rest[..escaped]);
            rest = &rest[escaped..];
            continue;
        }
        in_string ^= c == '"';
        out.push(if c == '\t' && !in_string { ' ' } else { c });
        rest = &rest[c.len_utf8()..];
    }
    Cow::Owned(out)
}

/// The character that `\uD83D\uDE00` stands for, and the length of its escape.
fn surrogate_pair(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| -> Option<u16> {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let units = [unit(0)?, unit(6)?];
    let mut chars = char::decode_utf16(units).map(Result::ok);
    match (chars.next(), chars.next()) {
        (Some(Some(c)), None) => Some((c, 12)),
        _ => None,
    }
}

/// What a node costs, with everything in it.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

struct Loader<'t, 'r, 'f> {
    parser: Parser<'t, StrInput<'t>>,
    end: Mark,
    /// Finished nodes by anchor, and what a copy of each costs.
    anchors: HashMap<usize, (Node, Weight)>,
    spent: Weight,
    report: &'r mut Report<'f>,
}

/// Reading cannot go on; the report says why.
struct Abort;

impl<'t> Loader<'t, '_, '_> {
    fn document(mut self) -> Option<Node> {
        self.whole_document().ok()
    }

    fn whole_document(&mut self) -> Result<Node, Abort> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (Event::StreamEnd | Event::DocumentEnd, at) => {
                    self.report.add(manifest::NOT_AN_APPLICATION, at, "the manifest is empty");
                    return Err(Abort);
                }
                (event, at) => {
                    let (node, _) = self.node(event, at, 1)?;
                    self.end_of_stream()?;
                    return Ok(node);
                }
            }
        }
    }

    fn end_of_stream(&mut self) -> Result<(), Abort> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd | Event::Nothing, _) => {}
                (_, at) => {
                    self.report.add_with_help(
                        manifest::UNSUPPORTED_YAML,
                        at,
                        "a second document begins here",
                        "keep one application to a file",
                    );
                    return Err(Abort);
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Mark), Abort> {
        match self.parser.next_event() {
            Some(Ok((event, Span { start, .. }))) => Ok((event, self.mark(&start))),
            Some(Err(error)) => {
                let at = self.mark(error.marker());
                // The scanner looks ahead for the end of a key, so it may meet its own limit of 255 before we meet ours.
                if error.info().contains("recursion limit") {
                    self.report.add(manifest::TOO_DEEP, at, format!("more than {DEPTH_MAX} levels"));
                } else {
                    let message = format!("the text is not YAML: {}", shown(error.info()));
                    self.report.add(manifest::SYNTAX, at, message);
                }
                Err(Abort)
            }
            None => {
                self.report.add(manifest::SYNTAX, Mark::START, "the text ends too early");
                Err(Abort)
            }
        }
    }

    fn mark(&self, marker: &Marker) -> Mark {
        // The scanner ends a last line that the text does not end, and then stands in one that is not there.
        if marker.line() > self.end.line {
            return self.end;
        }
        Mark { line: marker.line().max(1), column: marker.col() + 1 }
    }

    /// The node that `event` begins, and its weight.
    fn node(&mut self, event: Event<'t>, at: Mark, depth: usize) -> Result<(Node, Weight), Abort> {
        if depth > DEPTH_MAX {
            self.report.add(manifest::TOO_DEEP, at, format!("more than {DEPTH_MAX} levels"));
            return Err(Abort);
        }
        match event {
            Event::Alias(anchor) => self.alias(anchor, at, depth),
            Event::Scalar(text, style, anchor, tag) => {
                let weight = Weight { nodes: 1, bytes: text.len(), depth: 1 };
                self.spend(weight, at)?;
                let node = Node { value: self.scalar(text, style, tag.as_deref(), at), at };
                self.keep(anchor, node, weight)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", at);
                self.list(anchor, at, depth)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", at);
                self.map(anchor, at, depth)
            }
            _ => {
                self.report.add(manifest::SYNTAX, at, "a value is missing here");
                Err(Abort)
            }
        }
    }

    fn alias(&mut self, anchor: usize, at: Mark, depth: usize) -> Result<(Node, Weight), Abort> {
        let Some(weight) = self.anchors.get(&anchor).map(|(_, weight)| *weight) else {
            self.report.add_with_help(
                manifest::TOO_MANY_NODES,
                at,
                "an alias stands inside of what it refers to",
                "write the values out",
            );
            return Err(Abort);
        };
        self.spend(weight, at)?;
        if depth + weight.depth > DEPTH_MAX + 1 {
            self.report.add(manifest::TOO_DEEP, at, format!("more than {DEPTH_MAX} levels"));
            return Err(Abort);
        }
        // A problem of the value is one of this place; problems further inside stay where their text is.
        let mut node = self.anchors[&anchor].0.clone();
        node.at = at;
        Ok((node, weight))
    }

    fn list(&mut self, anchor: usize, at: Mark, depth: usize) -> Result<(Node, Weight), Abort> {
        let mut weight = Weight { nodes: 1, bytes: 0, depth: 1 };
        self.spend(weight, at)?;
        let mut items = Vec::new();
        loop {
            let (event, item_at) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return self.keep(anchor, Node { value: Value::List(items), at }, weight);
            }
            let (item, of_item) = self.node(event, item_at, depth + 1)?;
            weight.add(of_item);
            items.push(item);
        }
    }

    fn map(&mut self, anchor: usize, at: Mark, depth: usize) -> Result<(Node, Weight), Abort> {
        let mut weight = Weight { nodes: 1, bytes: 0, depth: 1 };
        self.spend(weight, at)?;
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        loop {
            let (event, key_at) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return self.keep(anchor, Node { value: Value::Map(entries), at }, weight);
            }
            let (key_node, of_key) = self.node(event, key_at, depth + 1)?;
            let (event, value_at) = self.next()?;
            let (value, of_value) = self.node(event, value_at, depth + 1)?;
            weight.add(of_key);
            weight.add(of_value);
            let key = match key_node.value {
                Value::Text(text) | Value::Number(text) => text,
                Value::Bool(flag) => flag.to_string(),
                other => {
                    let message = format!("a key is {}, not text", other.type_name());
                    self.report.add(manifest::UNSUPPORTED_YAML, key_at, message);
                    continue;
                }
            };
            if !seen.insert(key.clone()) {
                let message = format!("`{}` is written twice in one mapping", shown(&key));
                self.report.add(manifest::DUPLICATE_KEY, key_at, message);
                continue;
            }
            entries.push(Entry { key, key_at, value });
        }
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, at: Mark) -> Value {
        match tag {
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Value::Text(text.into_owned()),
            Some(tag)
                if tag.is_yaml_core_schema() && matches!(&*tag.suffix, "int" | "float" | "bool" | "null") =>
            {
                plain(text)
            }
            Some(_) => {
                self.check_tag(tag, "str", at);
                Value::Text(text.into_owned())
            }
            None if style == ScalarStyle::Plain => plain(text),
            None => Value::Text(text.into_owned()),
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &str, at: Mark) {
        let Some(tag) = tag else { return };
        if !(tag.is_yaml_core_schema() && tag.suffix == expected) {
            let prefix = if tag.is_yaml_core_schema() { "!!" } else { tag.handle.as_str() };
            let message = format!("the tag `{}` is not supported", shown(&format!("{prefix}{}", tag.suffix)));
            self.report.add_with_help(manifest::UNSUPPORTED_YAML, at, message, "remove the tag");
        }
    }

    fn spend(&mut self, weight: Weight, at: Mark) -> Result<(), Abort> {
        self.spent.add(weight);
        if self.spent.nodes > NODES_MAX || self.spent.bytes > EXPANDED_BYTES_MAX {
            let message = format!(
                "more than {NODES_MAX} values or {EXPANDED_BYTES_MAX} bytes, aliases counted in full"
            );
            self.report.add(manifest::TOO_MANY_NODES, at, message);
            return Err(Abort);
        }
        Ok(())
    }

    /// Remembers an anchored node. The copy is paid for, so that anchors inside of anchors cannot pile up.
    fn keep(&mut self, anchor: usize, node: Node, weight: Weight) -> Result<(Node, Weight), Abort> {
        if anchor > 0 {
            self.spend(weight, node.at)?;
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        Ok((node, weight))
    }
}

impl Weight {
    /// Adds what is inside; the depth of the outer grows with it.
    fn add(&mut self, inner: Weight) {
        self.nodes = self.nodes.saturating_add(inner.nodes);
        self.bytes = self.bytes.saturating_add(inner.bytes);
        self.depth = self.depth.max(inner.depth + 1);
    }
}

/// A plain scalar by YAML 1.2's core schema: `yes` and `on` are text.
fn plain(text: Cow<'_, str>) -> Value {
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        number if is_number(number) => Value::Number(text.into_owned()),
        _ => Value::Text(text.into_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(hex) = text.strip_prefix("0x") {
        return !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return !octal.is_empty() && octal.bytes().all(|b| (b'0'..=b'7').contains(&b));
    }
    matches!(unsigned, ".inf" | ".Inf" | ".INF")
        || matches!(text, ".nan" | ".NaN" | ".NAN")
        || (unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'))
            && unsigned.parse::<f64>().is_ok())
}
