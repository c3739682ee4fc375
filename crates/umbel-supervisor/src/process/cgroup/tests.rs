use super::*;

#[test]
fn what_can_be_enforced_is_known() {
    let all = CgroupLimits { memory_bytes: Some(1), pids: Some(1), cpu_percent: Some(1) };
    assert_eq!(Cgroups::none().missing(&all), ["memory", "pids", "cpu"]);
    assert!(Cgroups::none().missing(&CgroupLimits::default()).is_empty());
    let legacy = Cgroups { legacy: vec![("pids".to_owned(), PathBuf::from("/x"))], unified: None };
    assert_eq!(legacy.missing(&all), ["memory", "cpu"]);
    assert_eq!(legacy.to_string(), "version 1 (pids)");
    let unified = Unified { base: "/x".into(), controllers: vec!["memory".to_owned()], leaf: false };
    let unified = Cgroups { unified: Some(unified), legacy: Vec::new() };
    assert_eq!(unified.missing(&all), ["pids", "cpu"]);
    assert_eq!(unified.to_string(), "version 2 at /x (memory)");
}

#[test]
fn a_path_from_a_file_is_not_trusted() {
    for path in ["/", "/etc/umbel-a", "/sys/fs/cgroup/../../etc/umbel-a", "umbel-a", "/sys/fs/cgroup/umbel-b"]
    {
        assert!(!is_parent(Path::new(path), "a"), "{path}");
    }
}

/// The files of a cgroup of version 2, as far as they are looked at.
fn imitate(folder: &Path, pids: &[u32], controllers: &str) {
    fs::create_dir_all(folder).unwrap();
    let pids: String = pids.iter().map(|pid| format!("{pid}\n")).collect();
    fs::write(folder.join("cgroup.procs"), pids).unwrap();
    fs::write(folder.join("cgroup.controllers"), controllers).unwrap();
    fs::write(folder.join("cgroup.type"), "domain").unwrap();
}

#[test]
fn the_place_of_version_2_is_where_limits_can_be_had() {
    let (own, other) = (std::process::id(), 1);
    // In which cgroup this process is, who is there and above, and where groups are made: with how many controllers, as a leaf or not.
    type Case<'a> = (&'a str, &'a [u32], &'a [u32], &'a str, usize, bool);
    let cases: [Case<'_>; 5] = [
        ("unit", &[own], &[other], "slice/unit", 2, true),
        ("unit", &[own, other], &[], "slice", 2, false),
        ("unit", &[own, other], &[other], "slice/unit", 0, false),
        (HOST_LEAF, &[own], &[], "slice", 2, false),
        (HOST_LEAF, &[own, other], &[], "slice", 2, false),
    ];
    for (name, here, above, base, controllers, leaf) in cases {
        let point = tempfile::tempdir().unwrap();
        let slice = point.path().join("slice");
        imitate(&slice, above, "memory pids\n");
        imitate(&slice.join(name), here, "memory pids\n");
        let found = super::unified(point.path(), &slice.join(name)).unwrap();
        assert_eq!(found.base, point.path().join(base), "{name} {here:?} {above:?}");
        assert_eq!((found.controllers.len(), found.leaf), (controllers, leaf), "{name} {here:?} {above:?}");
    }
    // The root of the tree has no type, processes of all kinds, and controllers.
    let point = tempfile::tempdir().unwrap();
    imitate(point.path(), &[own, other], "memory\n");
    fs::remove_file(point.path().join("cgroup.type")).unwrap();
    let found = super::unified(point.path(), point.path()).unwrap();
    assert_eq!((found.base, found.controllers.len(), found.leaf), (point.path().to_owned(), 1, false));
}

#[test]
fn a_controller_is_enabled_after_this_process_has_moved_to_a_leaf() {
    let point = tempfile::tempdir().unwrap();
    imitate(point.path(), &[std::process::id()], "memory pids cpu\n");
    fs::write(point.path().join("cgroup.subtree_control"), "").unwrap();
    // A real tree makes these files itself.
    imitate(&point.path().join("umbel-a"), &[], "memory pids cpu\n");
    fs::write(point.path().join("umbel-a/cgroup.subtree_control"), "memory pids\n").unwrap();
    let unified = super::unified(point.path(), point.path()).unwrap();
    assert!(unified.leaf);
    let cgroups = Cgroups { unified: Some(unified), legacy: Vec::new() };
    let parent = cgroups.parent("a").unwrap();
    let leaf = fs::read_to_string(point.path().join(HOST_LEAF).join("cgroup.procs")).unwrap();
    assert_eq!(leaf, std::process::id().to_string());
    // Each is written on its own: one that is refused does not take the others with it.
    assert_eq!(fs::read_to_string(point.path().join("cgroup.subtree_control")).unwrap(), "+cpu");
    assert_eq!(fs::read_to_string(point.path().join("umbel-a/cgroup.subtree_control")).unwrap(), "+cpu");
    let cgroup = parent.cgroup("kv");
    imitate(&point.path().join("umbel-a/kv"), &[], "");
    for file in ["memory.max", "memory.oom.group", "pids.max", "cpu.max"] {
        fs::write(point.path().join("umbel-a/kv").join(file), "max").unwrap();
    }
    cgroup.create(&CgroupLimits { memory_bytes: Some(9), pids: Some(8), cpu_percent: Some(150) }).unwrap();
    let read = |file: &str| fs::read_to_string(point.path().join("umbel-a/kv").join(file)).unwrap();
    assert_eq!((read("memory.max"), read("memory.oom.group")), ("9".to_owned(), "1".to_owned()));
    assert_eq!((read("pids.max"), read("cpu.max")), ("8".to_owned(), "150000 100000".to_owned()));
}

/// Without `cgroup.kill` all of it is frozen, killed and thawed.
#[tokio::test]
async fn version_1_alone_ends_everything_too() {
    let cgroups = Cgroups { unified: None, ..Cgroups::detect() };
    if !["freezer", "pids"].iter().all(|needed| cgroups.legacy.iter().any(|(name, _)| name == needed)) {
        println!("skipped: there are no cgroups of version 1 here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tag = format!("legacy-{}", std::process::id());
    let home = crate::process::Home::open(folder.path(), &tag, cgroups.clone()).unwrap();
    let script = "b() { while :; do sleep 1000 & done; }; (setsid sleep 1000 &); (b); (b); trap '' TERM; b";
    let spec = crate::process::Spec::new("/bin/sh").args(["-c", script]).env("PATH", "/usr/bin:/bin");
    let limits = CgroupLimits { pids: Some(20), ..CgroupLimits::default() };
    let running = home.start(&crate::process::Service::new("bomb", spec).limits(limits)).await.unwrap();
    let cgroup = running.record().cgroup.clone();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while running.usage().processes < 10 {
        assert!(std::time::Instant::now() < end, "{:?}", running.usage());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let pids = cgroup.procs();
    running.stop(std::time::Duration::ZERO).await.unwrap();
    assert!(cgroup.folders().all(|folder| !folder.exists()));
    assert!(
        pids.iter().all(|pid| crate::process::Identity::of(*pid).is_none_or(|process| !process.is_running()))
    );
    drop(home);
    assert!(cgroup.folders().all(|folder| !folder.parent().unwrap().exists()));
}
