//! `umbel`: the command line, and the platform that `umbel up` runs.
//!
//! The only place that reads flags and environment. Commands talk to a running platform through [`umbel_api::client`] and to
//! nothing else; `umbel up` is that platform.
//!
//! Read in this order: [`args`] what can be typed · [`context`] what it means · [`cmd`] one file per verb · [`render`] how
//! results and failures look · [`progress`] what is shown while one waits · `daemon` what `umbel up` runs, `carrier` what carries its lattice.

mod args;
mod background;
mod carrier;
mod cmd;
mod context;
mod daemon;
mod fail;
mod files;
#[cfg(test)]
mod golden;
mod names;
mod progress;
mod render;
mod text;

use context::Context;
use fail::Failure;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keep_errors_cheap();
    // A compile process is this program with one hidden word, before anything else is read.
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next().unwrap_or_default();
    if first == umbel_runtime::compile::WORKER_ARG {
        return ExitCode::from(umbel_runtime::compile::worker_main(arguments));
    }
    // So is the guardian, which outlives its platform.
    if first == daemon::GUARDIAN_ARG {
        let what = arguments.next().unwrap_or_default();
        return umbel_supervisor::guardian::main(&what.to_string_lossy());
    }
    let cli = match args::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let context = match Context::new(&cli.global) {
        Ok(context) => context,
        Err(failure) => return fail::end(failure, cli.global.output),
    };
    match run(&context, cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail::end(failure, cli.global.output),
    }
}

/// With `RUST_BACKTRACE` set, as developers have it, the engine would record a backtrace for every error that it makes and drops: as
/// expensive as making an instance. Panics keep theirs.
#[expect(unsafe_code, reason = "the environment is changed before there is a second thread")]
fn keep_errors_cheap() {
    if std::env::var_os("RUST_LIB_BACKTRACE").is_none() {
        // SAFETY: nothing else runs yet that could read the environment at the same time.
        unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
    }
}

fn run(context: &Context, command: args::Command) -> Result<(), Failure> {
    // A command waits for one thing at a time; the platform has a control plane that must not.
    let mut builder = match command {
        args::Command::Up(_) | args::Command::Join(_) | args::Command::Host(_) => {
            tokio::runtime::Builder::new_multi_thread()
        }
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder
        .worker_threads(2)
        .max_blocking_threads(8)
        .thread_name("umbel-control")
        .enable_all()
        .build()
        .map_err(|error| {
            umbel_core::Problem::new(umbel_core::code::api::START_FAILED, "no threads can be started")
                .with_cause(error.to_string())
        })?;
    let outcome = runtime.block_on(cmd::run(context, command));
    // A name that is still being resolved must not keep the command from ending.
    runtime.shutdown_background();
    outcome
}
