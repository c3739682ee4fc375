//! Core modules of WASI preview 1 become components: their imports are served by the adapter that wasmtime's maintainers ship.

use crate::error::LoadError;
use crate::inspect::PREVIEW_1;
use wasi_preview1_component_adapter_provider as adapter;
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// Makes a component of a module: of a program (`_start`) a command, of anything else what its embedded world says.
pub(crate) fn component(what: &str, module: &[u8]) -> Result<Vec<u8>, LoadError> {
    let bytes = match exports_start(module) {
        true => adapter::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        false => adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    };
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.adapter(PREVIEW_1, bytes))
        .and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| {
        // The chain names the import or the export; its causes follow one another.
        let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
        LoadError::Module { what: what.to_string(), reason: crate::logs::printable(&chain.join(": ")) }
    })
}

fn exports_start(module: &[u8]) -> bool {
    Parser::new(0).parse_all(module).filter_map(Result::ok).any(|payload| match payload {
        Payload::ExportSection(exports) => {
            exports.into_iter().any(|export| export.is_ok_and(|export| export.name == "_start"))
        }
        _ => false,
    })
}
