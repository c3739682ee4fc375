//! Functions of at most 70 lines, files of at most 1,000. What is longer stands in a list that may only shrink.

use super::{Finding, Source};
use std::collections::BTreeMap;
use syn::visit::{self, Visit};

/// The list: `PATH LINES` for a file, `PATH::FUNCTION LINES` for a function.
pub const ALLOWED: &str = "xtask/tidy-allowed.txt";

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 1_000;

pub fn check(sources: &[Source], allowed: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut too_long: BTreeMap<String, (usize, Finding)> = BTreeMap::new();
    for source in sources {
        let Some(text) = source.rust() else { continue };
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            let message = format!("{lines} lines; a file has at most {FILE_LINES_MAX}");
            too_long.insert(source.path.clone(), (lines, Finding::new(&source.path, 1, message)));
        }
        match functions(text) {
            Ok(functions) => {
                for (name, line, lines) in
                    functions.into_iter().filter(|(_, _, lines)| *lines > FUNCTION_LINES_MAX)
                {
                    let message =
                        format!("`{name}` has {lines} lines; a function has at most {FUNCTION_LINES_MAX}");
                    let finding = Finding::new(&source.path, line, message);
                    too_long.insert(format!("{}::{name}", source.path), (lines, finding));
                }
            }
            Err(error) => findings.push(Finding::new(&source.path, 1, format!("is not Rust: {error}"))),
        }
    }
    for (number, line) in
        allowed.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    {
        let complain = |message: String| Finding::new(ALLOWED, number + 1, message);
        let Some((what, most)) =
            line.split_once(' ').and_then(|(what, most)| Some((what, most.parse::<usize>().ok()?)))
        else {
            findings.push(complain("a line is `PATH LINES` or `PATH::FUNCTION LINES`".to_owned()));
            continue;
        };
        match too_long.remove(what) {
            None => findings.push(complain(format!("{what} is short enough now: remove this line"))),
            Some((lines, _)) if lines < most => {
                findings.push(complain(format!("{what} shrank: write {lines}")))
            }
            Some((lines, finding)) if lines > most => findings.push(finding),
            Some(_) => {}
        }
    }
    findings.extend(too_long.into_values().map(|(_, finding)| finding));
    findings
}

/// Name, first line and number of lines of every function.
fn functions(text: &str) -> syn::Result<Vec<(String, usize, usize)>> {
    struct Found(Vec<(String, usize, usize)>);
    impl Found {
        fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
            let first = signature.fn_token.span.start().line;
            let last = block.brace_token.span.close().end().line;
            self.0.push((signature.ident.to_string(), first, last - first + 1));
        }
    }
    impl<'a> Visit<'a> for Found {
        fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
            self.add(&item.sig, &item.block);
            visit::visit_item_fn(self, item);
        }
        fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
            self.add(&item.sig, &item.block);
            visit::visit_impl_item_fn(self, item);
        }
        fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
            if let Some(block) = &item.default {
                self.add(&item.sig, block);
            }
            visit::visit_trait_item_fn(self, item);
        }
    }
    let mut found = Found(Vec::new());
    found.visit_file(&syn::parse_file(text)?);
    Ok(found.0)
}
