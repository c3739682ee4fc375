//! A first look at bytes before anything is compiled: is this a component at all?
//!
//! It walks top-level sections only, in time linear in their number; what is inside is the compiler's business.

use crate::error::LoadError;
use crate::logs;
use wasmparser::{Chunk, Encoding, Parser, Payload};

/// The module that WASI preview 1 is imported from.
pub(crate) const PREVIEW_1: &str = "wasi_snapshot_preview1";

/// So much of a file is enough for [`peek`]: types and imports stand at the beginning of a module.
pub const HEAD_BYTES: usize = 64 << 10;

/// Looks at the beginning of a file, at most [`HEAD_BYTES`], so that what can never be a component is refused without reading the
/// rest; `what` names it in messages.
pub fn peek(what: &str, head: &[u8]) -> Result<(), LoadError> {
    look(what, head, false)
}

fn look(what: &str, head: &[u8], is_whole: bool) -> Result<(), LoadError> {
    let what = what.to_string();
    if head.len() < 8 || !head.starts_with(b"\0asm") {
        let first: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
        let found = if first.is_empty() { "nothing: it is empty".into() } else { first.join(" ") };
        // A cut-off file that begins rightly is damaged; anything else never was WebAssembly.
        return if !head.is_empty() && b"\0asm".starts_with(&head[..head.len().min(4)]) {
            Err(LoadError::Damaged {
                what,
                offset: head.len() as u64,
                reason: "the header is cut off".into(),
            })
        } else {
            Err(LoadError::NotWasm { what, found })
        };
    }
    let mut rest = head;
    let mut parser = Parser::new(0);
    let mut module = None;
    loop {
        let parsed = parser.parse(rest, is_whole).map_err(|error| damaged(&what, &error))?;
        // What is cut off here may go on in the file.
        let Chunk::Parsed { consumed, payload } = parsed else { break };
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } => module = Some(Module::default()),
            Payload::ImportSection(imports) => {
                for import in imports.into_imports().filter_map(Result::ok) {
                    match (&mut module, import.module) {
                        (_, "wasmbus" | "wapc") => return Err(LoadError::Actor { what }),
                        (Some(module), name) => module.import(name),
                        _ => {}
                    }
                }
            }
            Payload::ExportSection(exports) => {
                let is_command = exports.into_iter().any(|export| export.is_ok_and(|e| e.name == "_start"));
                return module.map_or(Ok(()), |module| module.verdict(what, Some(is_command)));
            }
            Payload::CodeSectionStart { .. } | Payload::End(_) => {
                return module.map_or(Ok(()), |module| module.verdict(what, Some(false)));
            }
            _ if module.is_none() => break,
            _ => {}
        }
        rest = &rest[consumed..];
    }
    // What it exports is further on.
    module.map_or(Ok(()), |module| module.verdict(what, None))
}

fn damaged(what: &str, error: &wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Damaged {
        what: what.to_string(),
        offset: error.offset() as u64,
        reason: error.message().to_string(),
    }
}

/// What a core module imports.
#[derive(Default)]
struct Module {
    has_wasi: bool,
    has_contracts: bool,
    /// The first module that it imports from that nothing here is.
    foreign: Option<String>,
}

impl Module {
    fn import(&mut self, from: &str) {
        match from {
            PREVIEW_1 => self.has_wasi = true,
            // An interface, or one of the names that the tools give a world's own imports.
            _ if from.contains(':') || from.starts_with('[') || from == "$root" => self.has_contracts = true,
            _ => drop(self.foreign.get_or_insert_with(|| from.to_string())),
        }
    }

    /// Whether it can be made a component, as far as can be seen.
    fn verdict(self, what: String, is_command: Option<bool>) -> Result<(), LoadError> {
        let reason = match (self.foreign, is_command) {
            (Some(from), _) => {
                format!("it imports from `{}`, which nothing here serves", logs::printable(&from))
            }
            (None, Some(false)) if !self.has_wasi && !self.has_contracts => {
                "it neither imports WASI preview 1 nor is a program with `_start`".to_string()
            }
            _ => return Ok(()),
        };
        Err(LoadError::Module { what, reason })
    }
}

/// The names of what a component imports and exports, in their order; nothing of anything else.
pub fn names(bytes: &[u8]) -> Option<(Vec<String>, Vec<String>)> {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_u32);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.ok()? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return None,
            Payload::ComponentSection { .. } | Payload::ModuleSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(section.into_iter().filter_map(Result::ok).map(|it| it.name.name.to_string()));
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(section.into_iter().filter_map(Result::ok).map(|it| it.name.name.to_string()));
            }
            _ => {}
        }
    }
    Some((imports, exports))
}

/// Whether the bytes are a core module.
pub(crate) fn is_module(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(&[1, 0, 0, 0])
}

/// Checks that `bytes` are a whole component, or a module that may become one; `what` names them in messages.
pub fn check(what: &str, bytes: &[u8]) -> Result<(), LoadError> {
    look(what, bytes, true)?;
    for payload in Parser::new(0).parse_all(bytes) {
        payload.map_err(|error| damaged(what, &error))?;
    }
    Ok(())
}

/// Whether a component names an interface of WASI 0.3, which is there for concurrent components alone: also what of it does nothing
/// concurrently.
pub(crate) fn names_wasi_p3(bytes: &[u8]) -> bool {
    let is_p3 = |name: &str| name.starts_with("wasi:") && name.contains("@0.3");
    let mut depth = 0_u32;
    Parser::new(0).parse_all(bytes).map_while(Result::ok).any(|payload| match payload {
        Payload::ComponentSection { .. } | Payload::ModuleSection { .. } => {
            depth += 1;
            false
        }
        Payload::End(_) => {
            depth = depth.saturating_sub(1);
            false
        }
        Payload::ComponentImportSection(imports) if depth == 0 => {
            imports.into_iter().any(|import| import.is_ok_and(|import| is_p3(import.name.name)))
        }
        Payload::ComponentExportSection(exports) if depth == 0 => {
            exports.into_iter().any(|export| export.is_ok_and(|export| is_p3(export.name.name)))
        }
        _ => false,
    })
}
