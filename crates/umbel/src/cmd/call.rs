//! `umbel call`: a function of a component that runs, by hand.

use crate::context::Context;
use crate::fail::Failure;
use crate::names;
use crate::text::{self, bad_argument, parse_duration};
use std::time::Duration;
use umbel_api::client::Client;
use umbel_api::document::{CallRequest, CallResult};
use umbel_core::Problem;
use umbel_core::code::{api, invoke};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Arguments are written in WAVE, the text form of WIT's values; a string may go without its quotes unless it begins with
one. With --json each argument is JSON: records are objects, lists and tuples arrays, `none` is null, a result is
{\"ok\": …} or {\"err\": …}, a variant \"case\" or {\"case\": …}. The result is printed in WAVE, with `-o json` as JSON. A
function whose own result is `err` prints it and ends with the exit code 1.

Examples:
  umbel call pair-greeter greet Umbel
  umbel call shop-cart acme:shop/cart.add '{sku: \"a-1\", count: 2}' some(3)
  umbel call shop-cart cart.add --json '{\"sku\": \"a-1\", \"count\": 2}' 3 -o json"
)]
pub(crate) struct Args {
    /// The id of a component that runs, or a unique beginning of it
    #[arg(value_name = "COMPONENT")]
    component: String,
    /// The function: `ns:pkg/iface.function`, or as much of its end as is unique
    #[arg(value_name = "FUNCTION")]
    function: String,
    /// Its arguments in their order
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    args: Vec<String>,
    /// Read the arguments as JSON
    #[arg(long)]
    json: bool,
    /// How long it may take, 5min at most; the component's own `call_time` holds as well
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
}

/// The longest call.
const TIMEOUT_MAX: Duration = Duration::from_secs(300);

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    if args.timeout > TIMEOUT_MAX || args.timeout.is_zero() {
        return Err(bad_argument("a call may take from 1ms to 5min").into());
    }
    let client = context.client()?;
    let request = CallRequest {
        component: component(&client, &args.component).await?,
        function: args.function,
        args: args.json.then(|| read(&args.args)).transpose()?,
        wave: (!args.json).then_some(args.args),
        timeout_ms: u64::try_from(args.timeout.as_millis()).ok(),
    };
    let result = client.call(&request);
    let result = context.progress.spin("waiting for the result", result).await?;
    context.show(&result, |result, _| shown(result), |result| result.wave.clone().into_iter().collect())?;
    if !result.is_err {
        return Ok(());
    }
    let message = format!("`{}` returned an error", result.function);
    Err(Problem::new(invoke::FUNCTION_FAILED, message).into())
}

/// The id that is meant.
async fn component(client: &Client, typed: &str) -> Result<String, Failure> {
    let components = client.components().await?.items;
    let ids = components.iter().map(|component| component.id.as_str());
    Ok(names::resolve(typed, ids, "component", api::NO_SUCH_NAME)?)
}

fn read(args: &[String]) -> Result<Vec<serde_json::Value>, Problem> {
    let one = |arg: &String| {
        serde_json::from_str(arg).map_err(|error| {
            Problem::new(invoke::BAD_ARGUMENTS, format!("`{}` is no JSON", arg.escape_debug()))
                .with_cause(error.to_string())
                .with_help("a string needs its quotes, e.g. '\"text\"'; without `--json` arguments are WAVE")
        })
    };
    args.iter().map(one).collect()
}

/// A function without a result prints nothing.
fn shown(result: &CallResult) -> String {
    result.wave.as_ref().map(|wave| format!("{}\n", text::neutral(wave))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_returns_cannot_reach_the_terminal_as_an_escape() {
        let result = CallResult {
            component: "a".into(),
            function: "a:b/c.d".into(),
            result: Some("\u{1b}[2J".into()),
            wave: Some("\"\u{1b}[2J\"".into()),
            is_err: false,
            took_us: 1,
        };
        assert!(!shown(&result).contains('\u{1b}'));
        assert_eq!(shown(&CallResult { wave: None, ..result }), "");
    }
}
