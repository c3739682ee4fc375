//! What holds a long-running process, one thing at a time.

use crate::leftovers::{self, Broom};
use crate::programs::{Kind, MARK, program};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use umbel_core::Coded;
use umbel_core::code::supervisor as code;
use umbel_supervisor::process::{
    Capture, CgroupLimits, Cgroups, Exit, Files, Home, LINE_BYTES_MAX, Policy, ProcessError, Record, Running,
    Sandbox, Service, Spec, Status, Stdin, Stream,
};
use umbel_supervisor::{
    ChildSpec, Env, State, Stop, Strategy, Supervisor, SupervisorSpec, guardian, process,
};

/// A home with its own tag; what a failed test leaves is swept away.
struct Bed {
    home: Home,
    tag: String,
    folder: tempfile::TempDir,
    _broom: Broom,
}

fn bed(name: &str, cgroups: Cgroups) -> Bed {
    static COUNT: AtomicU32 = AtomicU32::new(1000);
    let tag = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(folder.path(), &tag, cgroups).unwrap();
    Bed { home, tag: tag.clone(), folder, _broom: Broom(tag) }
}

impl Bed {
    fn sh(&self, name: &str, script: &str) -> Service {
        let spec =
            Spec::new("/bin/sh").arg("-c").arg(script).env("PATH", "/usr/bin:/bin").env(MARK, &self.tag);
        Service::new(name, spec)
    }

    async fn ends_empty(self) {
        drop(self.home);
        leftovers::none(&self.tag, self.folder.path(), Duration::from_secs(2)).await;
    }
}

/// The lines of a service.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<Line>>>);

type Line = (Stream, Vec<u8>);

impl Said {
    fn tell(&self) -> impl Fn(Stream, &[u8]) + Send + Sync + 'static {
        let said = self.0.clone();
        move |stream, line| said.lock().unwrap().push((stream, line.to_vec()))
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap();
        lines.iter().map(|(_, line)| format!("{}\n", String::from_utf8_lossy(line))).collect()
    }

    async fn wait_for(&self, text: &str) {
        wait_for(text, || self.text().contains(text)).await;
    }
}

async fn wait_for(what: &str, mut predicate: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !predicate() {
        assert!(Instant::now() < end, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Every way that this machine has.
fn ways() -> [Cgroups; 2] {
    [Cgroups::detect(), Cgroups::none()]
}

async fn exited(running: &Running) -> Exit {
    tokio::time::timeout(Duration::from_secs(10), running.exited()).await.expect("it ends").unwrap()
}

#[tokio::test]
async fn lines_stdin_status_and_use_are_told() {
    for cgroups in ways() {
        let bed = bed("told", cgroups);
        let said = Said::default();
        let mut service = bed
            .sh("told", "echo out; echo err >&2; cat; head -c 9000 /dev/zero | tr '\\0' x; exit 7")
            .on_line(said.tell());
        service.spec.stdin = Stdin::Bytes("from stdin\n".into());
        let running = bed.home.start(&service).await.unwrap();
        assert_eq!(exited(&running).await, Exit::Status(Status::Exited(7)));
        let stopped = running.stop(Duration::from_secs(5)).await.unwrap();
        assert_eq!(stopped.exit, Exit::Status(Status::Exited(7)));
        assert!(!stopped.killed && stopped.usage.unwrap().max_rss_bytes > 100_000, "{stopped:?}");
        let text = said.text();
        assert!(text.contains("out\n") && text.contains("err\n") && text.contains("from stdin\n"), "{text}");
        let mark = format!("{} … [{} bytes cut]\n", "x".repeat(LINE_BYTES_MAX), 9000 - LINE_BYTES_MAX);
        assert!(text.contains(&mark), "{text}");
        bed.ends_empty().await;
    }
}

#[tokio::test]
async fn a_stop_asks_first_and_ends_everything_then() {
    for cgroups in ways() {
        let bed = bed("stop", cgroups);
        for (script, killed) in [
            (
                "trap 'echo bye; exit 0' TERM; (setsid sleep 1000 &); echo up; while :; do sleep 0.01; done",
                false,
            ),
            ("trap '' TERM; (setsid sleep 1000 &); echo up; while :; do sleep 0.01; done", true),
        ] {
            let said = Said::default();
            let running = bed.home.start(&bed.sh("one", script).on_line(said.tell())).await.unwrap();
            said.wait_for("up").await;
            assert!(
                running.usage().memory_bytes > 0 && running.usage().processes > 0,
                "{:?}",
                running.usage()
            );
            let grace = Duration::from_millis(if killed { 200 } else { 10_000 });
            let stopped = running.stop(grace).await.unwrap();
            assert_eq!(stopped.killed, killed, "{script}");
            assert_eq!(said.text().contains("bye"), !killed);
            assert_eq!(stopped.exit.is_success(), !killed);
            let left = leftovers::processes(&bed.tag);
            assert!(left.is_empty(), "{script} with {}: {left:?}", bed.home.cgroups());
        }
        bed.ends_empty().await;
    }
}

#[tokio::test]
async fn a_dropped_process_leaves_nothing_and_its_name_is_free_again() {
    for cgroups in ways() {
        let bed = bed("drop", cgroups);
        for kind in [Kind::Stubborn, Kind::Daemon, Kind::Gone] {
            let service = kind.service("same", &bed.tag, bed.folder.path());
            let running = bed.home.start(&service).await.unwrap();
            assert!(bed.home.run_folder("same").is_dir());
            drop(running);
        }
        let service = Kind::Stubborn.service("same", &bed.tag, bed.folder.path());
        // Dropped in the middle of its start, at whatever point that is.
        for wait in 0..10 {
            let _ = tokio::time::timeout(Duration::from_millis(wait), bed.home.start(&service)).await;
        }
        bed.ends_empty().await;
    }
}

#[tokio::test]
async fn what_cannot_start_is_a_coded_error_and_leaves_nothing() {
    for cgroups in ways() {
        let bed = bed("cannot", cgroups);
        let missing = Service::new("missing", Spec::new("/no/such/program"));
        let folder = Service::new("folder", Spec::new("/bin/true").cwd("/no/such/folder"));
        let files = Files { read_only: vec!["/no/such/library".into()], read_write: Vec::new() };
        let sandbox = Sandbox { files: Some(files), deny_dangerous: false };
        let sandbox = Service::new("sandbox", Spec::new("/bin/true").sandbox(sandbox));
        for (service, expect) in [
            (missing, code::PROCESS_NOT_STARTED),
            (folder, code::PROCESS_NOT_STARTED),
            (sandbox, code::PROCESS_SANDBOX),
            (Service::new("../up", Spec::new("/bin/true")), code::PROCESS_NAME),
            (Service::new("", Spec::new("/bin/true")), code::PROCESS_NAME),
        ] {
            let error = bed.home.start(&service).await.unwrap_err();
            assert_eq!(error.code(), expect, "{service:?}: {error}");
            assert!(
                leftovers::find(&bed.tag, bed.folder.path()).iter().all(|left| left.starts_with("cgroup"))
            );
        }
        bed.ends_empty().await;
    }
}

#[tokio::test]
async fn limits_hold_for_all_of_a_process() {
    let cgroups = Cgroups::detect();
    let limits = CgroupLimits { memory_bytes: Some(64 << 20), pids: Some(16), cpu_percent: Some(20) };
    let missing = cgroups.missing(&limits);
    if !missing.is_empty() {
        println!("skipped: this machine cannot limit {missing:?}: {cgroups}");
        return;
    }
    let bed = bed("limits", cgroups);
    let said = Said::default();
    let service = Kind::Bomb.service("bomb", &bed.tag, bed.folder.path()).limits(limits);
    let bomb = bed.home.start(&service).await.unwrap();
    wait_for("the bomb to fill its limit", || bomb.usage().processes > 10).await;
    assert!(bomb.usage().processes <= 16, "{:?}", bomb.usage());
    bomb.stop(Duration::ZERO).await.unwrap();
    // tail keeps what it may have to print in memory.
    let hog = bed.sh("hog", "head -c 300000000 /dev/zero | tail -c 290000000 | wc -c").limits(limits);
    let hog = bed.home.start(&hog.on_line(said.tell())).await.unwrap();
    exited(&hog).await;
    hog.stop(Duration::ZERO).await.unwrap();
    assert!(!said.text().contains("290000000"), "{}", said.text());
    // Four busy loops get a fifth of one core together.
    let busy = bed.sh("busy", "for i in 1 2 3 4; do (while :; do :; done) & done; wait").limits(limits);
    let (busy, began) = (bed.home.start(&busy).await.unwrap(), Instant::now());
    wait_for("a measurable time", || busy.usage().cpu > Duration::from_millis(200)).await;
    let share = busy.usage().cpu.as_secs_f64() / began.elapsed().as_secs_f64();
    // The first period is given at once.
    assert!(share < 0.5, "{share}");
    drop(busy);
    bed.ends_empty().await;
}

#[tokio::test]
async fn a_sandbox_refuses_what_it_does_not_allow() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: what the sandbox refuses is refused to this user anyway");
        return;
    }
    let bed = bed("sandbox", Cgroups::detect());
    let inside = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    let existing = ["/bin", "/usr", "/lib", "/lib64", "/etc/ld.so.cache"].map(std::path::PathBuf::from);
    let files = Files {
        read_only: existing.into_iter().filter(|path| path.exists()).collect(),
        read_write: vec![inside.path().to_owned()],
    };
    let script = format!(
        "echo a > {inside}/a && cat {inside}/a; cat {outside}/secret; echo b > /usr/b; unshare -m true && echo unshared; \
         mount -t tmpfs none {inside} && echo mounted; (sleep 0 & wait) && echo forked; echo done",
        inside = inside.path().display(),
        outside = outside.path().display()
    );
    for (sandbox, confined) in
        [(Some(Sandbox { files: Some(files), deny_dangerous: true }), true), (None, false)]
    {
        let said = Said::default();
        let mut service =
            bed.sh("boxed", if confined { &script } else { "unshare -m true && echo unshared; echo done" });
        service.spec.sandbox = sandbox;
        let running = bed.home.start(&service.on_line(said.tell())).await.unwrap();
        exited(&running).await;
        running.stop(Duration::ZERO).await.unwrap();
        let text = said.text();
        assert!(text.contains("done\n"), "{text}");
        // Without a sandbox it can be done here: it is the sandbox that refuses it.
        assert_eq!(text.contains("unshared\n"), !confined, "{text}");
        if confined {
            assert!(text.contains("a\n") && text.contains("forked\n"), "{text}");
            for refused in ["secret\n", "mounted\n"] {
                assert!(!text.lines().any(|line| line == refused.trim()), "{text}");
            }
            assert!(!Path::new("/usr/b").exists());
        }
    }
    // A run has it too.
    let sandbox = Sandbox { files: None, deny_dangerous: true };
    let spec =
        Spec::new("/bin/sh").args(["-c", "unshare -m true"]).env("PATH", "/usr/bin:/bin").sandbox(sandbox);
    let output = process::run(&spec.stderr(Capture::Tail(1000)), &Stop::new()).await.unwrap();
    assert_ne!(output.status, Status::Exited(0));
    bed.ends_empty().await;
}

#[tokio::test]
async fn a_flood_of_lines_is_read_in_bounded_memory() {
    let bed = bed("flood", Cgroups::detect());
    let count = Arc::new(Mutex::new((0u64, 0usize)));
    let told = count.clone();
    // Lines without end, and one line that never ends.
    let script = "head -c 100000000 /dev/zero; echo; yes | head -n 2000000; echo end";
    let service = bed.sh("flood", script).on_line(move |_, line| {
        let mut told = told.lock().unwrap();
        *told = (told.0 + 1, told.1.max(line.len()));
    });
    let running = bed.home.start(&service).await.unwrap();
    let exit = tokio::time::timeout(Duration::from_secs(60), running.exited()).await.unwrap().unwrap();
    assert!(exit.is_success());
    running.stop(Duration::ZERO).await.unwrap();
    let (lines, longest) = *count.lock().unwrap();
    assert_eq!(lines, 2_000_002);
    assert!(longest < LINE_BYTES_MAX + 100, "{longest}");
    bed.ends_empty().await;
}

/// The file of a record, changed as if another process wrote it.
fn change(bed: &Bed, name: &str, mut change: impl FnMut(&mut serde_json::Value)) {
    let path = bed.folder.path().join("records").join(format!("{name}.json"));
    let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(&path, value.to_string()).unwrap();
}

async fn left(bed: &Bed, name: &str) -> Record {
    let service = Kind::Stubborn.service(name, &bed.tag, bed.folder.path()).policy(Policy::Adopt);
    let running = bed.home.start(&service.data(serde_json::json!({ "port": 1 }))).await.unwrap();
    let record = running.record().clone();
    running.leave();
    record
}

#[tokio::test]
async fn an_adopted_process_is_driven_like_any_other() {
    for cgroups in ways() {
        let first = bed("adopt", cgroups.clone());
        let service = first.sh("kv", "trap 'echo bye; exit 0' TERM; while :; do echo tick; sleep 0.01; done");
        let running = first.home.start(&service.policy(Policy::Adopt)).await.unwrap();
        let pid = running.pid();
        running.leave();
        let Bed { home, tag, folder, _broom } = first;
        drop(home);
        let home = Home::open(folder.path(), &tag, cgroups).unwrap();
        let second = Bed { home, tag, folder, _broom };
        let swept = second.home.sweep(true).await;
        assert!(swept.problems.is_empty(), "{swept:?}");
        let [record] = <[Record; 1]>::try_from(swept.adoptable).unwrap();
        let said = Said::default();
        let mut adopted = second.home.adopt(record.clone(), Arc::new(said.tell())).await.unwrap();
        assert_eq!(adopted.pid(), pid);
        said.wait_for("tick").await;
        adopted.set_data(serde_json::json!({ "seen": 2 })).await.unwrap();
        let records = second.home.records();
        assert_eq!(records[0].as_ref().unwrap().data, serde_json::json!({ "seen": 2 }));
        let stopped = adopted.stop(Duration::from_secs(10)).await.unwrap();
        assert!(!stopped.killed && said.text().contains("bye"), "{stopped:?} {}", said.text());
        // It is gone now.
        let error = second.home.adopt(record, Arc::new(said.tell())).await.unwrap_err();
        assert_eq!(error.code(), code::PROCESS_GONE);
        second.ends_empty().await;
    }
}

#[tokio::test]
async fn a_pid_of_another_start_or_boot_is_never_killed() {
    let bed = bed("reused", Cgroups::none());
    // A stranger that has the pid of the record, as if pids had gone round.
    let mut stranger = Spec::new("/bin/sleep").arg("1000").session(true);
    let (told, mut pid) = tokio::sync::mpsc::channel(1);
    stranger.on_start = Some(Arc::new(move |pid| told.try_send(pid).unwrap()));
    let stop = Stop::new();
    let running = process::run(&stranger, &stop);
    let checks = async {
        let pid = pid.recv().await.unwrap();
        for field in ["start_ticks", "boot_id"] {
            left(&bed, "old").await;
            let mut own = 0;
            change(&bed, "old", |value| {
                own = value["leader"]["pid"].as_u64().unwrap();
                value["leader"] = serde_json::to_value(process::Identity::of(pid).unwrap()).unwrap();
                match field {
                    "boot_id" => value["boot_id"] = "another".into(),
                    _ => value["leader"]["start_ticks"] = 1.into(),
                }
            });
            let swept = bed.home.sweep(true).await;
            assert!(swept.adoptable.is_empty() && swept.problems.is_empty(), "{field}: {swept:?}");
            assert_eq!(swept.ended, ["old"]);
            assert!(leftovers::is_running(pid), "{field}");
            // The real one was hidden by the change; it is ours to end.
            let own = rustix::process::Pid::from_raw(own as i32).unwrap();
            let _ = rustix::process::kill_process_group(own, rustix::process::Signal::KILL);
        }
        stop.request();
    };
    let (result, ()) = tokio::join!(running, checks);
    assert!(matches!(result, Err(ProcessError::Stopped { .. })), "{result:?}");
}

#[tokio::test]
async fn a_record_that_cannot_be_used_is_told_and_what_it_is_of_is_ended() {
    let bed = bed("unusable", Cgroups::detect());
    let names = ["newer", "rubbish", "empty", "foreign"];
    for name in names {
        left(&bed, name).await;
    }
    let folder = bed.folder.path().join("records");
    change(&bed, "newer", |value| value["version"] = 2.into());
    std::fs::write(folder.join("rubbish.json"), b"\xff\x00{{{").unwrap();
    std::fs::write(folder.join("empty.json"), b"").unwrap();
    change(&bed, "foreign", |value| value["cgroup"] = serde_json::json!([["unified", "/etc"]]));
    std::fs::write(folder.join(".half.json"), b"{").unwrap();
    let swept = bed.home.sweep(true).await;
    assert!(swept.adoptable.is_empty(), "{swept:?}");
    assert_eq!(swept.problems.len(), names.len(), "{swept:?}");
    assert!(swept.problems.iter().all(|problem| problem.code() == code::PROCESS_RECORD), "{swept:?}");
    assert!(swept.problems.iter().any(|problem| problem.to_string().contains("version 2")), "{swept:?}");
    assert!(Path::new("/etc").is_dir());
    bed.ends_empty().await;
}

#[tokio::test]
async fn cgroups_without_a_record_are_swept() {
    let cgroups = Cgroups::detect();
    if cgroups.is_none() {
        println!("skipped: there are no cgroups here");
        return;
    }
    let bed = bed("strays", cgroups);
    let record = left(&bed, "stray").await;
    std::fs::remove_file(bed.folder.path().join("records/stray.json")).unwrap();
    assert!(record.running().is_some());
    let swept = bed.home.sweep(true).await;
    assert!(swept.problems.is_empty() && swept.adoptable.is_empty(), "{swept:?}");
    bed.ends_empty().await;
}

#[tokio::test]
async fn one_host_at_a_time_has_a_folder() {
    let bed = bed("taken", Cgroups::none());
    let folder = bed.folder.path().to_owned();
    let second =
        tokio::task::spawn_blocking(move || Home::open(&folder, "other", Cgroups::none()).map(|_| ()));
    assert_eq!(second.await.unwrap().unwrap_err().code(), code::PROCESS_FOLDER_TAKEN);
}

fn tree(bed: &Bed, child: Option<ChildSpec>) -> umbel_supervisor::Handle {
    let own = program("guardian");
    let guardian = guardian::child_spec(&bed.home, own.program, own.args, Duration::from_secs(20));
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(guardian);
    let spec = child.into_iter().fold(spec, |spec, child| spec.child(child));
    Supervisor::start("test", spec, Env::system())
}

#[tokio::test]
async fn a_guardian_that_is_killed_comes_back_and_goes_with_its_host() {
    let bed = bed("guard", Cgroups::detect());
    let service = bed.sh("kv", "exec sleep 1000");
    let tree = tree(&bed, Some(ChildSpec::service("kv", bed.home.clone(), service)));
    let runs = |tree: &umbel_supervisor::Tree, restarts| {
        let runs = |id: &str| tree.find(&[id]).is_some_and(|child| child.state == State::Running);
        runs("kv")
            && runs("guardian")
            && tree.find(&["guardian"]).is_some_and(|child| child.restarts == restarts)
    };
    tree.wait_for(|tree| runs(tree, 0)).await.unwrap();
    let guardian = leftovers::guardian(&bed.tag).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{guardian}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim().to_owned();
    let kib: u64 = resident.split(' ').next().unwrap().parse().unwrap();
    assert!(kib < 32 << 10, "the guardian holds {resident}");
    let raw = rustix::process::Pid::from_raw(guardian as i32).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
    tokio::time::timeout(Duration::from_secs(20), tree.wait_for(|tree| runs(tree, 1)))
        .await
        .unwrap()
        .unwrap();
    assert_ne!(leftovers::guardian(&bed.tag).unwrap(), guardian);
    tree.shutdown().await;
    drop(tree);
    bed.ends_empty().await;
}

#[tokio::test]
async fn a_guardian_stays_for_what_its_host_leaves() {
    let bed = bed("stays", Cgroups::detect());
    let tree = tree(&bed, None);
    let watches = |tree: &umbel_supervisor::Tree| {
        tree.find(&["guardian"]).is_some_and(|child| child.state == State::Running)
    };
    tree.wait_for(watches).await.unwrap();
    let record = left(&bed, "kv").await;
    tree.shutdown().await;
    let guardian = leftovers::guardian(&bed.tag).expect("it is still there");
    assert!(record.running().is_some());
    bed.home.end(record).await.unwrap();
    let guardian = rustix::process::Pid::from_raw(guardian as i32).unwrap();
    rustix::process::kill_process(guardian, rustix::process::Signal::KILL).unwrap();
    drop(tree);
    bed.ends_empty().await;
}

#[tokio::test]
async fn a_service_child_is_restarted_and_stopped() {
    let bed = bed("child", Cgroups::detect());
    let once = bed.folder.path().join("once");
    let script = format!("if [ ! -e {0} ]; then : > {0}; exit 9; fi; exec sleep 1000", once.display());
    let tree = tree(&bed, Some(ChildSpec::service("kv", bed.home.clone(), bed.sh("kv", &script))));
    let restarted = |tree: &umbel_supervisor::Tree| {
        tree.find(&["kv"]).is_some_and(|child| child.restarts == 1 && child.state == State::Running)
    };
    let snapshot =
        tokio::time::timeout(Duration::from_secs(20), tree.wait_for(restarted)).await.unwrap().unwrap();
    let problem = snapshot.find(&["kv"]).unwrap().last_exit.clone().unwrap();
    assert_eq!(problem.code, code::PROCESS_FAILED);
    assert!(problem.message.contains("exit status 9"), "{problem}");
    tree.shutdown().await;
    drop(tree);
    bed.ends_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_still_being_written_is_waited_for() {
    use std::os::unix::fs::PermissionsExt;
    let bed = bed("busy", Cgroups::detect());
    let program = bed.folder.path().join("program");
    std::fs::copy("/bin/sleep", &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let writer = std::fs::OpenOptions::new().write(true).open(&program).unwrap();
    let service = Service::new("busy", Spec::new(&program).arg("1000"));
    let starting = bed.home.start(&service);
    let writing = async {
        // Not before it was tried: its record is there as long as a try is under way.
        let record = bed.folder.path().join("records/busy.json");
        while !record.exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(writer);
    };
    let (running, ()) = tokio::join!(starting, writing);
    running.expect("it is started when the file is whole").stop(Duration::from_secs(5)).await.unwrap();
    let writer = std::fs::OpenOptions::new().write(true).open(&program).unwrap();
    let error = bed.home.start(&service).await.expect_err("it is busy for good");
    assert_eq!(error.code(), code::PROCESS_NOT_STARTED, "{error}");
    drop(writer);
    bed.ends_empty().await;
}

#[tokio::test]
async fn a_meter_of_a_process_that_has_ended_reads_nothing() {
    let bed = bed("meter", Cgroups::detect());
    let running = bed.home.start(&bed.sh("metered", "sleep 1000")).await.unwrap();
    let meter = running.meter();
    assert!(meter.read().processes > 0 && meter.read().memory_bytes > 0, "{:?}", meter.read());
    running.stop(Duration::from_secs(5)).await.unwrap();
    assert_eq!(meter.read(), process::Load::default());
    bed.ends_empty().await;
}
