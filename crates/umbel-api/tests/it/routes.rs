//! Every operation of the contract, with and without the right to ask; and what the client makes of the answers.

use crate::fake::{Fake, HOST, raw};
use umbel_api::client::ManifestFormat;
use umbel_api::document::{CallRequest, PutLink, SwapProvider, WitRequest};
use umbel_api::query::{ExplainQuery, LinkQuery, SecretQuery};
use umbel_core::Kind;
use umbel_core::code::api;

const MANIFEST: &str = "{\"apiVersion\":\"core.oam.dev/v1beta1\",\"kind\":\"Application\",\"metadata\":{\"name\":\"hello\"},\
    \"spec\":{\"components\":[{\"name\":\"web\",\"type\":\"component\",\"properties\":{\"image\":\"./b.wasm\"}}]}}";

/// A body and parameters that each operation takes.
fn example(method: &str, path: &str) -> (String, &'static str) {
    let body = match (method, path) {
        ("put", "/v1/applications") | ("post", "/v1/preview") => MANIFEST,
        ("put", "/v1/links") => {
            r#"{"source_id":"a","target":"b","wit_namespace":"wasi","wit_package":"http","interfaces":["outgoing-handler"]}"#
        }
        ("put", "/v1/secrets/{name}") => "canary",
        ("put", _) => r#"{"k":"v"}"#,
        ("post", "/v1/providers/{name}/swap") => r#"{"reference":"builtin:a","isolation":"process"}"#,
        ("post", "/v1/call") => r#"{"component":"hello-web","function":"d"}"#,
        ("post", "/v1/wit") => r#"{"reference":"/a.wasm"}"#,
        ("post", "/v1/inspect") => r#"{"reference":"/a.wasm"}"#,
        _ => "",
    };
    let query = match (method, path) {
        ("get", "/v1/links/explain") => "?source_id=a",
        (_, "/v1/secrets/{name}") => "?application=shop",
        ("delete", "/v1/links") => "?source_id=a&wit_namespace=wasi&wit_package=http",
        _ => "",
    };
    // There is a provider of that id.
    let name = if path.starts_with("/v1/providers/") { "hello-http" } else { "hello" };
    (format!("{}{query}", path.replace("{name}", name)), body)
}

#[tokio::test]
async fn every_operation_asks_who_is_asking() {
    let fake = Fake::start().await;
    let here = fake.tcp().to_string();
    let token = fake.token.text().to_string();
    let mut operations = 0;
    for (path, methods) in umbel_api::openapi::document()["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let (target, body) = example(method, path);
            for (what, host, token, expect) in [
                ("no token", here.as_str(), None, 401),
                ("a wrong token", here.as_str(), Some("wrong"), 401),
                ("a foreign host", "evil.example", Some(token.as_str()), 403),
                ("the right token", here.as_str(), Some(token.as_str()), 200),
            ] {
                let authorization =
                    token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
                let request = format!(
                    "{} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{authorization}Content-Type: application/json\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    method.to_uppercase(),
                    body.len()
                );
                let (status, text) = raw(fake.tcp(), &request).await;
                assert_eq!(status, expect, "{method} {path} with {what}: {text}");
                if expect != 200 {
                    assert!(text.contains("\"$type\":\"problem/v1\""), "{method} {path} with {what}: {text}");
                }
            }
            operations += 1;
        }
    }
    assert!(operations > 25, "{operations} operations");
}

#[tokio::test]
async fn the_client_reads_what_is_told_and_done_of_a_provider() {
    let fake = Fake::start().await;
    let client = fake.client();
    let details = client.provider("hello-http").await.unwrap();
    assert_eq!((details.provider.restarts, details.links[0].taken), (2, true));
    assert_eq!(details.provider.by_hand.as_deref(), Some("stopped by hand"));
    let swap = |isolation: Option<&str>| SwapProvider {
        reference: "builtin:a".into(),
        isolation: isolation.map(Into::into),
        dry_run: true,
    };
    let swapped = &client.swap_provider("hello-http", &swap(Some("process"))).await.unwrap().items[0];
    assert_eq!((swapped.manner.as_str(), swapped.to.kind.as_str()), ("beside", "process"));
    let refused = client.swap_provider("hello-http", &swap(Some("moon"))).await.unwrap_err();
    assert_eq!(refused.first.code, api::BAD_REQUEST);
    for said in [
        client.stop_provider("hello-http").await,
        client.start_provider("hello-http").await,
        client.restart_provider("hello-http").await,
    ] {
        assert_eq!(said.unwrap().message, "done");
    }
    assert_eq!(client.provider("nobody").await.unwrap_err().first.code, api::NO_SUCH_NAME);
}

#[tokio::test]
async fn the_client_reads_every_answer() {
    let fake = Fake::start().await;
    let client = fake.client();
    assert_eq!(client.version().await.unwrap().version, "9.9.9");
    let health = client.health().await.unwrap();
    assert_eq!((health.status.as_str(), health.hosts, health.pid), ("ok", 1, std::process::id()));
    assert!(client.openapi().await.unwrap()["paths"].is_object());

    let hosts = client.hosts().await.unwrap().items;
    assert_eq!((hosts[0].id.as_str(), hosts[0].labels["a"].as_str()), (HOST, "b"));
    let component = &client.components().await.unwrap().items[0];
    assert_eq!((component.state.as_str(), component.usage.calls, component.instances_max), ("running", 4, 7));
    let provider = &client.providers().await.unwrap().items[0];
    assert_eq!((provider.kind.as_str(), provider.endpoints[0].component.as_str()), ("builtin", "hello-web"));
    let tree = &client.tree().await.unwrap().items[0];
    assert_eq!(tree.root.children[0].state, "backing-off");
    assert_eq!(tree.root.children[0].retry_in_ms, Some(1500));

    assert_eq!(client.applications().await.unwrap().items[0].urls, ["http://hello.localhost:8000"]);
    assert_eq!(client.application("hello").await.unwrap().deployed_version.as_deref(), Some("v2"));
    assert_eq!(client.application_status("hello").await.unwrap().parts[0].state, "running");
    assert_eq!(client.application_versions("hello").await.unwrap().items[0].created_unix_ms, Some(5));
    assert_eq!(client.application_manifest("hello", None).await.unwrap().version, "v3");
    for (manifest, result) in [("new", "created"), ("same", "unchanged")] {
        let put = client.put_application(manifest.into(), ManifestFormat::Yaml, "m").await.unwrap();
        assert_eq!(put.result, result);
    }
    assert_eq!(client.deploy("hello", Some("v3")).await.unwrap().version.as_deref(), Some("v3"));
    assert_eq!(client.rollback("hello", Some("v1")).await.unwrap().version.as_deref(), Some("v1"));
    assert_eq!(client.rollback("hello", None).await.unwrap().version.as_deref(), Some("v3"));
    assert_eq!(client.undeploy("hello").await.unwrap().version, None);
    client.delete_application("hello").await.unwrap();

    assert_eq!(client.links().await.unwrap().items[0].distance, "any");
    let link = PutLink {
        source_id: "a".into(),
        target: "b".into(),
        name: None,
        wit_namespace: "wasi".into(),
        wit_package: "http".into(),
        interfaces: vec!["outgoing-handler".into()],
        source_config: Vec::new(),
        target_config: Vec::new(),
        distance: Some("local".into()),
    };
    assert_eq!(client.put_link(&link).await.unwrap().warnings, ["nothing runs with the id `b` yet"]);
    let wrong = PutLink { distance: Some("near".into()), ..link };
    assert_eq!(client.put_link(&wrong).await.unwrap_err().first.code, api::BAD_REQUEST);
    let query = LinkQuery {
        source_id: "a".into(),
        name: None,
        wit_namespace: "wasi".into(),
        wit_package: "http".into(),
    };
    client.delete_link(&query).await.unwrap();
    assert!(client.configs().await.unwrap().items.is_empty());
    assert_eq!(client.config("c").await.unwrap().values["k"], "v");
    assert_eq!(client.config("missing").await.unwrap_err().first.kind, Kind::NotFound);

    assert_eq!(client.inspect("/a b.wasm").await.unwrap().reference, "/a b.wasm");
    assert_eq!(client.inspect("/refused").await.unwrap_err().first.message, "no");
    client.drain().await.unwrap();
    client.shutdown("enough").await.unwrap();
    assert_eq!(fake.stop_reason.borrow().as_deref(), Some("enough"));
}

/// Why links work, calls by hand and interfaces.
#[tokio::test]
async fn the_client_reads_explanations_calls_and_interfaces() {
    let fake = Fake::start().await;
    let client = fake.client();
    let query = ExplainQuery { source_id: "a".into(), contract: Some("wasi:http".into()), name: None };
    let explained = client.explain_links(&query).await.unwrap();
    let [works, broken] = explained.links.as_slice() else { panic!("{explained:?}") };
    assert_eq!(
        (works.works, works.path.as_deref(), works.target_calls),
        (true, Some("fresh-instance"), Some(3))
    );
    assert_eq!(works.target.as_ref().and_then(|target| target.distance.as_deref()), Some("local"));
    assert!(!broken.works && broken.problem.is_some());

    let call = CallRequest {
        component: "hello-web".into(),
        function: "d".into(),
        wave: Some(vec!["1".into()]),
        ..CallRequest::default()
    };
    let result = client.call(&call).await.unwrap();
    assert_eq!(
        (result.function.as_str(), result.result),
        ("a:b/c.d", Some(serde_json::json!({"wave": ["1"]})))
    );
    let nobody = CallRequest { component: "nobody".into(), ..call.clone() };
    assert_eq!(client.call(&nobody).await.unwrap_err().first.code, api::NO_SUCH_NAME);
    let both = CallRequest { args: Some(Vec::new()), ..call };
    assert_eq!(client.call(&both).await.unwrap_err().first.code, api::BAD_REQUEST);
    let of = WitRequest { component: Some("hello-web".into()), reference: None };
    assert_eq!(client.wit(&of).await.unwrap().digest, "sha256:00");
    assert_eq!(client.wit(&WitRequest::default()).await.unwrap_err().first.code, api::BAD_REQUEST);
}

#[tokio::test]
async fn the_client_reads_use_and_the_names_of_secrets() {
    let fake = Fake::start().await;
    let client = fake.client();
    assert_eq!(client.usage().await.unwrap().items[0].components[0].usage.calls_waiting, 1);
    let secrets = client.secrets().await.unwrap().items;
    assert_eq!((secrets[0].owner.as_deref(), secrets[0].version), (Some("shop"), 2));
    assert_eq!((secrets[1].scope.as_str(), secrets[1].put_unix_ms), ("shared", None));
    let of_shop = SecretQuery { application: Some("shop".into()), ..SecretQuery::default() };
    let value = || b"canary".to_vec().into();
    assert_eq!(client.put_secret("a/b", &of_shop, value()).await.unwrap().message, "kept");
    assert_eq!(client.delete_secret("a/b", &of_shop).await.unwrap().message, "kept");
    for wrong in [
        SecretQuery::default(),
        SecretQuery { shared: Some(true), ..of_shop.clone() },
        SecretQuery { kind: Some("number".into()), ..of_shop.clone() },
    ] {
        let problems = client.put_secret("a", &wrong, value()).await.unwrap_err();
        assert_eq!(problems.first.code, api::BAD_REQUEST);
        assert!(!problems.to_json().to_string().contains("canary"), "{problems}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let fake = Fake::start().await;
    let client = fake.client();
    let mut codes = vec![
        client.application("nothing").await.unwrap_err().first.code,
        client.application_status("missing").await.unwrap_err().first.code,
        client.application_versions("missing").await.unwrap_err().first.code,
        client.application_manifest("missing", Some("v9")).await.unwrap_err().first.code,
        client.deploy("missing", None).await.unwrap_err().first.code,
        client.undeploy("missing").await.unwrap_err().first.code,
        client.rollback("missing", None).await.unwrap_err().first.code,
        client.delete_application("missing").await.unwrap_err().first.code,
    ];
    codes.dedup();
    assert_eq!(codes, [api::NO_SUCH_APPLICATION]);
    // A name that would be another subject does not leave the API.
    let problems = client.application_status("a.b").await.unwrap_err();
    assert_eq!(problems.first.kind, Kind::Invalid);
    assert!(!fake.memory.lock().unwrap().asked.iter().any(|subject| subject.ends_with("a.b")));
}

#[tokio::test]
async fn all_problems_of_a_manifest_come_at_once() {
    let fake = Fake::start().await;
    let client = fake.client();
    let problems = client.put_application("bad".into(), ManifestFormat::Yaml, "m").await.unwrap_err();
    assert_eq!(problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(problems.first.span.as_ref().map(|span| span.column), Some(2));

    let problems =
        client.preview_application("a: 1\na: 2".into(), ManifestFormat::Yaml, "m.yaml").await.unwrap_err();
    assert!(problems.first.span.is_some_and(|span| span.file == "m.yaml"));

    let preview = client.preview_application(MANIFEST.into(), ManifestFormat::Json, "m").await.unwrap();
    assert_eq!(preview.against.as_deref(), Some("v3"));
    let changed: Vec<&str> = preview.changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(changed, ["spec/components/web/properties/image"]);
}

#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let fake = Fake::start().await;
    let head = format!("Host: localhost\r\nConnection: close\r\nAuthorization: Bearer {}", fake.token.text());
    let long = "x".repeat(3 << 20);
    for (line, headers, body, expect) in [
        ("GET /v1/logs?level=loud", "", "", (400, "UM1006")),
        ("GET /v1/logs?unknown=1", "", "", (400, "UM1006")),
        ("GET /v1/logs?limit=-1", "", "", (400, "UM1006")),
        ("GET /v1/events?since=x", "", "", (400, "UM1006")),
        ("GET /v1/configs/%ff", "", "", (400, "UM1006")),
        ("GET /v1/configs/a%2Fb", "", "", (400, "UM1006")),
        ("POST /v1/inspect", "", "{", (400, "UM1006")),
        ("POST /v1/inspect", "", r#"{"reference":"a","other":1}"#, (400, "UM1006")),
        ("PUT /v1/applications", "Content-Type: image/png\r\n", "x", (400, "UM1006")),
        ("PUT /v1/applications", "", &long, (413, "UM1009")),
        ("GET /v2/version", "", "", (404, "UM1007")),
        ("GET /", "", "", (404, "UM1007")),
        ("DELETE /v1/version", "", "", (405, "UM1008")),
    ] {
        let request =
            format!("{line} HTTP/1.1\r\n{head}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        let (status, text) = raw(fake.tcp(), &request).await;
        assert_eq!(status, expect.0, "{line}: {text}");
        assert!(text.contains(&format!("\"code\":\"{}\"", expect.1)), "{line}: {text}");
    }
}
