use super::{Coded, Problem, Span};
use crate::code::{Code, host, identity};

#[derive(Debug, thiserror::Error)]
#[error("the outer thing failed")]
struct Outer {
    source: Inner,
}

#[derive(Debug, thiserror::Error)]
#[error("the inner thing failed")]
struct Inner;

impl Coded for Outer {
    fn code(&self) -> Code {
        identity::INVALID_NAME
    }
}

#[test]
fn a_problem_has_the_causes_of_its_error_in_order() {
    let problem = Problem::from(&Outer { source: Inner }).with_cause("a disk");
    assert_eq!(problem.message, "the outer thing failed");
    assert_eq!(problem.causes, ["the inner thing failed", "a disk"]);
    assert_eq!(problem.help, identity::INVALID_NAME.entry().help);
    assert_eq!(problem.to_string(), "UM0101: the outer thing failed");
}

#[test]
fn help_names_the_provider_that_it_is_about() {
    let problem = Problem::new(host::PROVIDER_EXITED, "it ended").of_provider("shop-keys");
    assert!(problem.help.starts_with("`umbel provider logs shop-keys` shows its last lines"), "{problem:?}");
    let mentions = |code: &Code| code.entry().help.contains("PROVIDER");
    for code in crate::code::all().filter(mentions) {
        let help = Problem::new(code, "no").of_provider("p").help;
        let is_of_two = code == crate::code::wire::SUBJECT_DENIED;
        assert!(is_of_two || !help.contains("PROVIDER"), "{code:?}: {help}");
    }
}

#[test]
fn json_leaves_out_what_is_empty_and_comes_back_the_same() {
    let problem = Problem::new(identity::INVALID_ID, "no").with_help("do this");
    let json = serde_json::json!({"code": "UM0102", "kind": "invalid", "message": "no", "help": "do this"});
    assert_eq!(serde_json::to_value(&problem).expect("serialises"), json);
    let span = Span { file: "app.yaml".into(), line: 3, column: 7 };
    assert_eq!(span.to_string(), "app.yaml:3:7");
    let problem = problem.with_span(span).with_cause("because");
    let json = serde_json::to_string(&problem).expect("serialises");
    assert_eq!(serde_json::from_str::<Problem>(&json).expect("parses"), problem);
}
