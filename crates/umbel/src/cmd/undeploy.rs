//! `umbel undeploy`: stop an application, and with `--delete` forget it.

use super::deploy::Wait;
use super::wait;
use crate::context::Context;
use crate::fail::Failure;
use crate::names;
use crate::text;
use std::io::{BufRead, IsTerminal, Write};
use umbel_api::document::Done;
use umbel_core::Problem;
use umbel_core::code::api;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel undeploy hello
  umbel deploy hello                deploy it again
  umbel undeploy hello --delete     forget its versions too")]
pub(crate) struct Args {
    /// The application
    #[arg(value_name = "APP")]
    application: String,
    /// Delete all its versions, too
    #[arg(long)]
    delete: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    wait: Wait,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    let name = names::exact_application(&client, &args.application).await?;
    let message = if args.delete {
        if !args.yes {
            confirm(&name)?;
        }
        client.delete_application(&name).await?.message
    } else {
        client.undeploy(&name).await?;
        if !args.wait.no_wait {
            let waiting = wait::undeployed(context, &client, &name, args.wait.timeout);
            context.progress.spin(&format!("undeploying {name}"), waiting).await?;
        }
        format!("`{name}` is undeployed; `{}` deploys it again", context.command(&format!("deploy {name}")))
    };
    context.show(
        &Done::new(message),
        |done, _| format!("{}\n", text::neutral(&done.message)),
        |_| vec![name.clone()],
    )
}

/// Asks on the terminal for the name. Without one the answer is no.
fn confirm(name: &str) -> Result<(), Failure> {
    let refused = |message: String| Failure::from(Problem::new(api::NEEDS_CONFIRMATION, message));
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(refused(format!(
            "deleting `{name}` needs a confirmation, and there is no terminal to ask on"
        )));
    }
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "All versions of `{name}` will be gone. Type its name to go on: ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == name { Ok(()) } else { Err(refused(format!("`{name}` was not deleted"))) }
}
