//! Compile processes: ourselves, started again with a hidden argument, under limits.

use async_trait::async_trait;
use std::path::PathBuf;
use tokio::sync::Semaphore;
use umbel_runtime::compile::{Exit, Job, WORKER_ARG, Worker};
use umbel_supervisor::Stop;
use umbel_supervisor::process::{Limits, ProcessError, Spec, Status, run};

/// What compiles within moments, in bytes of input: it does not wait until two large components are through.
const SMALL_BYTES_MAX: u64 = 1 << 20;

/// Starts compile processes, a few at a time.
pub struct CompileProcesses {
    program: PathBuf,
    places: Semaphore,
    // One more, for small jobs.
    place_for_small: Semaphore,
}

impl CompileProcesses {
    /// Processes of `program`, at most `at_once` at the same moment, and one more for what is small.
    pub fn new(program: PathBuf, at_once: usize) -> CompileProcesses {
        CompileProcesses {
            program,
            places: Semaphore::new(at_once.max(1)),
            place_for_small: Semaphore::new(1),
        }
    }
}

/// Linux's numbers of the signals that a hard limit on CPU time, and one on the size of files, end a process with.
const SIGKILL: i32 = 9;
const SIGXFSZ: i32 = 25;

#[async_trait]
impl Worker for CompileProcesses {
    async fn run(&self, job: &Job) -> Result<Exit, String> {
        let size = tokio::fs::metadata(&job.input).await.map_or(u64::MAX, |metadata| metadata.len());
        let is_small = size <= SMALL_BYTES_MAX;
        let place = tokio::select! {
            biased;
            place = self.places.acquire() => place,
            place = self.place_for_small.acquire(), if is_small => place,
        };
        let _place = place.map_err(|e| e.to_string())?;
        let limits = Limits {
            as_bytes: Some(job.limits.memory_bytes),
            cpu_s: Some(job.limits.cpu.as_secs()),
            nofile: Some(64),
            fsize_bytes: Some(job.limits.code_bytes),
        };
        // Below everything that serves requests, and the small ones first.
        let spec = Spec::new(&self.program)
            .arg(WORKER_ARG)
            .args(job.args())
            .limits(limits)
            .nice(if is_small { 5 } else { 10 })
            .deadline(job.limits.wall);
        match run(&spec, &Stop::new()).await {
            Ok(output) => Ok(match output.status {
                Status::Exited(0) => Exit::Done,
                Status::Signaled(SIGKILL) if output.usage.cpu >= job.limits.cpu => {
                    Exit::Limit(format!("CPU time of {} s", job.limits.cpu.as_secs()))
                }
                Status::Signaled(SIGXFSZ) => {
                    Exit::Limit(format!("machine code of {} MiB", job.limits.code_bytes >> 20))
                }
                // An allocation that fails aborts the process; with the limit on address space that is the usual cause.
                Status::Signaled(_) if out_of_memory(&output.stderr.bytes) => {
                    Exit::Limit(format!("memory of {} MiB", job.limits.memory_bytes >> 20))
                }
                Status::Exited(1) => Exit::Failed(output.stdout.bytes.to_vec()),
                status => return Err(died(status, &output.stderr.bytes)),
            }),
            Err(ProcessError::CpuLimit { cpu_s, .. }) => Ok(Exit::Limit(format!("CPU time of {cpu_s} s"))),
            Err(ProcessError::Deadline { .. }) => {
                Ok(Exit::Limit(format!("time of {} s", job.limits.wall.as_secs())))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// How a process ended that should not have, with its last words.
fn died(status: Status, stderr: &[u8]) -> String {
    let how = match status {
        Status::Signaled(SIGKILL) => {
            "it was killed (signal 9), by somebody or by the system because memory is short".to_string()
        }
        Status::Signaled(signal) => format!("it crashed with signal {signal}"),
        Status::Exited(_) => format!("it ended with {status}"),
    };
    let said: String = String::from_utf8_lossy(stderr).trim().chars().take(400).collect();
    if said.is_empty() { how } else { format!("{how}: {said}") }
}

fn out_of_memory(stderr: &[u8]) -> bool {
    let said = String::from_utf8_lossy(stderr);
    ["memory allocation", "out of memory", "Cannot allocate memory", "os error 12"]
        .iter()
        .any(|text| said.contains(text))
}
