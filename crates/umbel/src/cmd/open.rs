//! `umbel open`: an application in the browser.

use crate::context::Context;
use crate::fail::Failure;
use crate::names;
use crate::text;
use serde::{Deserialize, Serialize};
use std::io::IsTerminal;
use std::process::Stdio;
use umbel_api::document::Document;
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
    // Without a name every application is meant that has an address.
    let typed = args.application.as_deref().unwrap_or_default();
    let applications = client.applications().await?.items;
    let with_address =
        applications.iter().filter(|application| !application.urls.is_empty() || !typed.is_empty());
    let all = with_address.map(|application| application.name.as_str());
    let name = match names::resolve(typed, all, "application", api::NO_SUCH_APPLICATION) {
        Err(_) if typed.is_empty() && applications.is_empty() => {
            let problem = Problem::new(api::NO_ADDRESS, "nothing is deployed");
            return Err(problem.with_help(format!("begin with `{}`", context.command("launch"))).into());
        }
        Err(problem) if typed.is_empty() && problem.code == api::NO_SUCH_APPLICATION => {
            return Err(Problem::new(api::NO_ADDRESS, "no application has an address").into());
        }
        outcome => outcome?,
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

/// Hands the address to the desktop. It is printed already, so that a desktop without an opener is no failure.
#[expect(clippy::disallowed_methods, reason = "the browser belongs to the desktop and outlives this command")]
fn open(url: &str) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let null = Stdio::null;
    drop(std::process::Command::new(opener).arg(url).stdin(null()).stdout(null()).stderr(null()).spawn());
}
