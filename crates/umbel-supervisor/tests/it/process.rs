//! Runs `/bin/sh` within limits.

use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use umbel_core::Coded;
use umbel_core::code::supervisor as code;
use umbel_supervisor::process::{self, Capture, Limits, Output, ProcessError, Spec, Status, Stdin};
use umbel_supervisor::{ChildSpec, Env, Restart, State, Stop, Strategy, Supervisor, SupervisorSpec};

fn sh(script: &str) -> Spec {
    Spec::new("/bin/sh").arg("-c").arg(script).env("PATH", "/usr/bin:/bin").deadline(Duration::from_secs(30))
}

async fn run(spec: &Spec) -> Result<Output, ProcessError> {
    process::run(spec, &Stop::new()).await
}

/// Whether a process with this pid exists and is not a zombie.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') && !rest.starts_with('X'))
}

async fn wait_for(what: &str, mut predicate: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !predicate() {
        assert!(Instant::now() < end, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn pids_in(text: &str) -> Vec<u32> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[tokio::test]
async fn status_output_and_use_are_told() {
    let output = run(&sh("echo out; echo err >&2; exit 3")).await.unwrap();
    assert_eq!(output.status, Status::Exited(3));
    assert_eq!(output.stdout.text(), "out\n");
    assert_eq!(output.stderr.text(), "err\n");
    assert!(output.usage.max_rss_bytes > 100_000, "{:?}", output.usage);
    assert!(output.usage.cpu < output.usage.wall + Duration::from_secs(1), "{:?}", output.usage);
    let error = output.check(Path::new("/bin/sh")).unwrap_err();
    assert_eq!(error.code(), code::PROCESS_FAILED);
    assert_eq!(error.to_string(), "`/bin/sh` ended with exit status 3: err");
}

#[tokio::test]
async fn nothing_is_inherited_by_accident() {
    // An open descriptor without close-on-exec, as C code would leave it; its number is one that no shell uses.
    let file = std::fs::File::open("/dev/null").unwrap();
    let leaked = rustix::io::fcntl_dupfd_cloexec(&file, 200).unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let number = leaked.as_raw_fd();
    let script = format!(
        "[ -e /proc/$$/fd/{number} ] && echo leaked; env | cut -d= -f1 | sort | tr '\\n' ' '; pwd; ulimit -c; kill -0 -$$ && echo leader"
    );
    let output = run(&sh(&script)).await.unwrap();
    let text = output.stdout.text().into_owned();
    assert!(!text.contains("leaked"), "{text}");
    // What a shell sets itself is all there may be.
    let (names, rest) = text.split_once('/').unwrap();
    assert!(
        names.split_whitespace().all(|name| ["OLDPWD", "PATH", "PWD", "SHLVL", "_"].contains(&name)),
        "{text}"
    );
    assert_eq!(rest, "\n0\nleader\n", "{text}");
}

#[tokio::test]
async fn stdin_is_fed_from_bytes_and_files() {
    let big = vec![b'x'; 1 << 20];
    let output = run(&sh("wc -c").stdin(Stdin::Bytes(big.clone().into()))).await.unwrap();
    assert_eq!(output.stdout.text().trim(), "1048576");
    // It ends without reading: that is not our error.
    let output = run(&sh("exit 0").stdin(Stdin::Bytes(big.into()))).await.unwrap();
    assert_eq!(output.status, Status::Exited(0));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in");
    std::fs::write(&path, "from a file").unwrap();
    let output = run(&sh("cat").stdin(Stdin::File(path))).await.unwrap();
    assert_eq!(output.stdout.text(), "from a file");
}

#[tokio::test]
async fn what_cannot_start_is_a_coded_error() {
    let missing = Spec::new("/no/such/program");
    let cases =
        [missing, sh("true").cwd("/no/such/folder"), sh("true").stdin(Stdin::File("/no/such/file".into()))];
    for spec in cases {
        let error = run(&spec).await.unwrap_err();
        assert_eq!(error.code(), code::PROCESS_NOT_STARTED, "{spec:?}");
    }
    let stop = Stop::new();
    stop.request();
    let error = process::run(&sh("true"), &stop).await.unwrap_err();
    assert!(matches!(error, ProcessError::Stopped { killed: false, output: None, .. }), "{error:?}");
}

#[tokio::test]
async fn memory_is_limited() {
    // tail keeps what it may have to print in memory.
    let limits = Limits { as_bytes: Some(64 << 20), ..Limits::default() };
    let output =
        run(&sh("head -c 300000000 /dev/zero | tail -c 290000000").stdout(Capture::Null).limits(limits))
            .await
            .unwrap();
    assert_ne!(output.status, Status::Exited(0));
    assert!(output.usage.max_rss_bytes < 64 << 20, "{:?}", output.usage);
}

#[tokio::test]
async fn cpu_time_is_limited() {
    let limits = Limits { cpu_s: Some(1), ..Limits::default() };
    let error = run(&sh("while :; do :; done").limits(limits)).await.unwrap_err();
    let ProcessError::CpuLimit { cpu_s: 1, output, .. } = error else { panic!("{error:?}") };
    assert!(output.usage.cpu >= Duration::from_millis(900), "{:?}", output.usage);
    assert!(output.usage.cpu < Duration::from_secs(3), "{:?}", output.usage);
}

#[tokio::test]
async fn open_files_and_niceness_are_set() {
    let limits = Limits { nofile: Some(17), ..Limits::default() };
    let output = run(&sh("ulimit -n; nice").limits(limits).nice(7)).await.unwrap();
    assert_eq!(output.stdout.text(), "17\n7\n");
}

#[tokio::test]
async fn the_deadline_kills_the_whole_group() {
    let script = "sleep 60 & sleep 60 & echo $! $$; trap '' TERM; wait";
    let began = Instant::now();
    let error = run(&sh(script).deadline(Duration::from_millis(300))).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let ProcessError::Deadline { output, .. } = error else { panic!("{error:?}") };
    let pids = pids_in(&output.stdout.text());
    assert_eq!(pids.len(), 2);
    wait_for("the group to be gone", || !pids.iter().any(|pid| is_alive(*pid))).await;
}

#[tokio::test]
async fn children_of_a_process_that_ended_are_killed_with_it() {
    let output = run(&sh("sleep 60 & echo $!; exit 0")).await.unwrap();
    assert_eq!(output.status, Status::Exited(0));
    let pids = pids_in(&output.stdout.text());
    assert_eq!(pids.len(), 1);
    wait_for("the grandchild to be gone", || !is_alive(pids[0])).await;
}

#[tokio::test]
async fn a_flood_of_output_is_bounded() {
    for (capture, kept) in [(Capture::Head(1000), 1000), (Capture::Tail(1000), 1000), (Capture::Null, 0)] {
        let output = run(&sh("head -c 50000000 /dev/zero; printf end").stdout(capture)).await.unwrap();
        assert_eq!(output.status, Status::Exited(0));
        assert_eq!(output.stdout.bytes.len(), kept);
        if kept > 0 {
            assert_eq!(output.stdout.dropped, 50_000_003 - 1000);
        }
    }
    let output = run(&sh("head -c 100000 /dev/zero; printf end").stdout(Capture::Tail(3))).await.unwrap();
    assert_eq!(output.stdout.text(), "end");
}

#[tokio::test]
async fn lines_are_told_as_they_come() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let told = lines.clone();
    let tell = Arc::new(move |line: &str| told.lock().unwrap().push(line.to_string()));
    let script = "echo one; printf 'two\\nthree'; head -c 20000 /dev/zero | tr '\\0' x >&2";
    let errors = Arc::new(Mutex::new(Vec::new()));
    let told = errors.clone();
    let tell_error = Arc::new(move |line: &str| told.lock().unwrap().push(line.len()));
    let spec = sh(script)
        .stdout(Capture::Lines { tell, tail: 0 })
        .stderr(Capture::Lines { tell: tell_error, tail: 10 });
    let output = run(&spec).await.unwrap();
    assert_eq!(*lines.lock().unwrap(), ["one", "two", "three"]);
    assert_eq!(*errors.lock().unwrap(), [8192, 8192, 3616]);
    assert_eq!(output.stderr.text(), "xxxxxxxxxx");
}

#[tokio::test]
async fn a_stop_asks_first_and_kills_then() {
    let cases = [
        ("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done", false),
        ("trap '' TERM; echo up; while :; do sleep 0.01; done", true),
    ];
    for (script, expect_killed) in cases {
        let stop = Stop::new();
        let up = stop.clone();
        // The first line says that the trap is set.
        let tell = Arc::new(move |_: &str| up.request());
        let pid = Arc::new(Mutex::new(0));
        let seen = pid.clone();
        let spec = sh(script)
            .stdout(Capture::Lines { tell, tail: 100 })
            .grace(Duration::from_millis(if expect_killed { 200 } else { 10_000 }))
            .on_start(move |pid| *seen.lock().unwrap() = pid);
        let error = process::run(&spec, &stop).await.unwrap_err();
        let ProcessError::Stopped { killed, output: Some(output), .. } = error else { panic!("{error:?}") };
        assert_eq!(killed, expect_killed, "{script}");
        assert_eq!(output.stdout.text().contains("bye"), !expect_killed);
        let pid = *pid.lock().unwrap();
        wait_for("the process to be gone", || !is_alive(pid)).await;
    }
}

#[tokio::test]
async fn a_run_that_is_dropped_leaves_nothing() {
    let (tell, mut told) = tokio::sync::mpsc::channel(4);
    let tell = Arc::new(move |line: &str| drop(tell.try_send(pids_in(line))));
    let spec = sh("sleep 60 & echo $! $$; wait").stdout(Capture::Lines { tell, tail: 0 });
    let stop = Stop::new();
    let mut run = Box::pin(process::run(&spec, &stop));
    let pids = tokio::select! {
        result = &mut run => panic!("{result:?}"),
        pids = told.recv() => pids.unwrap(),
    };
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    drop(run);
    wait_for("the group to be gone", || !pids.iter().any(|pid| is_alive(*pid))).await;
    // It is reaped too, not left as a zombie.
    wait_for("the leader to be reaped", || !Path::new(&format!("/proc/{}", pids[1])).exists()).await;
}

#[tokio::test]
async fn a_process_child_is_restarted_and_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let count = dir.path().join("count");
    // It fails once and then stays.
    let script =
        format!("if [ ! -e {0} ]; then : > {0}; echo first >&2; exit 9; fi; exec sleep 60", count.display());
    let child =
        ChildSpec::process("sleeper", sh(&script).grace(Duration::from_secs(5))).restart(Restart::Transient);
    let tree =
        Supervisor::start("test", SupervisorSpec::new(Strategy::OneForOne).child(child), Env::system());
    let restarted = |tree: &umbel_supervisor::Tree| {
        tree.find(&["sleeper"]).is_some_and(|child| {
            child.restarts == 1 && child.state == State::Running && child.detail.is_some()
        })
    };
    let snapshot =
        tokio::time::timeout(Duration::from_secs(10), tree.wait_for(restarted)).await.unwrap().unwrap();
    let child = snapshot.find(&["sleeper"]).unwrap();
    let problem = child.last_exit.as_ref().unwrap();
    assert_eq!(problem.code, code::PROCESS_FAILED);
    assert!(problem.message.contains("first"), "{problem}");
    let pid = pids_in(child.detail.as_ref().unwrap())[0];
    wait_for("the process to run", || is_alive(pid)).await;
    tree.shutdown().await;
    assert!(!is_alive(pid));
    assert!(tree.ended().await.is_ok());
}

#[test]
fn the_death_signal_follows_the_program_and_not_the_thread() {
    // The runtime, with all its threads, ends while the process runs: the process must stay until it is dropped.
    let pid = Arc::new(Mutex::new(0));
    let seen = pid.clone();
    let spec = sh("exec sleep 60").on_start(move |pid| *seen.lock().unwrap() = pid);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let stop = Stop::new();
    let result = runtime.block_on(async {
        let run = process::run(&spec, &stop);
        tokio::time::timeout(Duration::from_millis(300), run).await
    });
    assert!(result.is_err());
    let pid = *pid.lock().unwrap();
    assert_ne!(pid, 0);
    let end = Instant::now() + Duration::from_secs(10);
    while is_alive(pid) {
        assert!(Instant::now() < end, "it survived the drop of its run");
        std::thread::sleep(Duration::from_millis(5));
    }
}

const HOST: &str = "UMBEL_TEST_HOST";

/// Not a test of its own: what the next test starts as a program, to kill it.
#[tokio::test]
async fn host_that_is_killed() {
    if std::env::var_os(HOST).is_some() {
        let spec = sh("exec sleep 60").on_start(|pid| println!("\nchild {pid}"));
        let result = run(&spec).await;
        panic!("it was to be killed: {result:?}");
    }
}

#[tokio::test]
async fn a_killed_host_leaves_no_process() {
    let (tell, mut told) = tokio::sync::mpsc::channel(64);
    let tell = Arc::new(move |line: &str| {
        if let Some(pid) = line.strip_prefix("child ") {
            let _ = tell.try_send(pid.parse::<u32>().unwrap());
        }
    });
    let host = Arc::new(Mutex::new(0));
    let seen = host.clone();
    let spec = Spec::new(std::env::current_exe().unwrap())
        .args(["process::host_that_is_killed", "--exact", "--nocapture"])
        .env(HOST, "1")
        .deadline(Duration::from_secs(30))
        .stdout(Capture::Lines { tell, tail: 4096 })
        .on_start(move |pid| *seen.lock().unwrap() = pid);
    let killed = async {
        let child = told.recv().await.unwrap();
        assert!(is_alive(child));
        let host = rustix::process::Pid::from_raw(*host.lock().unwrap() as i32).unwrap();
        // The host alone; its child is in a group of its own.
        rustix::process::kill_process(host, rustix::process::Signal::KILL).unwrap();
        wait_for("the child of the killed host to be gone", || !is_alive(child)).await;
    };
    let (output, ()) = tokio::join!(run(&spec), killed);
    assert_eq!(output.unwrap().status, Status::Signaled(9));
}
