//! Carries values between a guest's memory and the rest of the world: [`umbel_wit::Value`] in place of the engine's own dynamic values.
//!
//! The engine's `Val` gives every byte of a `list<u8>` and every field's name an allocation's worth of space, and megabytes go over links.
//! So the canonical ABI is read and written here, through the traits by which the engine reads and writes Rust types. They are hidden from
//! its documentation and may change with its version; that version is pinned, and `tests/it/links.rs` carries values of every kind.
//!
//! Read in this order: [`types`] (what a contract is made of) · [`list`] (arguments and results as the engine's traits want them) ·
//! [`lift`] (out of a guest) · [`lower`] (into a guest) · [`handles`], [`remote`] and [`stream`] (resources and streams, which are more
//! than bytes).

pub(crate) mod handles;
mod lift;
pub(crate) mod list;
mod lower;
pub(crate) mod remote;
pub(crate) mod stream;
pub(crate) mod types;

use wasmtime::component::__internal::{ComponentTypes, InterfaceType};

/// How a type with cases lies in memory.
struct Shape {
    /// Bytes of the case's number.
    tag_bytes: usize,
    /// Where the payload begins.
    payload_at: usize,
}

fn shape(types: &ComponentTypes, ty: InterfaceType) -> wasmtime::Result<Shape> {
    let (cases, info) = match ty {
        InterfaceType::Variant(i) => (types[i].cases.len(), &types[i].info),
        InterfaceType::Enum(i) => (types[i].names.len(), &types[i].info),
        InterfaceType::Option(i) => (2, &types[i].info),
        InterfaceType::Result(i) => (2, &types[i].info),
        _ => wasmtime::bail!("a value of a type that is not carried over links"),
    };
    // As many bytes as the canonical ABI takes for so many cases.
    let tag_bytes = match cases {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    };
    Ok(Shape { tag_bytes, payload_at: info.payload_offset32 as usize })
}
