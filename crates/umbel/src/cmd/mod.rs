//! One file per verb: what can be typed, what it means, and what it does.

pub(crate) mod call;
pub(crate) mod completion;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod help;
pub(crate) mod host;
pub(crate) mod inspect;
pub(crate) mod join;
pub(crate) mod launch;
pub(crate) mod link;
pub(crate) mod logs;
pub(crate) mod open;
pub(crate) mod par;
pub(crate) mod provider;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod push;
mod registry;
pub(crate) mod rollback;
pub(crate) mod secret;
pub(crate) mod spy;
pub(crate) mod top;
pub(crate) mod tree;
pub(crate) mod undeploy;
pub(crate) mod up;
pub(crate) mod version;
mod wait;
mod watch;
pub(crate) mod wit;

use crate::args::Command;
use crate::context::Context;
use crate::fail::Failure;

/// Runs the command.
pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Launch(args) => launch::run(context, args).await,
        Command::Up(args) => up::run(context, *args).await,
        Command::Host(args) => host::run(context, *args).await,
        Command::Join(args) => join::run(context, *args).await,
        Command::Down(args) => down::run(context, args).await,
        Command::Deploy(args) => deploy::run(context, args).await,
        Command::Undeploy(args) => undeploy::run(context, args).await,
        Command::Rollback(args) => rollback::run(context, args).await,
        Command::Ps(args) => ps::run(context, args).await,
        Command::Top(args) => top::run(context, args).await,
        Command::Tree(args) => tree::run(context, args).await,
        Command::Logs(args) => logs::run(context, args).await,
        Command::Events(args) => events::run(context, args).await,
        Command::Inspect(args) => inspect::run(context, args).await,
        Command::Wit(args) => wit::run(context, args).await,
        Command::Call(args) => call::run(context, args).await,
        Command::Open(args) => open::run(context, args).await,
        Command::Link(args) => link::run(context, args).await,
        Command::Secret(args) => secret::run(context, args).await,
        Command::Provider(args) => provider::run(context, args).await,
        Command::Par(args) => par::run(context, args),
        Command::Spy(args) => spy::run(context, args).await,
        Command::Pull(args) => pull::run(context, args).await,
        Command::Push(args) => push::run(context, args).await,
        Command::Doctor(args) => doctor::run(context, args).await,
        Command::Help(args) => help::run(context, &args),
        Command::Explain(args) => explain::run(context, args),
        Command::Completion(args) => completion::run(context, args),
        Command::Version(args) => version::run(context, args).await,
    }
}
