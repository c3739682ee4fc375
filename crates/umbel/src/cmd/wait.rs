//! Waiting for an application.

use crate::context::Context;
use crate::fail::Failure;
use crate::text;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;
use umbel_api::client::Client;
use umbel_api::document::{ApplicationStatus, Part};
use umbel_api::problem::Problems;
use umbel_core::Problem;
use umbel_core::code::api;

/// The first look comes soon, because a warm start takes milliseconds; later ones less often.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(250);
/// How long a failure has to last: right after a deploy it may still be that of the version before.
const FAILURE_SETTLES: Duration = Duration::from_secs(1);

/// Waits until the application is deployed, has failed, or the deadline passes.
pub(super) async fn deployed(
    context: &Context,
    client: &Client,
    name: &str,
    timeout: Duration,
) -> Result<ApplicationStatus, Failure> {
    let mut last = ApplicationStatus::default();
    if let Some(outcome) = in_time(context, name, timeout, settled(context, client, name, &mut last)).await {
        return outcome;
    }
    if last.status == "unhealthy" || last.status == "failed" {
        return Err(failed(context, name, &last).into());
    }
    let message = format!("`{name}` is still {} after {} s", last.status, timeout.as_secs());
    let problem = Problem::new(api::DEPLOY_TIMEOUT, message);
    Err(last.message.iter().fold(problem, |problem, why| problem.with_cause(why)).into())
}

/// Waits until nothing of the application runs any more.
pub(super) async fn undeployed(
    context: &Context,
    client: &Client,
    name: &str,
    timeout: Duration,
) -> Result<(), Failure> {
    let looking = async {
        let mut pause = FIRST_LOOK;
        while client.application_status(name).await?.status != "undeployed" {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
        Ok(())
    };
    in_time(context, name, timeout, looking).await.unwrap_or_else(|| {
        let message = format!("something of `{name}` still runs after {} s", timeout.as_secs());
        Err(Problem::new(api::DEPLOY_TIMEOUT, message).into())
    })
}

/// What the waiting gives; `None` at the deadline. Ctrl-C ends the waiting, not what is waited for.
async fn in_time<T>(
    context: &Context,
    name: &str,
    timeout: Duration,
    waiting: impl Future<Output = Result<T, Failure>>,
) -> Option<Result<T, Failure>> {
    tokio::select! {
        outcome = waiting => Some(outcome),
        () = tokio::time::sleep(timeout) => None,
        _ = tokio::signal::ctrl_c() => {
            let help = format!("the platform goes on; see how far it is with `{}`", context.command("ps"));
            let message = format!("the waiting for `{name}` was interrupted");
            Some(Err(Problem::new(api::INTERRUPTED, message).with_help(help).into()))
        }
    }
}

async fn settled(
    context: &Context,
    client: &Client,
    name: &str,
    last: &mut ApplicationStatus,
) -> Result<ApplicationStatus, Failure> {
    let mut pause = FIRST_LOOK;
    let mut failing_since = None;
    loop {
        *last = client.application_status(name).await?;
        if last.status == "deployed" {
            return Ok(last.clone());
        }
        context.progress.doing(&doing(name, last));
        // What will not come up by itself need not be waited for; nor what is refused while what it is to replace goes on.
        let is_down = |part: &Part| matches!(part.state.as_str(), "failed" | "crash-loop");
        let is_refused = |part: &Part| part.serving_version.is_some() && part.problem.is_some();
        let is_failing = last.status == "failed" || last.parts.iter().any(|p| is_down(p) || is_refused(p));
        if !is_failing {
            failing_since = None;
        } else if failing_since.get_or_insert_with(Instant::now).elapsed() >= FAILURE_SETTLES {
            return Err(failed(context, name, last).into());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_LOOK);
    }
}

/// Parts that a line of progress names.
const NAMED_MAX: usize = 4;

/// What an application is waited for.
fn doing(name: &str, status: &ApplicationStatus) -> String {
    let parts_in = |state: &str| {
        let named = status.parts.iter().filter(|part| part.state == state).map(|part| part.name.as_str());
        let named: Vec<&str> = named.take(NAMED_MAX).collect();
        (!named.is_empty()).then(|| format!("deploying {name}: {state} {}", named.join(", ")))
    };
    parts_in("compiling").or_else(|| parts_in("starting")).unwrap_or_else(|| format!("deploying {name}"))
}

/// Why an application is not healthy: what failed, each cause once, and what goes on meanwhile; then the help of the first
/// problem, and the commands that tell more or go back.
fn failed(context: &Context, name: &str, status: &ApplicationStatus) -> Problems {
    let of_parts = status.parts.iter().filter_map(|part| {
        let problem = part.problem.as_ref()?;
        Some((format!("{} `{}`: {problem}", part.kind, part.name), problem))
    });
    let of_application = status.problems.iter().map(|problem| (problem.to_string(), problem));
    let mut reasons: Vec<(String, &Problem)> = Vec::new();
    for reason in of_parts.chain(of_application) {
        if !reasons.iter().any(|(_, known)| *known == reason.1) {
            reasons.push(reason);
        }
    }
    let mut problem = Problem::new(api::DEPLOY_FAILED, what_failed(name, status));
    for (text, reason) in &reasons {
        for cause in std::iter::once(text).chain(&reason.causes) {
            if !problem.causes.contains(cause) {
                problem = problem.with_cause(cause.clone());
            }
        }
    }
    if reasons.is_empty() {
        problem = status.message.iter().fold(problem, |problem, why| problem.with_cause(why));
    }
    let mut help: Vec<String> = Vec::new();
    help.extend(reasons.first().map(|(_, first)| text::for_application(&first.help, name)));
    if let Some(previous) = &status.previous_version {
        help.push(format!("`{}` goes back to {previous}", context.command(&format!("rollback {name}"))));
    }
    let more = [format!("logs {name}"), format!("inspect {name}")].map(|words| context.command(&words));
    help.push(format!("`{}` and `{}` tell more", more[0], more[1]));
    problem.with_help(help.join("\n")).into()
}

/// Which version is not healthy, and which ones serve in its place.
fn what_failed(name: &str, status: &ApplicationStatus) -> String {
    let message = format!("`{name}` {} is deployed but not healthy", status.version);
    let serving: BTreeSet<&str> =
        status.parts.iter().filter_map(|part| part.serving_version.as_deref()).collect();
    match serving.into_iter().collect::<Vec<_>>().join(" and ") {
        serving if serving.is_empty() => message,
        serving => format!("{message}; {serving} goes on serving"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_named() {
        let part =
            |name: &str, state: &str| Part { name: name.into(), state: state.into(), ..Part::default() };
        let status = |parts| ApplicationStatus { parts, ..ApplicationStatus::default() };
        assert_eq!(doing("a", &status(vec![])), "deploying a");
        let starting = vec![part("x", "running"), part("y", "starting")];
        assert_eq!(doing("a", &status(starting.clone())), "deploying a: starting y");
        let compiling = [starting, vec![part("py", "compiling"), part("js", "compiling")]].concat();
        assert_eq!(doing("a", &status(compiling)), "deploying a: compiling py, js");
    }

    #[test]
    fn a_failure_tells_the_reason_of_the_part_with_its_help() {
        let code = umbel_core::code::all().find(|code| code.entry().number / 100 == 4);
        let reason = Problem::new(code.unwrap_or(api::BAD_REQUEST), "it is not wasm")
            .with_cause("bad magic")
            .with_help("build it, or see `umbel logs APP`");
        let part = Part {
            name: "web".into(),
            kind: "component".into(),
            problem: Some(reason.clone()),
            ..Part::default()
        };
        let failed = |parts: Vec<Part>, previous: Option<&str>| {
            let status = ApplicationStatus {
                status: "failed".into(),
                version: "v2".into(),
                parts,
                previous_version: previous.map(str::to_string),
                problems: vec![reason.clone()],
                ..ApplicationStatus::default()
            };
            super::failed(&crate::golden::context(), "hello", &status).first
        };
        let first = failed(vec![part.clone(), part.clone()], None);
        assert_eq!((first.code, first.kind.exit_code()), (api::DEPLOY_FAILED, 8));
        assert_eq!(first.message, "`hello` v2 is deployed but not healthy");
        assert_eq!(first.causes, [format!("component `web`: {reason}"), "bad magic".into()], "each once");
        let more = "`umbel logs hello --state /s` and `umbel inspect hello --state /s` tell more";
        assert_eq!(first.help, format!("build it, or see `umbel logs hello`\n{more}"));

        let update = failed(vec![Part { serving_version: Some("v1".into()), ..part }], Some("v1"));
        assert_eq!(update.message, "`hello` v2 is deployed but not healthy; v1 goes on serving");
        let help: Vec<&str> = update.help.lines().collect();
        assert_eq!(help[1..], ["`umbel rollback hello --state /s` goes back to v1", more]);
    }
}
