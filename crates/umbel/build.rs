//! Links the unwinder into the binary, so that what is shipped depends on the C library alone.
//!
//! rustc asks for `gcc_s`, a shared library that a bare machine may not have. A linker script of that name, found first, gives it
//! the static one of the same compiler. Where there is none, nothing changes.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is_gnu = std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu");
    let is_native = std::env::var("HOST").ok() == std::env::var("TARGET").ok();
    let (true, true, Some(archive)) = (is_gnu, is_native, static_unwinder()) else { return };
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    std::fs::write(out.join("libgcc_s.so"), format!("INPUT ( {} )\n", archive.display()))
        .expect("the folder that cargo made for us can be written");
    println!("cargo:rustc-link-search=native={}", out.display());
}

/// The compiler's `libgcc_eh.a`.
#[expect(clippy::disallowed_methods, reason = "a build script has no supervisor")]
fn static_unwinder() -> Option<PathBuf> {
    let output = std::process::Command::new("cc").arg("-print-file-name=libgcc_eh.a").output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    // A compiler that has none answers with the bare name.
    path.is_absolute().then_some(path).filter(|path| Path::exists(path))
}
