//! What holds a provider process: its cgroup and its sandbox, as the manifest says.

use super::Ground;
use std::path::Path;
use umbel_core::Problem;
use umbel_core::code::host as code;
use umbel_core::id::ProviderId;
use umbel_core::limits::{Containment, Sandbox};
use umbel_supervisor::process::{CgroupLimits, Files, Sandbox as Profile};

/// Processes and threads of one provider, unless the manifest says.
const PIDS_MAX: u32 = 512;

/// What a program may need of the system to run, to find hosts, to trust certificates and to know the time. What of it a machine does not
/// have is left out.
const SYSTEM: &[&str] = &[
    "/bin",
    "/lib",
    "/lib64",
    "/usr",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
];

/// The limits of its cgroup.
///
/// Errors: `UM0823` for a limit that was asked for and that this machine cannot enforce.
pub(super) fn limits(
    ground: &Ground,
    id: &ProviderId,
    containment: Containment,
) -> Result<CgroupLimits, Problem> {
    let asked = CgroupLimits {
        memory_bytes: containment.memory_bytes_max,
        pids: containment.pids_max,
        cpu_percent: containment.cpu_percent_max,
    };
    let cgroups = ground.home.cgroups();
    let missing = cgroups.missing(&asked);
    if !missing.is_empty() {
        let names: Vec<String> = missing.iter().map(|name| format!("`limits.{name}`")).collect();
        let message = format!("`{id}` cannot be held by {} on this machine", names.join(", "));
        return Err(
            Problem::new(code::PROVIDER_PROPERTIES, message).with_cause(format!("cgroups: {cgroups}"))
        );
    }
    Ok(CgroupLimits { pids: Some(containment.pids_max.unwrap_or(PIDS_MAX)), ..asked })
}

/// Its sandbox. It writes its own folder, which is made here, because it could not make it itself.
pub(super) fn sandbox(containment: Containment, folder: &Path) -> Result<Option<Profile>, Problem> {
    if containment.sandbox == Sandbox::None {
        return Ok(None);
    }
    std::fs::create_dir_all(folder).map_err(|source| {
        let message = format!("the folder `{}` cannot be made", folder.display());
        Problem::new(code::PROVIDER_NOT_STARTED, message).with_cause(source.to_string())
    })?;
    let there = SYSTEM.iter().map(Path::new).filter(|path| path.exists());
    let files =
        Files { read_only: there.map(Path::to_path_buf).collect(), read_write: vec![folder.to_path_buf()] };
    Ok(Some(Profile { files: Some(files), deny_dangerous: true }))
}
