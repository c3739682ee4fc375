//! Calls by hand: a function that a component exports, with arguments as text and its result as text.

use crate::error::HostError;
use crate::shared::Shared;
use crate::slot;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use umbel_core::code::{guest, invoke};
use umbel_core::link::DEFAULT_LINK_NAME;
use umbel_core::{Coded, Problem};
use umbel_lattice::extension::{CallArgs, CallReply, CallRequest};
use umbel_runtime::Image;
use umbel_wit::text::{from_json, from_wave, to_json, to_wave, weight, without_text};
use umbel_wit::{Call, Function, InterfaceName, Link, Serve, Type, Value};

/// Text of a result, in bytes.
const RESULT_BYTES_MAX: usize = 4 << 20;
/// Functions that a message lists.
const LISTED_MAX: usize = 20;
/// The longest call by hand.
const TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// An exported function by its names.
struct Found<'i> {
    interface: &'i InterfaceName,
    name: &'i str,
    function: &'i Function,
}

/// Calls the function, on a thread of the data path as any call from outside.
pub async fn call(shared: &Arc<Shared>, request: CallRequest) -> Result<CallReply, Problem> {
    let id = request.component.as_str();
    let unknown = || Problem::from(&HostError::UnknownComponent { id: id.into() });
    let slot = shared.slot(id).ok_or_else(unknown)?;
    let Some(revision) = slot.current.load_full() else { return Err(slot::not_running(&slot)) };
    let component = revision.component.clone();
    let found = find(id, component.image(), &request.function)?;
    if let Some(ty) = without_text(found.function) {
        let message = format!("`{}` of {id} passes `{ty}`", found.spelled());
        return Err(Problem::new(invoke::NOT_CALLABLE, message));
    }
    let args = read(&found, &request.args)?;
    let timeout = Duration::from_millis(request.timeout_ms).min(TIMEOUT_MAX);
    let link = Link { name: DEFAULT_LINK_NAME.into(), ..Link::default() };
    let call = Call {
        link: Arc::new(link),
        interface: found.interface.unversioned.as_str().into(),
        version: found.interface.version.clone(),
        function: found.name.into(),
        args,
        patience: Some(timeout),
    };
    let begun = Instant::now();
    let work = {
        let component = component.clone();
        move || component.call(call)
    };
    let outcome = shared.cores.run(shared.cores.quietest(), work).await;
    let outcome = outcome.map_err(|error| Problem::from(&error as &dyn Coded))?;
    let result = outcome.map_err(|problem| timed_out(problem, timeout))?;
    reply(&found, result, begun.elapsed())
}

/// The caller's own patience is not the component's budget, and is not mended by raising that.
fn timed_out(problem: Problem, timeout: Duration) -> Problem {
    let is_ours = problem.code == guest::CALL_TIMEOUT
        && problem.message.ends_with(&format!("within {} ms", timeout.as_millis()));
    if is_ours {
        return problem
            .with_help("wait longer with `--timeout`; the component's own `call_time` holds as well");
    }
    problem
}

impl Found<'_> {
    /// As short as it is unique among packages: the interface and its function.
    fn spelled(&self) -> String {
        format!("{}.{}", self.interface.unversioned, self.name)
    }

    /// Whether it is meant by what was typed.
    fn is_meant(&self, typed: &str) -> bool {
        let ends = [
            self.interface.to_string(),
            self.interface.unversioned.clone(),
            self.interface.interface().into(),
        ];
        typed == self.name
            || ends.iter().any(|end| typed.strip_prefix(end.as_str()).is_some_and(|rest| self.follows(rest)))
    }

    /// `.function`, or `#function` as in the names of core exports.
    fn follows(&self, rest: &str) -> bool {
        rest.strip_prefix(['.', '#']) == Some(self.name)
    }
}

fn find<'i>(id: &str, image: &'i Image, typed: &str) -> Result<Found<'i>, Problem> {
    let all = image.contracts().flat_map(|(interface, contract)| {
        let functions = contract.functions.iter();
        functions.map(move |(name, function)| Found { interface, name, function })
    });
    let all: Vec<Found<'i>> = all.collect();
    let listed = |found: &mut dyn Iterator<Item = &Found<'_>>| {
        let lines: Vec<String> =
            found.take(LISTED_MAX).map(|f| format!("{}: {}", f.spelled(), f.function)).collect();
        lines.join("; ")
    };
    let mut meant: Vec<usize> = (0..all.len()).filter(|at| all[*at].is_meant(typed)).collect();
    let typed = typed.escape_debug();
    match (meant.pop(), meant.is_empty()) {
        (Some(at), true) => {
            all.into_iter().nth(at).ok_or_else(|| Problem::new(invoke::NO_FUNCTION, "it is gone"))
        }
        (Some(last), false) => {
            let message = format!("`{typed}` may be several functions of {id}");
            meant.push(last);
            let listed = listed(&mut meant.iter().map(|at| &all[*at]));
            Err(Problem::new(invoke::AMBIGUOUS_FUNCTION, message)
                .with_help(format!("write one of: {listed}")))
        }
        (None, _) => {
            let message = format!("{id} has no function `{typed}`");
            let listed = listed(&mut all.iter().filter(|found| without_text(found.function).is_none()));
            let help = if listed.is_empty() {
                format!(
                    "it exports no function that can be called by hand; `umbel wit {id}` shows what it exports"
                )
            } else {
                format!("it has {listed}")
            };
            Err(Problem::new(invoke::NO_FUNCTION, message).with_help(help))
        }
    }
}

fn read(found: &Found<'_>, args: &CallArgs) -> Result<Vec<Value>, Problem> {
    let count = match args {
        CallArgs::Wave(texts) => texts.len(),
        CallArgs::Json(values) => values.len(),
    };
    let (spelled, params) = (found.spelled(), &found.function.params);
    let takes =
        || format!("it is `{}: {}`; with quotes for the shell, e.g. '[1, 2]'", found.name, found.function);
    if count != params.len() {
        let message = format!("`{spelled}` takes {} arguments, and {count} were given", params.len());
        return Err(Problem::new(invoke::BAD_ARGUMENTS, message).with_help(takes()));
    }
    let one = |at: usize, (name, ty): &(String, Type)| {
        let read = match args {
            CallArgs::Wave(texts) => from_wave(ty, &texts[at]),
            CallArgs::Json(values) => from_json(ty, &values[at]),
        };
        read.map_err(|error| {
            let message = format!("the argument `{name}` of `{spelled}`: {error}");
            Problem::new(invoke::BAD_ARGUMENTS, message).with_help(takes())
        })
    };
    params.iter().enumerate().map(|(at, param)| one(at, param)).collect()
}

fn reply(found: &Found<'_>, result: Option<Value>, took: Duration) -> Result<CallReply, Problem> {
    let mut reply = CallReply {
        function: format!("{}.{}", found.interface, found.name),
        result: None,
        wave: None,
        is_err: matches!(result, Some(Value::Result(Err(_)))),
        took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    };
    let (Some(value), Some(ty)) = (result, &found.function.result) else { return Ok(reply) };
    if weight(&value, RESULT_BYTES_MAX) > RESULT_BYTES_MAX {
        let message =
            format!("`{}` returned more than {} MiB of text", found.spelled(), RESULT_BYTES_MAX >> 20);
        return Err(Problem::new(invoke::RESULT_TOO_LARGE, message));
    }
    let texts: Option<(Json, String)> = to_json(ty, &value).zip(to_wave(ty, &value));
    let Some((json, wave)) = texts else {
        let message = format!("`{}` returned what has no text form", found.spelled());
        return Err(Problem::new(invoke::NOT_CALLABLE, message));
    };
    (reply.result, reply.wave) = (Some(json), Some(wave));
    Ok(reply)
}
