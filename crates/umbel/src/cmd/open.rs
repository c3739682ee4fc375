//! `umbel open`: an application in the browser.

use crate::context::Context;
use crate::fail::Failure;
use crate::names;
use crate::text;
use serde::{Deserialize, Serialize};
use std::io::IsTerminal;
use std::process::Stdio;
use umbel_api::document::{Application, Document};
use umbel_core::Problem;
use umbel_core::code::api;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without a desktop, or when the output is not a terminal, only the address is printed.

Examples:
  umbel open                        the only application, or a list to choose from
  umbel open hello
  curl $(umbel open hello --print)"
)]
pub(crate) struct Args {
    /// The application; may be left out when there is only one
    #[arg(value_name = "APP")]
    application: Option<String>,
    /// Only print the address
    #[arg(long)]
    print: bool,
}

/// Where an application answers.
#[derive(Debug, Serialize, Deserialize)]
struct Address {
    application: String,
    url: String,
}

impl Document for Address {
    const TYPE: &'static str = "application.address/v1";
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    let applications = client.applications().await?.items;
    let name = match &args.application {
        Some(typed) => {
            let names = applications.iter().map(|application| application.name.as_str());
            names::resolve(typed, names, "application", api::NO_SUCH_APPLICATION)?
        }
        None => only(context, &applications)?,
    };
    let application = applications.iter().find(|application| application.name == name);
    let url = application.and_then(|application| application.urls.first());
    let Some(url) = url else {
        return Err(Problem::new(api::NO_ADDRESS, format!("the application `{name}` has no address")).into());
    };
    let address = Address { application: name, url: url.clone() };
    context.show(
        &address,
        |address, _| format!("{}\n", text::neutral(&address.url)),
        |address| vec![address.url.clone()],
    )?;
    let has_desktop = cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let is_address = url.starts_with("http://") || url.starts_with("https://");
    if !args.print && is_address && has_desktop && std::io::stdout().is_terminal() {
        open(url);
    }
    Ok(())
}

/// The only application that has an address.
fn only(context: &Context, applications: &[Application]) -> Result<String, Problem> {
    let with_address = applications.iter().filter(|application| !application.urls.is_empty());
    let names: Vec<&str> = with_address.map(|application| application.name.as_str()).collect();
    match names.as_slice() {
        [name] => Ok((*name).to_string()),
        [] => {
            let problem = Problem::new(api::NO_ADDRESS, "no application has an address");
            Err(problem.with_help(format!("begin with `{}`", context.command("launch"))))
        }
        [first, ..] => {
            let message = format!("several applications have an address: {}", names.join(", "));
            let help = format!("name one: `{}`", context.command(&format!("open {first}")));
            Err(Problem::new(api::AMBIGUOUS_NAME, message).with_help(help))
        }
    }
}

/// Hands the address to the desktop. It is printed already, so that a desktop without an opener is no failure.
#[expect(clippy::disallowed_methods, reason = "the browser belongs to the desktop and outlives this command")]
fn open(url: &str) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let null = Stdio::null;
    drop(std::process::Command::new(opener).arg(url).stdin(null()).stdout(null()).stderr(null()).spawn());
}
