use super::*;
use std::collections::BTreeSet;

fn full() -> Problem {
    Problem::new(api::BAD_REQUEST, "m").with_cause("c").with_help("h").with_span(Span {
        file: "f".into(),
        line: 1,
        column: 2,
    })
}

#[test]
fn problems_survive_their_json() {
    for problems in
        [full().into(), Problems { first: full(), others: vec![Problem::new(api::NO_TOKEN, "n"), full()] }]
    {
        let json = problems.to_json();
        assert_eq!(json["$type"], PROBLEM_TYPE);
        assert_eq!(Problems::from_json(json.to_string().as_bytes()), Some(problems));
    }
    assert_eq!(Problems::from_json(b"{}"), None);
    assert_eq!(Problems::from_list(Vec::new()), None);
}

#[test]
fn the_schema_of_a_problem_has_its_fields() {
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let problems = Problems { first: full(), others: vec![full()] };
    let schema = &crate::openapi::document()["components"]["schemas"]["Problem"]["properties"];
    assert_eq!(fields(&problems.to_json()), fields(schema));
}

#[test]
fn the_status_follows_the_kind_but_for_two_codes() {
    let status = |code| Problems::from(Problem::new(code, "m")).into_response().status().as_u16();
    assert_eq!(status(api::METHOD_NOT_ALLOWED), 405);
    assert_eq!(status(api::BODY_TOO_LARGE), 413);
    assert_eq!(status(api::BAD_REQUEST), 400);
    assert_eq!(status(api::NO_HOST), 503);
}
