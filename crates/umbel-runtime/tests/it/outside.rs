//! What guests reach: links or their absence, config, outgoing calls; and what they do not reach.

use crate::rig::{Rig, subject};
use umbel_core::Coded;
use umbel_core::limits::Limits;
use umbel_runtime::calls::{Level, Stream};

#[tokio::test]
async fn an_import_without_a_link_fails_the_call_and_not_the_start() {
    let rig = Rig::shared();
    let subject = subject(&rig, "custom-import", Limits::default()).await;
    assert_eq!(subject.component.image().needs_link(), ["acme:demo/greeter@1.0.0"]);
    assert_eq!(subject.get("/").await.expect("what it does not call it does not miss"), "not called\n");
    let error = subject.get("/call").await.expect_err("nobody serves it");
    assert_eq!(error.code().to_string(), "UM0550");
    assert!(error.to_string().contains("acme:demo/greeter@1.0.0.greet"), "{error}");
    assert_eq!(error.help(), "umbel link put subject TARGET acme:demo/greeter");
    subject.at_rest().await;
}

#[tokio::test]
async fn config_is_that_of_the_moment() {
    let rig = Rig::shared();
    let subject = subject(&rig, "config", Limits::default()).await;
    assert!(subject.component.image().needs_link().is_empty(), "the host serves it itself");
    assert_eq!(subject.get("/").await.expect("it answers"), "");
    assert_eq!(subject.get("/?key=color").await.expect("it answers"), "(none)\n");
    for color in ["red", "blue"] {
        let mut config =
            [("color", color), ("size", "9")].map(|(k, v)| (k.to_string(), v.to_string())).into();
        std::mem::swap(&mut *subject.outside.config.lock().unwrap(), &mut config);
        assert_eq!(subject.get("/?key=color").await.expect("it answers"), format!("{color}\n"));
        assert_eq!(subject.get("/").await.expect("it answers"), format!("color={color}\nsize=9\n"));
    }
}

#[tokio::test]
async fn an_outgoing_call_needs_the_budget_and_a_link() {
    let rig = Rig::shared();
    let path = "/?url=http://api.example.com:8080/x%3Fy";
    for allowed in [vec![], vec!["example.com"], vec!["api.example.com:80"], vec!["*.api.example.com"]] {
        let limits = Limits {
            outbound_hosts: allowed.iter().map(|h| (*h).to_string()).collect(),
            ..Limits::default()
        };
        let subject = subject(&rig, "outgoing", limits).await;
        let answer = subject.get(path).await.expect("the guest reports it");
        assert!(answer.contains("HttpRequestDenied"), "{allowed:?}: {answer}");
        assert!(subject.outside.sent.lock().unwrap().is_empty());
        let lines = subject.outside.lines();
        let line = lines.iter().find(|l| l.stream == Stream::Host).expect("it is logged");
        assert_eq!(line.level, Level::Warn);
        assert!(line.message.contains("UM0560") && line.message.contains("api.example.com:8080"), "{line:?}");
    }
    let limits = Limits { outbound_hosts: vec!["*.example.com".into()], ..Limits::default() };
    let subject = subject(&rig, "outgoing", limits).await;
    let unlinked = subject.get(path).await.expect("the guest reports it");
    assert!(unlinked.contains("InternalError") && unlinked.contains("UM0550"), "{unlinked}");
    *subject.outside.answer.lock().unwrap() = Some(204);
    assert_eq!(subject.get(path).await.expect("it answers"), "status 204\n");
    assert_eq!(subject.outside.sent.lock().unwrap().last().unwrap(), "http://api.example.com:8080/x?y");
    subject.at_rest().await;
}

#[tokio::test]
async fn files_environment_and_sockets_are_there_and_denied() {
    let rig = Rig::shared();
    let subject = subject(&rig, "wasi-user", Limits::default()).await;
    let report = subject.get("/").await.expect("it starts and answers");
    let mut lines = report.lines();
    assert_eq!(lines.next(), Some("environment: "), "no variable of ours is seen: {report}");
    let rest: Vec<&str> = lines.collect();
    assert_eq!(rest.len(), 4, "{report}");
    for line in rest {
        assert!(line.contains(": denied"), "{line}");
    }
    assert_eq!(subject.outside.said(Stream::Stdout), "standard output works\n");
    assert_eq!(subject.outside.said(Stream::Stderr), "standard error works\n");
}
