//! A first look at bytes before anything is compiled: is this a component at all?
//!
//! It walks top-level sections only, in time linear in their number; what is inside is the compiler's business.

use crate::error::LoadError;
use wasmparser::{Encoding, Parser, Payload};

/// Checks that `bytes` are a whole component; `what` names them in messages.
pub fn check(what: &str, bytes: &[u8]) -> Result<(), LoadError> {
    let what = what.to_string();
    if bytes.len() < 8 || !bytes.starts_with(b"\0asm") {
        let head: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
        let found = if head.is_empty() { "nothing: it is empty".into() } else { head.join(" ") };
        // A cut-off file that begins rightly is damaged; anything else never was WebAssembly.
        return if !bytes.is_empty() && b"\0asm".starts_with(&bytes[..bytes.len().min(4)]) {
            Err(LoadError::Damaged {
                what,
                offset: bytes.len() as u64,
                reason: "the header is cut off".into(),
            })
        } else {
            Err(LoadError::NotWasm { what, found })
        };
    }
    let mut module = false;
    let mut depth = 0u32;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|e| LoadError::Damaged {
            what: what.clone(),
            offset: e.offset() as u64,
            reason: e.message().to_string(),
        })?;
        match payload {
            Payload::Version { encoding, .. } => {
                module |= depth == 0 && encoding == Encoding::Module;
                depth += 1;
            }
            Payload::ImportSection(imports) if module => {
                let wasmbus =
                    imports.into_imports().filter_map(Result::ok).any(|import| import.module == "wasmbus");
                if wasmbus {
                    return Err(LoadError::Actor { what });
                }
            }
            _ => {}
        }
    }
    if module { Err(LoadError::Module { what }) } else { Ok(()) }
}
