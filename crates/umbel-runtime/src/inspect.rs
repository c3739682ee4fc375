//! A first look at bytes before anything is compiled: is this a component at all?
//!
//! It walks top-level sections only, in time linear in their number; what is inside is the compiler's business.

use crate::error::LoadError;
use wasmparser::{Chunk, Encoding, Parser, Payload};

/// So much of a file is enough for [`peek`]: types and imports stand at the beginning of a module.
pub const HEAD_BYTES: usize = 64 << 10;

/// Looks at the beginning of a file, at most [`HEAD_BYTES`], so that what can never be a component is refused without reading the
/// rest; `what` names it in messages.
pub fn peek(what: &str, head: &[u8]) -> Result<(), LoadError> {
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
    let mut module = false;
    // What is wrong or cut off is for `check` to say, which sees the whole file.
    while let Ok(Chunk::Parsed { consumed, payload }) = parser.parse(rest, false) {
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } => module = true,
            Payload::ImportSection(imports) => {
                let mut imports = imports.into_imports().filter_map(Result::ok);
                if imports.any(|import| import.module == "wasmbus") {
                    return Err(LoadError::Actor { what });
                }
            }
            Payload::TypeSection(_) | Payload::CustomSection(_) if module => {}
            _ => break,
        }
        rest = &rest[consumed..];
    }
    if module { Err(LoadError::Module { what }) } else { Ok(()) }
}

/// Checks that `bytes` are a whole component; `what` names them in messages.
pub fn check(what: &str, bytes: &[u8]) -> Result<(), LoadError> {
    peek(what, &bytes[..bytes.len().min(HEAD_BYTES)])?;
    for payload in Parser::new(0).parse_all(bytes) {
        payload.map_err(|e| LoadError::Damaged {
            what: what.to_string(),
            offset: e.offset() as u64,
            reason: e.message().to_string(),
        })?;
    }
    Ok(())
}
