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
