//! Compile processes, with small shell scripts in their place.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;
use umbel_host::worker::CompileProcesses;
use umbel_runtime::compile::{Exit, Job, Task, Worker};
use umbel_runtime::config::CompileLimits;
use umbel_runtime::engine::Layout;

struct Scripts(tempfile::TempDir);

impl Scripts {
    /// Runs the script as a compile process: `$1` is the hidden argument, `$2` the layout, `$4` the input, `$5` the output.
    async fn run(&self, script: &str, limits: CompileLimits) -> Result<Exit, String> {
        let path = self.0.path().join("compiler");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("ours");
        CompileProcesses::new(path, 1).run(&self.job(limits)).await
    }

    fn job(&self, limits: CompileLimits) -> Job {
        Job {
            task: Task::Compile,
            input: self.0.path().join("in.wasm"),
            output: self.0.path().join("out.cwasm"),
            what: "hello".into(),
            layout: Layout::Pool(3),
            limits,
        }
    }

    fn output(&self) -> PathBuf {
        self.0.path().join("out.cwasm")
    }
}

#[tokio::test]
async fn a_compile_process_is_told_what_to_do_in_an_empty_environment() {
    let scripts = Scripts(tempfile::tempdir().expect("a temp folder"));
    let script = "{ echo \"$1 $2 $3\"; /usr/bin/env | /usr/bin/grep -c HOME || :; } > \"$5\"";
    let exit = scripts.run(script, CompileLimits::default()).await;
    assert!(matches!(exit, Ok(Exit::Done)), "{exit:?}");
    assert_eq!(std::fs::read_to_string(scripts.output()).unwrap(), "__compile pool hello\n0\n");
}

#[tokio::test]
async fn the_ends_of_a_compile_process_are_told_apart() {
    let scripts = Scripts(tempfile::tempdir().expect("a temp folder"));
    let limits = CompileLimits {
        cpu: Duration::from_secs(1),
        wall: Duration::from_secs(20),
        ..CompileLimits::default()
    };
    let failed = scripts.run("echo '{\"code\":\"UM0402\"}'; exit 1", limits).await;
    assert!(matches!(&failed, Ok(Exit::Failed(said)) if said.starts_with(b"{\"code\"")), "{failed:?}");
    let odd = scripts.run("echo what is this >&2; exit 7", limits).await.expect_err("no status of ours");
    assert!(odd.contains("what is this") && odd.contains('7'), "{odd}");
    let killed = scripts.run("kill -9 $$", limits).await.expect_err("killed by somebody");
    assert!(killed.contains("it was killed (signal 9)") && killed.contains("memory is short"), "{killed}");
    let crashed = scripts.run("echo oh >&2; kill -SEGV $$", limits).await.expect_err("a crash");
    assert_eq!(crashed, "it crashed with signal 11: oh");
    let small = CompileLimits { code_bytes: 1 << 20, ..limits };
    let large = scripts.run("/bin/dd if=/dev/zero of=\"$5\" bs=1048577 count=1; kill -XFSZ $$", small).await;
    assert!(matches!(&large, Ok(Exit::Limit(limit)) if limit == "machine code of 1 MiB"), "{large:?}");
    let written = std::fs::metadata(scripts.output()).expect("it began").len();
    assert!(written <= 1 << 20, "{written} bytes were written");
    let memory = scripts.run("echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$", limits).await;
    assert!(matches!(&memory, Ok(Exit::Limit(limit)) if limit == "memory of 4096 MiB"), "{memory:?}");
    let cpu = scripts.run("while :; do :; done", limits).await;
    assert!(matches!(&cpu, Ok(Exit::Limit(limit)) if limit == "CPU time of 1 s"), "{cpu:?}");
    let wall = CompileLimits { wall: Duration::from_secs(1), ..limits };
    let late = scripts.run("/bin/sleep 60", wall).await;
    assert!(matches!(&late, Ok(Exit::Limit(limit)) if limit == "time of 1 s"), "{late:?}");
    let missing = CompileProcesses::new("/nowhere/compiler".into(), 1).run(&scripts.job(limits)).await;
    assert!(missing.expect_err("there is no such program").contains("/nowhere/compiler"));
}
