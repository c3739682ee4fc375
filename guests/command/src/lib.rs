//! A command that prints its arguments and succeeds.

struct Command;

impl wasip2::exports::cli::run::Guest for Command {
    fn run() -> Result<(), ()> {
        let arguments = wasip2::cli::environment::get_arguments().join(" ");
        let text = format!("command ran: {arguments}\n");
        let _ = wasip2::cli::stdout::get_stdout().blocking_write_and_flush(text.as_bytes());
        Ok(())
    }
}

wasip2::cli::command::export!(Command);
