//! `umbel secret`: what components may know and nobody else.

pub(crate) mod value;

use crate::context::Context;
use crate::fail::Failure;
use crate::render::Style;
use crate::render::table::{Cell, cell, number, render as table};
use crate::text;
use clap::Subcommand;
use std::path::PathBuf;
use umbel_api::document::{Done, SecretList};
use umbel_api::query::SecretQuery;
use umbel_core::Problem;
use umbel_core::code::secrets;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A secret has a name and an owner: an application, all of whose components may read it, one component, or every link that says
`scope: shared`. The same name may have another value for another owner.

A value comes from standard input, from a prompt that shows nothing, or from a file: an argument could be read by every
process of the machine. It is sealed in the state folder and read by components over a link to `builtin:secrets`;
nothing here prints it.

Examples:
  umbel secret put db-password --application shop
  pass show shop/db | umbel secret put db-password --application shop
  umbel secret put tls-key --shared --from-file key.der --bytes
  umbel secret list
  umbel secret del db-password --application shop"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Keep a secret; one that has the name and owner gets a new version
    Put(Put),
    /// Delete a secret; components that have read it keep what they read
    Del(Del),
    /// List names and versions; values are never shown
    List,
}

#[derive(Debug, clap::Args)]
struct Put {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    owner: Owner,
    /// Read the value from a file, as it is; without it from standard input, less one line end
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// Give it to components as bytes, also if it is text
    #[arg(long)]
    bytes: bool,
}

#[derive(Debug, clap::Args)]
struct Del {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    owner: Owner,
}

/// Who may read it.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Owner {
    /// Of this application: all of its components may read it
    #[arg(long, value_name = "APP")]
    application: Option<String>,
    /// Of this component, which belongs to no application
    #[arg(long, value_name = "ID")]
    component: Option<String>,
    /// Of nobody alone: every link that says `scope: shared` reads it
    #[arg(long)]
    shared: bool,
}

impl Owner {
    fn query(self) -> SecretQuery {
        let Owner { application, component, shared } = self;
        SecretQuery { application, component, shared: shared.then_some(true), kind: None }
    }
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    match args.verb {
        Verb::Put(put) => {
            check(&put.name)?;
            // Asked first, so that nobody types a secret for a platform that does not run.
            client.version().await?;
            let value = match &put.from_file {
                Some(path) => value::from_file(path)?,
                None => value::from_stdin(&put.name)?,
            };
            let kind = put.bytes.then(|| "bytes".to_string());
            let query = SecretQuery { kind, ..put.owner.query() };
            show(context, &client.put_secret(&put.name, &query, value).await?)
        }
        Verb::Del(del) => {
            check(&del.name)?;
            show(context, &client.delete_secret(&del.name, &del.owner.query()).await?)
        }
        Verb::List => {
            let secrets = client.secrets().await?;
            if secrets.items.is_empty() {
                context.progress.note("there are no secrets; `umbel secret put` makes them");
            }
            context.show(&secrets, render, |secrets| secrets.items.iter().map(|s| s.name.clone()).collect())
        }
    }
}

/// A name is a part of a path, where none would be another path.
fn check(name: &str) -> Result<(), Problem> {
    if name.is_empty() {
        return Err(Problem::new(secrets::NAME, "a secret needs a name"));
    }
    if name.contains('=') {
        // What follows may be the value, so it is not said again.
        let problem = Problem::new(secrets::NAME, "the name of a secret has no `=`");
        return Err(problem.with_help(
            "give the name alone, and the value on standard input: `umbel secret put NAME --application APP < FILE`",
        ));
    }
    Ok(())
}

fn show(context: &Context, done: &Done) -> Result<(), Failure> {
    context.show(done, |done, _| format!("{}\n", text::neutral(&done.message)), |_| Vec::new())
}

fn render(secrets: &SecretList, style: Style) -> String {
    let rows: Vec<Vec<Cell>> = secrets
        .items
        .iter()
        .map(|secret| {
            let put = secret.put_unix_ms.map(text::time).unwrap_or_default();
            vec![
                cell(&secret.name),
                cell(&secret.scope),
                cell(secret.owner.as_deref().unwrap_or_default()),
                number(secret.version.to_string()),
                cell(put),
            ]
        })
        .collect();
    table(&["SECRET", "FOR", "OWNER", "VERSION", "PUT"], &rows, style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn secrets_are_a_table_without_values() {
        golden::check("secret-list.txt", &render(&golden::input("secret-list.json"), Style::PLAIN));
    }
}
