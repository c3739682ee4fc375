//! What a process may see of the file system (landlock) and ask of the kernel (seccomp). Made before the fork, put on between fork
//! and exec, and never taken off again by what runs.

use super::ProcessError;
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The sandbox of a process. Default: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// What it may see of the file system; `None` is all of it. What is not named is refused with "permission denied".
    pub files: Option<Files>,
    /// Whether system calls that no capability provider needs are refused: see [`DENIED`].
    pub deny_dangerous: bool,
}

/// The parts of the file system that a process may use. Each path is a file or a folder with all in it, and has to exist.
/// The program itself, its run folder and `/dev/null` are always there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// To read and to run programs from: the libraries of a program that is not linked statically belong here.
    pub read_only: Vec<PathBuf>,
    /// To read, write, make and remove.
    pub read_write: Vec<PathBuf>,
}

/// The kernel features that landlock has to have: those of Linux 5.13. Later ones are used where they are.
const ABI_MIN: ABI = ABI::V1;
const ABI_BEST: ABI = ABI::V5;

/// The system calls that are refused with "operation not permitted": what changes the machine, other processes or namespaces.
pub const DENIED: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// New namespaces by `clone`; `clone3` cannot be looked into and is "not implemented", so that libraries use `clone` instead.
const NEW_NAMESPACES: &[libc::c_int] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// A sandbox that is ready to be put on.
#[derive(Default)]
pub(super) struct Compiled {
    pub(super) landlock: Option<OwnedFd>,
    pub(super) filters: Vec<BpfProgram>,
}

impl Sandbox {
    /// Makes the rule set and the filters. The program and the run folder need not be named.
    pub(super) fn compile(&self, program: &Path, run: Option<&Path>) -> Result<Compiled, ProcessError> {
        let landlock = self.files.as_ref().map(|files| files.compile(program, run)).transpose()?;
        let filters = if self.deny_dangerous { filters()? } else { Vec::new() };
        Ok(Compiled { landlock, filters })
    }
}

impl Files {
    fn compile(&self, program: &Path, run: Option<&Path>) -> Result<OwnedFd, ProcessError> {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI_MIN))
            .map(|rules| rules.set_compatibility(CompatLevel::BestEffort))
            .and_then(|rules| rules.handle_access(AccessFs::from_all(ABI_BEST)))
            .and_then(Ruleset::create)
            .map_err(|error| refused(format!("landlock: {error}")))?;
        // Every process needs it, and nothing can be learned or changed through it.
        let null = Path::new("/dev/null");
        let write = self.read_write.iter().map(PathBuf::as_path).chain(run).chain([null]);
        // A program that is not there is an error of its start.
        let program = Some(program).filter(|program| program.exists());
        let read = self.read_only.iter().map(PathBuf::as_path).chain(program);
        let read = read.map(|path| (path, AccessFs::from_read(ABI_BEST)));
        for (path, access) in read.chain(write.map(|path| (path, AccessFs::from_all(ABI_BEST)))) {
            rules = allow(rules, path, access)?;
        }
        Option::<OwnedFd>::from(rules).ok_or_else(|| refused("this kernel has no landlock".to_owned()))
    }
}

fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, ProcessError> {
    let at = |error: &dyn std::fmt::Display| refused(format!("`{}`: {error}", path.display()));
    let folder = PathFd::new(path).map_err(|error| at(&error))?;
    // What only folders have cannot be allowed for a file.
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI_BEST) };
    rules.add_rule(PathBeneath::new(folder, access)).map_err(|error| at(&error))
}

fn filters() -> Result<Vec<BpfProgram>, ProcessError> {
    let namespace = |flag: &libc::c_int| {
        let flag = u64::from(flag.unsigned_abs());
        let condition =
            SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)?;
        SeccompRule::new(vec![condition])
    };
    let namespaces: Result<Vec<SeccompRule>, _> = NEW_NAMESPACES.iter().map(namespace).collect();
    let namespaces = namespaces.map_err(|error| refused(format!("seccomp: {error}")))?;
    let mut denied: BTreeMap<i64, Vec<SeccompRule>> = DENIED.iter().map(|call| (*call, Vec::new())).collect();
    denied.insert(libc::SYS_clone, namespaces);
    let hidden = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    Ok(vec![filter(hidden, libc::ENOSYS)?, filter(denied, libc::EPERM)?])
}

fn filter(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> Result<BpfProgram, ProcessError> {
    let error = |error: seccompiler::BackendError| refused(format!("seccomp: {error}"));
    let arch = std::env::consts::ARCH.try_into().map_err(error)?;
    let refuse = SeccompAction::Errno(errno.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).map_err(error)?;
    filter.try_into().map_err(error)
}

fn refused(reason: String) -> ProcessError {
    ProcessError::Sandbox { reason }
}
