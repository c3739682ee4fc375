//! What `umbel up` is told of tools and providers of wasmCloud 1.x.

use std::ffi::OsString;
use umbel_host::wasmcloud::Wasmcloud;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "wasmCloud 1.x")]
pub(crate) struct Args {
    /// Pull and run the images of well-known providers (http-server, blobstore-fs and others), which builtins are in place of otherwise
    #[arg(
        long,
        env = "UMBEL_NO_STAND_INS",
        hide_env_values = true,
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    pub(crate) no_stand_ins: bool,
    /// Load files of this machine for any client of a shared lattice, and not only for what umbel deploys
    #[arg(
        long,
        env = "WASMCLOUD_ALLOW_FILE_LOAD",
        hide_env_values = true,
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    pub(crate) allow_file_load: bool,
}

impl Args {
    /// The settings; on a lattice that nobody shares every client is of this machine.
    pub(super) fn settings(&self, is_shared: bool) -> Wasmcloud {
        Wasmcloud {
            stand_ins: !self.no_stand_ins,
            file_load: self.allow_file_load || !is_shared,
            ..Wasmcloud::default()
        }
    }
}

/// The arguments that say the same.
pub(super) fn arguments(settings: &Wasmcloud) -> impl Iterator<Item = OsString> {
    let said = [(!settings.stand_ins, "--no-stand-ins"), (settings.file_load, "--allow-file-load")];
    said.into_iter().filter(|(is, _)| *is).map(|(_, name)| name.into())
}
