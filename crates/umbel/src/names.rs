//! Names as people type them: to look at something, any unique beginning of its name is the name; to change something, only the name is.

use umbel_core::code::api;
use umbel_core::{Code, Problem};

/// Candidates that a message lists.
const LISTED_MAX: usize = 10;
/// How much alike two names are, from 0 to 1, when one may have been meant by the other.
const LIKE: f64 = 0.8;

/// Finds what `typed` means among `names`. `what` names the kind of thing, `missing` the code when there is none.
pub(crate) fn resolve<'a>(
    typed: &str,
    names: impl IntoIterator<Item = &'a str>,
    what: &str,
    missing: Code,
) -> Result<String, Problem> {
    let names: Vec<&str> = names.into_iter().collect();
    let mut candidates: Vec<&str> = names.iter().copied().filter(|name| name.starts_with(typed)).collect();
    candidates.sort_unstable();
    candidates.dedup();
    if candidates.contains(&typed) {
        return Ok(typed.to_string());
    }
    match candidates.as_slice() {
        [] => {
            let problem = Problem::new(missing, format!("there is no {what} `{}`", typed.escape_debug()));
            Err(suggest(problem, typed, names))
        }
        [one] => Ok((*one).to_string()),
        several => {
            let listed = several.iter().take(LISTED_MAX).copied().collect::<Vec<_>>().join(", ");
            let more = if several.len() > LISTED_MAX { ", …" } else { "" };
            let message = format!("`{}` may be {listed}{more}", typed.escape_debug());
            Err(Problem::new(api::AMBIGUOUS_NAME, message))
        }
    }
}

/// Finds what `typed` names among `names`, for what changes it: a script that is run again must not mean something else by then.
pub(crate) fn exact<'a>(
    typed: &str,
    names: impl IntoIterator<Item = &'a str>,
    what: &str,
    missing: Code,
) -> Result<String, Problem> {
    let names: Vec<&str> = names.into_iter().collect();
    if names.contains(&typed) {
        return Ok(typed.to_string());
    }
    let problem = Problem::new(missing, format!("there is no {what} `{}`", typed.escape_debug()));
    // The name that it begins is likelier than one that is alike.
    let begun: Vec<&str> = names.iter().copied().filter(|name| name.starts_with(typed)).collect();
    match begun.as_slice() {
        [one] => {
            let help = format!("did you mean `{}`? {}", crate::text::neutral(one), problem.help);
            Err(problem.with_help(help))
        }
        _ => Err(suggest(problem, typed, names)),
    }
}

/// The problem with the name that was probably meant, if there is one.
pub(crate) fn suggest<'a>(
    problem: Problem,
    typed: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Problem {
    let likeness = |name: &str| strsim::jaro_winkler(&typed.to_lowercase(), &name.to_lowercase());
    let close = names.into_iter().map(|name| (likeness(name), name)).filter(|(likeness, _)| *likeness > LIKE);
    match close.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((_, name)) => {
            let help = format!("did you mean `{}`? {}", crate::text::neutral(name), problem.help);
            problem.with_help(help)
        }
        None => problem,
    }
}

/// Finds an application that is to be changed.
pub(crate) async fn exact_application(
    client: &umbel_api::client::Client,
    typed: &str,
) -> Result<String, crate::fail::Failure> {
    let applications = client.applications().await?;
    let names = applications.items.iter().map(|application| application.name.as_str());
    Ok(exact(typed, names, "application", api::NO_SUCH_APPLICATION)?)
}

/// Finds an application that is to be looked at.
pub(crate) async fn application(
    client: &umbel_api::client::Client,
    typed: &str,
) -> Result<String, crate::fail::Failure> {
    let applications = client.applications().await?;
    let names = applications.items.iter().map(|application| application.name.as_str());
    Ok(resolve(typed, names, "application", api::NO_SUCH_APPLICATION)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_change_something_its_name_is_needed() {
        let names = ["hello", "hello-2", "orders"];
        let find = |typed| exact(typed, names, "application", api::NO_SUCH_APPLICATION);
        assert_eq!(find("hello"), Ok("hello".into()));
        for (typed, meant) in [("o", "orders"), ("hello-", "hello-2"), ("helol", "hello")] {
            let problem = find(typed).unwrap_err();
            assert_eq!(problem.code, api::NO_SUCH_APPLICATION);
            assert!(
                problem.help.starts_with(&format!("did you mean `{meant}`?")),
                "{typed}: {}",
                problem.help
            );
        }
    }

    #[test]
    fn a_unique_beginning_is_enough() {
        let names = ["hello", "hello-2", "orders"];
        let find = |typed| {
            resolve(typed, names, "application", api::NO_SUCH_APPLICATION).map_err(|p| (p.code, p.message))
        };
        assert_eq!(find("o"), Ok("orders".into()));
        assert_eq!(find("hello"), Ok("hello".into()));
        assert_eq!(find("hello-"), Ok("hello-2".into()));
        assert_eq!(find("hel"), Err((api::AMBIGUOUS_NAME, "`hel` may be hello, hello-2".into())));
        let helped = resolve("helol", names, "application", api::NO_SUCH_APPLICATION).unwrap_err().help;
        assert_eq!(helped, "did you mean `hello`? list the applications with `umbel ps`");
        assert_eq!(find("x"), Err((api::NO_SUCH_APPLICATION, "there is no application `x`".into())));
    }
}
