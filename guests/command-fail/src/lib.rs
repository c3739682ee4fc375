//! A command that fails with status 3.

struct Command;

impl wasip2::exports::cli::run::Guest for Command {
    fn run() -> Result<(), ()> {
        let _ = wasip2::cli::stderr::get_stderr().blocking_write_and_flush(b"this command always fails\n");
        wasip2::cli::exit::exit_with_code(3);
        Err(())
    }
}

wasip2::cli::command::export!(Command);
