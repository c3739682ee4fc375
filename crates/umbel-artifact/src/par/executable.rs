//! Whether bytes can be the executable of a target, by their first bytes.
//!
//! ELF: the identification (class, byte order), `e_type` and `e_machine` as the System V ABI has them.

use super::{ParError, Target};

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An ELF executable for the target.
    Elf,
    /// A script: its first line names who runs it.
    Script,
    /// The target is of a system whose executables are not looked into.
    NotLookedInto,
}

/// A processor that Linux runs on: the name in targets, `EI_CLASS`, `EI_DATA`, `e_machine`.
type Machine = (&'static str, u8, u8, u16);

const BITS_32: u8 = 1;
const BITS_64: u8 = 2;
const LITTLE: u8 = 1;
const BIG: u8 = 2;

/// Names are those of Rust's `std::env::consts::ARCH`; one name may stand for several machines.
const MACHINES: &[Machine] = &[
    ("x86_64", BITS_64, LITTLE, 62),
    ("x86_64", BITS_32, LITTLE, 62),
    ("x86", BITS_32, LITTLE, 3),
    ("aarch64", BITS_64, LITTLE, 183),
    ("arm", BITS_32, LITTLE, 40),
    ("riscv64", BITS_64, LITTLE, 243),
    ("riscv32", BITS_32, LITTLE, 243),
    ("powerpc64", BITS_64, BIG, 21),
    ("powerpc64", BITS_64, LITTLE, 21),
    ("s390x", BITS_64, BIG, 22),
    ("loongarch64", BITS_64, LITTLE, 258),
    ("mips", BITS_32, BIG, 8),
    ("mips", BITS_32, LITTLE, 8),
    ("mips64", BITS_64, BIG, 8),
    ("mips64", BITS_64, LITTLE, 8),
];
/// `e_type` of what can be started: at a fixed address, and anywhere (position-independent).
const STARTED: [u16; 2] = [2, 3];
/// How far the fields go that are read.
const HEAD: usize = 20;

/// Looks whether the bytes can be the executable of the target.
///
/// Errors: `UM0332` if they cannot: another kind of file, or an executable of another machine. Systems other than Linux, and processors
/// that are not known here, are not looked into.
pub fn look(target: &Target, bytes: &[u8]) -> Result<Kind, ParError> {
    let refuse = |reason: String| Err(ParError::NotExecutable { target: target.clone(), reason });
    let (arch, os) = (target.arch(), target.os());
    if bytes.is_empty() {
        return refuse("the file is empty".into());
    }
    if os != "linux" {
        return Ok(Kind::NotLookedInto);
    }
    if bytes.starts_with(b"#!") {
        return Ok(Kind::Script);
    }
    if !bytes.starts_with(b"\x7fELF") {
        return refuse(format!("the file is {}", other(bytes)));
    }
    let Some(head) = bytes.get(..HEAD) else { return refuse("the file ends in its header".into()) };
    let (class, order) = (head[4], head[5]);
    let number = |at: usize| match order {
        BIG => u16::from_be_bytes([head[at], head[at + 1]]),
        _ => u16::from_le_bytes([head[at], head[at + 1]]),
    };
    if !STARTED.contains(&number(16)) {
        return refuse("the file is an object or a core file, which cannot be started".into());
    }
    let found = (class, order, number(18));
    let is = |machine: &&Machine| (machine.1, machine.2, machine.3) == found;
    if !MACHINES.iter().any(|machine| machine.0 == arch) {
        return Ok(Kind::NotLookedInto);
    }
    if MACHINES.iter().filter(is).any(|machine| machine.0 == arch) {
        return Ok(Kind::Elf);
    }
    match MACHINES.iter().find(is) {
        Some((other, ..)) => refuse(format!("the file is an executable for `{other}`")),
        None => refuse(format!("the file is an executable for another machine (ELF machine {})", found.2)),
    }
}

/// What a file is that is no executable of Linux, as far as its beginning says.
fn other(bytes: &[u8]) -> &'static str {
    match bytes {
        [0, b'a', b's', b'm', ..] => "WebAssembly: name it as `image: ./NAME.wasm`, without an archive",
        [0x1f, 0x8b, ..] => "compressed by gzip, perhaps an archive already",
        [b'M', b'Z', ..] => "an executable for Windows",
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => "an executable for macOS",
        _ => "neither an ELF executable nor a script with `#!`",
    }
}

#[cfg(test)]
mod tests;
