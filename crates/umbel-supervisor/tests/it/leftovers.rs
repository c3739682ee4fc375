//! Finds what is left of a host without asking its own records: by a mark in environments and arguments, by the names of cgroups, by
//! what is in its folder.

use crate::programs::{MARK, digits};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Everything that is left, one line each.
pub(crate) fn find(tag: &str, folder: &Path) -> BTreeSet<String> {
    let mut left: BTreeSet<String> =
        processes(tag).into_iter().map(|(pid, what)| format!("process {pid}: {what}")).collect();
    left.extend(cgroups(tag).into_iter().map(|folder| format!("cgroup {}", folder.display())));
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    let in_folder = folder.display().to_string();
    left.extend(
        sockets.lines().filter(|line| line.contains(&in_folder)).map(|line| format!("socket {line}")),
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    left.extend(mounts.lines().filter(|line| line.contains(&in_folder)).map(|line| format!("mount {line}")));
    for inside in ["run", "records"] {
        let entries = fs::read_dir(folder.join(inside)).into_iter().flatten().flatten();
        left.extend(entries.map(|entry| format!("file {}", entry.path().display())));
    }
    left
}

/// The processes with the mark that run, without this one and hosts of it.
pub(crate) fn processes(tag: &str) -> Vec<(u32, String)> {
    let (mark, number) = (format!("{MARK}={tag}\0"), format!("98765.{}\0", digits(tag)));
    let argument = format!("\"host\":\"{tag}\"");
    let pids =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let marked = |pid: &u32| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let (environ, arguments) = (read("environ"), read("cmdline"));
        let has =
            |bytes: &[u8], mark: &str| bytes.windows(mark.len()).any(|window| window == mark.as_bytes());
        (has(&environ, &mark) || has(&arguments, &number) || has(&arguments, &argument))
            .then(|| (*pid, String::from_utf8_lossy(&arguments).replace('\0', " ")))
    };
    pids.filter_map(|pid: u32| marked(&pid)).filter(|(pid, _)| is_running(*pid)).collect()
}

/// The pid of the guardian.
pub(crate) fn guardian(tag: &str) -> Option<u32> {
    processes(tag).into_iter().find(|(_, arguments)| arguments.contains("adopt_grace_ms")).map(|(pid, _)| pid)
}

/// The cgroups whose name has the tag, and those below them.
pub(crate) fn cgroups(tag: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, name: &str, found: &mut Vec<PathBuf>) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let path = entry.path();
            if path.components().any(|part| part.as_os_str().to_string_lossy().starts_with(name)) {
                found.push(path.clone());
            }
            walk(&path, name, found);
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), &format!("umbel-{tag}-"), &mut found);
    found
}

/// Whether a process with this pid exists and is not a zombie.
pub(crate) fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') && !rest.starts_with('X'))
}

/// Waits until nothing is left. Returns how long that took.
pub(crate) async fn none(tag: &str, folder: &Path, limit: Duration) -> Duration {
    let began = Instant::now();
    loop {
        let left = find(tag, folder);
        if left.is_empty() {
            return began.elapsed();
        }
        assert!(began.elapsed() < limit, "left after {limit:?}: {left:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Ends what a failed test has left, so that it is not left on the machine. What a test is about has been looked at before.
pub(crate) struct Broom(pub(crate) String);

impl Drop for Broom {
    fn drop(&mut self) {
        for _ in 0..100 {
            let groups = cgroups(&self.0);
            groups.iter().for_each(|group| drop(fs::write(group.join("cgroup.kill"), "1")));
            let processes = processes(&self.0);
            for (pid, _) in &processes {
                let pid = rustix::process::Pid::from_raw(*pid as i32).unwrap();
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            groups.iter().rev().for_each(|group| drop(fs::remove_dir(group)));
            if groups.is_empty() && processes.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
