//! Reads an application: the fields at the top, `metadata` and `spec`.

use crate::fields::{Fields, wrong_type};
use crate::load::{Node, Value, load};
use crate::model::{API_VERSION, Application, KIND, Policy};
use crate::part::{ReadPart, part_name, read_part};
use crate::report::{Report, shown};
use crate::{check, fields};
use umbel_core::Problem;
use umbel_core::code::manifest;
use umbel_core::id::AppName;

/// A manifest may have so many bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// Nesting: a manifest needs about ten levels.
pub const DEPTH_MAX: usize = 32;
/// Values in a manifest, with aliases written out.
pub const NODES_MAX: usize = 100_000;
/// Bytes of all scalars, with aliases written out.
pub const EXPANDED_BYTES_MAX: usize = 4 << 20;
/// So many problems are listed.
pub const PROBLEMS_MAX: usize = 100;

/// Reads a manifest, YAML or JSON. `file` is the name that problems carry.
///
/// # Errors
/// Every problem of the text, in the order of the text (at most [`PROBLEMS_MAX`] and a note that there are more).
pub fn parse(file: &str, text: &[u8]) -> Result<Application, Vec<Problem>> {
    let mut report = Report::new(file);
    let application = load(text, &mut report).and_then(|root| read_application(&root, &mut report));
    match application {
        Some(application) if report.is_empty() => Ok(application),
        _ => Err(report.into_problems()),
    }
}

fn read_application(root: &Node, report: &mut Report<'_>) -> Option<Application> {
    if !matches!(root.value, Value::Map(_)) {
        let message = format!("the manifest is {}, not a mapping", root.value.type_name());
        report.add(manifest::NOT_AN_APPLICATION, root.at, message);
        return None;
    }
    let top = Fields::open(root, String::new(), &["apiVersion", "kind", "metadata", "spec"], report)?;
    expect_text(&top, "apiVersion", API_VERSION, report);
    expect_text(&top, "kind", KIND, report);
    let metadata = top.required("metadata", "{name: hello}", report);
    let metadata = metadata.and_then(|node| read_metadata(node, report));
    let spec = top.required("spec", "{components: [...]}", report)?;
    let spec = Fields::open(spec, "spec".to_owned(), &["components", "policies"], report)?;
    let policies = read_policies(&spec, report);
    // Ids are made of the application's name; without one the parts are still read, for their problems.
    let placeholder = || AppName::new("unnamed").expect("a DNS label");
    let name = metadata.as_ref().map_or_else(placeholder, |metadata| metadata.name.clone());
    let parts = read_parts(&spec, &name, report);
    check::policies(&declared_names(&spec, "policies"), &parts, report);
    check::parts(&name, &parts, &declared_names(&spec, "components"), report);
    let metadata = metadata?;
    Some(Application {
        name,
        annotations: metadata.annotations,
        labels: metadata.labels,
        parts: parts.into_iter().map(|read| read.part).collect(),
        policies,
    })
}

/// The names in a list of named things, whatever else is wrong with them.
fn declared_names<'n>(spec: &Fields<'n>, key: &str) -> Vec<&'n str> {
    let Some(Node { value: Value::List(items), .. }) = spec.get(key) else { return Vec::new() };
    items.iter().filter_map(name_of).collect()
}

fn name_of(item: &Node) -> Option<&str> {
    let Value::Map(entries) = &item.value else { return None };
    match &entries.iter().find(|entry| entry.key == "name")?.value.value {
        Value::Text(name) => Some(name),
        _ => None,
    }
}

/// A field with one allowed value.
fn expect_text(top: &Fields<'_>, key: &str, wanted: &str, report: &mut Report<'_>) {
    let Some(found) = top.required(key, wanted, report) else { return };
    let Some(text) = fields::text(found, key, report) else { return };
    if text != wanted {
        let message = format!("`{key}` is `{}`, not `{wanted}`", shown(text));
        report.add_with_help(
            manifest::NOT_AN_APPLICATION,
            found.at,
            message,
            format!("write `{key}: {wanted}`"),
        );
    }
}

struct Metadata {
    name: AppName,
    annotations: std::collections::BTreeMap<String, String>,
    labels: std::collections::BTreeMap<String, String>,
}

fn read_metadata(node: &Node, report: &mut Report<'_>) -> Option<Metadata> {
    let metadata = Fields::open(node, "metadata".to_owned(), &["name", "annotations", "labels"], report)?;
    let annotations = metadata.values("annotations", report).unwrap_or_default();
    let labels = metadata.values("labels", report).unwrap_or_default();
    let name = metadata.required_text("name", "hello", report)?;
    let name = app_name(name, metadata.get("name").unwrap_or(node), report)?;
    check_version(&metadata, report);
    Some(Metadata { name, annotations, labels })
}

/// A version becomes a part of keys and subjects.
fn check_version(metadata: &Fields<'_>, report: &mut Report<'_>) {
    let Some(Node { value: Value::Map(entries), .. }) = metadata.get("annotations") else { return };
    let Some(entry) = entries.iter().find(|entry| entry.key == crate::model::VERSION_ANNOTATION) else {
        return;
    };
    let Value::Text(version) = &entry.value.value else { return };
    let is_usable = version.len() <= 128
        && version.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+'));
    if !is_usable || version == "latest" {
        let message = format!("the version `{}` is not usable", shown(version));
        let help = "write a version such as v1.2.0: letters, digits, `.`, `-`, `_` and `+`, but not `latest`";
        report.add_with_help(manifest::INVALID_VALUE, entry.value.at, message, help);
    }
}

/// The name of an application.
pub(crate) fn app_name(text: &str, node: &Node, report: &mut Report<'_>) -> Option<AppName> {
    match AppName::new(text) {
        Ok(name) => Some(name),
        Err(error) => {
            let problem = Problem::from(&error);
            report.add_with_help(problem.code, node.at, problem.message, problem.help);
            None
        }
    }
}

fn read_policies(spec: &Fields<'_>, report: &mut Report<'_>) -> Vec<Policy> {
    let mut policies = Vec::new();
    for (node, path) in spec.items("policies", report) {
        let Some(policy) = Fields::open(node, path, &["name", "type", "properties"], report) else {
            continue;
        };
        let name = policy.required_text("name", "my-policy", report);
        let kind = policy.required_text("type", "policy.secret.wasmcloud.dev/v1alpha1", report);
        let properties = policy.values("properties", report).unwrap_or_default();
        let (Some(name), Some(kind)) = (name, kind) else { continue };
        if part_name(name, "a policy", &policy, report).is_some() {
            policies.push(Policy { name: name.to_owned(), kind: kind.to_owned(), properties });
        }
    }
    policies
}

fn read_parts(spec: &Fields<'_>, app: &AppName, report: &mut Report<'_>) -> Vec<ReadPart> {
    let Some(node) = spec.required("components", "[{name: ..., type: component, ...}]", report) else {
        return Vec::new();
    };
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        report.add_with_help(
            manifest::MISSING_FIELD,
            node.at,
            "`spec.components` is empty",
            "add a part: `- {name: hello, type: component, properties: {image: ./hello.wasm}}`",
        );
    }
    if !matches!(node.value, Value::List(_)) {
        wrong_type(node, "spec.components", "a list", report);
        return Vec::new();
    }
    spec.items("components", report)
        .into_iter()
        .filter_map(|(node, path)| read_part(node, path, app, report))
        .collect()
}
