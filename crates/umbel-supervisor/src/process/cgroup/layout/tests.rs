use super::*;
use proptest::prelude::*;

fn check(mountinfo: &str, own: &str, unified: Option<&str>, legacy: &[(&str, &str)]) {
    let found = parse(mountinfo, own);
    assert_eq!(found.unified.map(|(_, own)| own), unified.map(PathBuf::from), "{own}");
    let legacy: Vec<(String, PathBuf)> =
        legacy.iter().map(|(name, path)| (name.to_string(), PathBuf::from(path))).collect();
    assert_eq!(found.legacy, legacy, "{own}");
}

#[test]
fn every_layout_is_read() {
    // One tree of version 2, as systemd mounts it.
    let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    check(
        unified,
        "0::/system.slice/umbel.service\n",
        Some("/sys/fs/cgroup/system.slice/umbel.service"),
        &[],
    );
    check(unified, "0::/\n", Some("/sys/fs/cgroup"), &[]);
    // Version 1 beside a tree of version 2 without controllers.
    let both = "40 23 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                41 23 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                42 23 0:32 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n\
                43 23 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    let own = "4:memory:/jobs/a\n3:cpu,cpuacct:/\n2:blkio:/\n1:name=systemd:/\n0::/x\n";
    let legacy = [
        ("cpu", "/sys/fs/cgroup/cpu,cpuacct"),
        ("cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
        ("memory", "/sys/fs/cgroup/memory/jobs/a"),
    ];
    check(both, own, Some("/sys/fs/cgroup/unified/x"), &legacy);
    // A container that sees a part of the hierarchy, and one whose own cgroup is outside of it.
    let part = "30 23 0:26 /jobs /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
    check(part, "0::/jobs/a\n", Some("/sys/fs/cgroup/a"), &[]);
    check(part, "0::/../b\n", None, &[]);
    // A path with a space in it, and none at all.
    check("30 23 0:26 / /a\\040b rw - cgroup2 none rw\n", "0::/c\n", Some("/a b/c"), &[]);
    check("30 23 8:1 / / rw - ext4 /dev/vda rw\n", "0::/c\n", None, &[]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rubbish_is_no_layout_and_no_panic(
        mountinfo in "([ -~\\\\é]{0,12}( - )?(cgroup2? )?[/a-z,\\\\0-9 ]{0,20}\n){0,5}",
        own in "([0-9]?:[a-z,]{0,9}:[/a-z.]{0,9}\n){0,5}",
    ) {
        for (_, folder) in parse(&mountinfo, &own).legacy {
            prop_assert!(!folder.components().any(|part| part == Component::ParentDir));
        }
    }
}
