//! Where the cgroup hierarchies are mounted and where this process is in them: read from `/proc`, nothing is changed.

use std::path::{Component, Path, PathBuf};

/// The controllers of version 1 that are used, where they are mounted.
const LEGACY: &[&str] = &["memory", "pids", "cpu", "cpuacct", "freezer"];

/// The folders of this process's own cgroups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// In the tree of version 2, with its mount point.
    pub(super) unified: Option<(PathBuf, PathBuf)>,
    /// In each hierarchy of version 1, by controller.
    pub(super) legacy: Vec<(String, PathBuf)>,
}

/// One cgroup mount.
struct Mount {
    /// Which part of the hierarchy is mounted.
    root: PathBuf,
    point: PathBuf,
    unified: bool,
    options: Vec<String>,
}

/// Reads `/proc/self/mountinfo` and `/proc/self/cgroup` (cgroups(7), proc_pid_mountinfo(5)).
pub(super) fn parse(mountinfo: &str, own: &str) -> Own {
    let mounts: Vec<Mount> = mountinfo.lines().filter_map(mount).collect();
    let mut found = Own::default();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if id == "0" && controllers.is_empty() {
            let mount = mounts.iter().find(|mount| mount.unified);
            found.unified = mount.and_then(|mount| Some((mount.point.clone(), mount.folder(path)?)));
            continue;
        }
        for controller in controllers.split(',').filter(|name| LEGACY.contains(name)) {
            let mounted = |mount: &&Mount| !mount.unified && mount.options.iter().any(|o| o == controller);
            if let Some(folder) = mounts.iter().find(mounted).and_then(|mount| mount.folder(path)) {
                found.legacy.push((controller.to_owned(), folder));
            }
        }
    }
    found.legacy.sort();
    found
}

/// The mount points of all cgroup hierarchies.
pub(super) fn mount_points(mountinfo: &str) -> Vec<PathBuf> {
    mountinfo.lines().filter_map(mount).map(|mount| mount.point).collect()
}

/// `36 35 98:0 ROOT POINT OPTIONS … - TYPE SOURCE SUPER_OPTIONS`, with spaces in paths as `\040`.
fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let (kind, _, options) = (after.next()?, after.next()?, after.next()?);
    if kind != "cgroup" && kind != "cgroup2" {
        return None;
    }
    let mut before = before.split(' ').skip(3);
    let (root, point) = (before.next()?, before.next()?);
    Some(Mount {
        root: PathBuf::from(unescape(root)),
        point: PathBuf::from(unescape(point)),
        unified: kind == "cgroup2",
        options: options.split(',').map(str::to_owned).collect(),
    })
}

impl Mount {
    /// The folder of a cgroup, if the mount shows it: a container may see only a part of the hierarchy.
    fn folder(&self, path: &str) -> Option<PathBuf> {
        let inside = Path::new(path).strip_prefix(&self.root).ok()?;
        let plain = inside.components().all(|part| matches!(part, Component::Normal(_)));
        plain.then(|| self.point.join(inside).components().collect())
    }
}

fn unescape(text: &str) -> String {
    let mut pieces = text.split('\\');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece.get(..3).and_then(|octal| u8::from_str_radix(octal, 8).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&piece[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(piece);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests;
