//! Reads `grants`: what of the machine a component may use.

use crate::fields::{Fields, text};
use crate::report::{Report, shown};
use umbel_core::code::manifest;
use umbel_core::grants::{Endpoint, Folder, Grants};

/// Arguments, folders and endpoints of each kind that a part may have.
const ITEMS_MAX: usize = 1_000;

pub(crate) fn read(properties: &Fields<'_>, report: &mut Report<'_>) -> Option<Grants> {
    let node = properties.get("grants")?;
    let known = &["args", "env", "folders", "connect", "listen"];
    let fields = Fields::open(node, properties.at_key("grants"), known, report)?;
    let mut grants = Grants { env: fields.values("env", report).unwrap_or_default(), ..Grants::default() };
    for (node, path) in items(&fields, "args", report) {
        grants.args.extend(text(node, &path, report).map(str::to_owned));
    }
    for (node, path) in items(&fields, "folders", report) {
        let folder = Fields::open(node, path, &["path", "at", "access"], report);
        grants.folders.extend(folder.and_then(|fields| read_folder(&fields, report)));
    }
    grants.connect = endpoints(&fields, "connect", report);
    grants.listen = endpoints(&fields, "listen", report);
    let words = grants.args.iter().chain(grants.env.keys()).chain(grants.env.values());
    if words.clone().any(|word| word.contains('\0'))
        || grants.env.keys().any(|key| key.is_empty() || key.contains('='))
    {
        let message = format!("`{}` has an argument or a variable that no program can be given", fields.path);
        report.add_with_help(
            manifest::INVALID_VALUE,
            fields.at,
            message,
            "arguments and variables have no NUL, and the name of a variable is not empty and has no `=`",
        );
    }
    Some(grants)
}

fn items<'n>(
    fields: &Fields<'n>,
    key: &str,
    report: &mut Report<'_>,
) -> Vec<(&'n crate::load::Node, String)> {
    let mut items = fields.items(key, report);
    if items.len() > ITEMS_MAX {
        let message = format!("`{}` has {} items, {ITEMS_MAX} are allowed", fields.at_key(key), items.len());
        report.add(manifest::INVALID_VALUE, fields.key_at(key), message);
        items.truncate(ITEMS_MAX);
    }
    items
}

fn read_folder(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<Folder> {
    let path = fields.required_text("path", "./data", report);
    let at = fields.text("at", report);
    let writable = match fields.text("access", report) {
        None | Some("read-only") => false,
        Some("read-write") => true,
        Some(other) => {
            let at = fields.get("access").map_or(fields.at, |node| node.at);
            let message = format!(
                "`{}` is `{}`, not `read-only` or `read-write`",
                fields.at_key("access"),
                shown(other)
            );
            report.add_with_help(
                manifest::INVALID_VALUE,
                at,
                message,
                "write `access: read-write`, or leave it out",
            );
            false
        }
    };
    let path = path?;
    let at = at.unwrap_or(path);
    if path.is_empty() || at.is_empty() || path.contains('\0') || at.contains('\0') {
        let message = format!("`{}` has an empty path, or one with a NUL", fields.path);
        report.add_with_help(
            manifest::INVALID_VALUE,
            fields.at,
            message,
            "write for example `{path: ./data, at: /data}`",
        );
        return None;
    }
    Some(Folder { path: path.to_owned(), at: at.to_owned(), writable })
}

fn endpoints(fields: &Fields<'_>, key: &str, report: &mut Report<'_>) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for (node, path) in items(fields, key, report) {
        let Some(written) = text(node, &path, report) else { continue };
        match written.parse() {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(reason) => {
                let message = format!("`{path}` is `{}`: {reason}", shown(written));
                let help = "write `db.example:5432`, `10.0.0.0/8:443`, `[::1]:80`, `*:53` or `127.0.0.1:*`";
                report.add_with_help(manifest::INVALID_VALUE, node.at, message, help);
            }
        }
    }
    endpoints
}
