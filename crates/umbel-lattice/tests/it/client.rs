//! The typed clients against services that answer as a host and a manager do, and as they should not.

use bytes::Bytes;
use serde_json::{Value, json};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::code::lattice as code;
use umbel_core::id::{HostId, LatticeName, ProviderId};
use umbel_core::link::{Contract, Link, Values};
use umbel_core::{Coded, Problem};
use umbel_lattice::control::{
    Client, CtlResponse, Host, Registry, RegistryPut, StartProvider, StopProvider, links_body, parse_request,
};
use umbel_lattice::extension::LogsRequest;
use umbel_lattice::subjects::{ctl, umbel, wadm as wadm_subject};
use umbel_lattice::{InProcess, Lattice, Message, Subscription, wadm};

fn setup() -> (Arc<dyn Lattice>, LatticeName, HostId, Client) {
    let name = LatticeName::new("default").expect("a name");
    let lattice: Arc<dyn Lattice> = Arc::new(InProcess::ephemeral(name.clone()));
    let client = Client::new(lattice.clone(), Duration::from_secs(20));
    (lattice, name, HostId::new("NHOST").expect("an id"), client)
}

/// Answers one request with what `answer` makes of it, while `ask` runs.
async fn answered<T>(
    lattice: &Arc<dyn Lattice>,
    service: &mut Subscription,
    answer: impl FnOnce(&Message) -> Bytes,
    ask: impl Future<Output = T>,
) -> T {
    let serve = async {
        let request = service.next().await.expect("a request");
        lattice.respond(&request, answer(&request)).await.expect("respond");
    };
    futures::join!(ask, serve).0
}

#[tokio::test]
async fn a_command_is_sent_as_it_is_and_its_message_returned() {
    let (lattice, name, host, client) = setup();
    let mut service = lattice.subscribe(&ctl::provider_any(&name, &host)).await.expect("subscribe");
    let start =
        StartProvider::new(host.clone(), ProviderId::new("http").expect("an id"), "builtin:http-server");
    let answer = |request: &Message| {
        assert_eq!(request.subject, "wasmbus.ctl.v1.default.provider.start.NHOST");
        assert_eq!(parse_request::<StartProvider>(request).expect("a start"), start);
        CtlResponse::<()>::accepted("successfully started provider").to_bytes()
    };
    let message = answered(&lattice, &mut service, answer, client.start_provider(&start)).await;
    assert_eq!(message.expect("accepted"), "successfully started provider");
}

#[tokio::test]
async fn credentials_of_registries_go_to_every_host_and_come_from_the_config_service() {
    let (lattice, name, _, client) = setup();
    let client = client.with_timeout(Duration::from_millis(500));
    let registry = Registry {
        username: Some("me".into()),
        password: Some("s3cret".into()),
        registry_type: "oci".into(),
        ..Registry::default()
    };
    let registries: RegistryPut = [("registry.example".to_string(), registry)].into();
    let wire = json!({"registry.example": {"username": "me", "password": "s3cret", "registryType": "oci"}});
    let mut hosts = Vec::new();
    for _ in 0..3 {
        hosts.push(lattice.subscribe(&ctl::registry_put(&name)).await.expect("subscribe"));
    }
    let serve = futures::future::join_all(hosts.iter_mut().enumerate().map(|(number, host)| {
        let (lattice, wire) = (&lattice, &wire);
        async move {
            let request = host.next().await.expect("a request");
            assert_eq!(serde_json::from_slice::<Value>(&request.payload).expect("JSON"), *wire);
            let answer = match number {
                0 => Bytes::from_static(br#"{"success":false,"message":"no"}"#),
                _ => CtlResponse::<()>::accepted("").to_bytes(),
            };
            lattice.respond(&request, answer).await.expect("respond");
        }
    }));
    let (took, _) = futures::join!(client.put_registries(&registries), serve);
    assert_eq!(took.expect("answers"), 2);

    let mut service = lattice.subscribe("wasmbus.cfg.default.req").await.expect("subscribe");
    let labels = [("zone".to_string(), "a".to_string())].into();
    let answer = |request: &Message| {
        let query: Value = serde_json::from_slice(&request.payload).expect("JSON");
        assert_eq!(query, json!({"labels": {"zone": "a"}}));
        json!({"registryCredentials": wire}).to_string().into()
    };
    let got = answered(&lattice, &mut service, answer, client.registries(&labels)).await.expect("an answer");
    assert_eq!(got, registries);
    assert!(!format!("{got:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_refusal_keeps_its_problem() {
    let (lattice, name, host, client) = setup();
    let mut service = lattice.subscribe(&ctl::provider_any(&name, &host)).await.expect("subscribe");
    let provider_id = ProviderId::new("http").expect("an id");
    let stop = StopProvider { host_id: host, provider_id, generation: None };
    let problem = Problem::new(code::KEY_EXISTS, "ours").with_cause("because").with_help("do this");
    let refuse = |_: &Message| CtlResponse::<()>::refused(problem.clone()).to_bytes();
    let error =
        answered(&lattice, &mut service, refuse, client.stop_provider(&stop)).await.expect_err("refused");
    assert_eq!(Problem::from(error), problem);

    // Hosts that are not ours say no more than a message.
    let foreign =
        |_: &Message| Bytes::from_static(br#"{"success":false,"message":"provider is not running"}"#);
    let error =
        answered(&lattice, &mut service, foreign, client.stop_provider(&stop)).await.expect_err("refused");
    assert_eq!(error.code(), code::CONTROL_REFUSED);
    assert_eq!(error.to_string(), "provider is not running");
    assert!(!error.help().is_empty());
}

#[tokio::test]
async fn rubbish_as_an_answer_or_a_request_is_an_error() {
    let (lattice, name, _, client) = setup();
    let mut service = lattice.subscribe(&ctl::link_any(&name)).await.expect("subscribe");
    for rubbish in
        ["", "{", "[]", "null", r#"{"success":true}"#, r#"{"success":true,"response":{"no":"links"}}"#]
    {
        let answer = |_: &Message| Bytes::from_static(rubbish.as_bytes());
        let error = answered(&lattice, &mut service, answer, client.links()).await.expect_err(rubbish);
        assert_eq!(error.code(), code::BAD_ANSWER, "{rubbish}");
    }
    let error = parse_request::<StartProvider>(&Message::new("a", "{}")).expect_err("nothing in it");
    assert_eq!(error.code(), code::BAD_REQUEST);
    assert_eq!(parse_request::<Option<StopProvider>>(&Message::new("a", "")).expect("nothing is fine"), None);
}

#[tokio::test]
async fn no_host_is_an_error_and_no_hosts_an_empty_list() {
    let (_lattice, _, host, client) = setup();
    assert_eq!(client.inventory(&host).await.expect_err("nobody").code(), code::NO_RESPONDERS);
    assert_eq!(client.hosts().await.expect("hosts"), []);
}

#[tokio::test]
async fn hosts_are_gathered_and_an_odd_one_is_left_out() {
    let (lattice, name, host, client) = setup();
    let mut services = Vec::new();
    for _ in 0..3 {
        services.push(lattice.subscribe(&ctl::host_ping(&name)).await.expect("subscribe"));
    }
    let view = Host {
        rpc_host: String::new(),
        ctl_host: String::new(),
        friendly_name: "quiet-dawn-1".into(),
        id: host,
        labels: Values::default(),
        lattice: name,
        js_domain: None,
        uptime_human: "3s".into(),
        uptime_seconds: 3,
        version: "0.1.0".into(),
    };
    let good = CtlResponse::with(view.clone()).to_bytes();
    let answers = [good.clone(), Bytes::from_static(b"what?"), good];
    let serve = futures::future::join_all(services.iter_mut().zip(answers).map(|(service, answer)| {
        let lattice = &lattice;
        async move {
            let request = service.next().await.expect("a request");
            lattice.respond(&request, answer).await.expect("respond");
        }
    }));
    let (hosts, _) = futures::join!(client.hosts(), serve);
    assert_eq!(hosts.expect("hosts"), [view.clone(), view]);
}

#[tokio::test]
async fn links_and_configs_go_both_ways() {
    let (lattice, name, _, client) = setup();
    let mut links =
        lattice.queue_subscribe(&ctl::link_any(&name), &ctl::link_group(&name)).await.expect("subscribe");
    let link = Link {
        source_id: "http".into(),
        target: "hello".into(),
        name: "default".into(),
        contract: Contract::new("wasi", "http", &["incoming-handler"]),
        source_config: vec!["c".into()],
        target_config: Vec::new(),
        distance: umbel_core::link::Distance::default(),
    };
    let take = |request: &Message| {
        assert_eq!(parse_request::<Link>(request).expect("a link"), link);
        assert!(!String::from_utf8_lossy(&request.payload).contains("distance"), "others do not know it");
        CtlResponse::<()>::accepted("").to_bytes()
    };
    answered(&lattice, &mut links, take, client.put_link(&link)).await.expect("put");
    let give = |_: &Message| CtlResponse::with(links_body(std::slice::from_ref(&link))).to_bytes();
    assert_eq!(
        answered(&lattice, &mut links, give, client.links()).await.expect("links"),
        std::slice::from_ref(&link)
    );
    let del = |request: &Message| {
        assert_eq!(parse_request::<umbel_core::link::LinkKey>(request).expect("a key"), link.key());
        CtlResponse::<()>::accepted("").to_bytes()
    };
    answered(&lattice, &mut links, del, client.del_link(&link.key())).await.expect("del");

    let mut configs = lattice.queue_subscribe(&ctl::config_any(&name), "g").await.expect("subscribe");
    let unknown = |_: &Message| CtlResponse::<Values>::accepted("Configuration not found").to_bytes();
    assert_eq!(answered(&lattice, &mut configs, unknown, client.get_config("c")).await.expect("get"), None);
}

#[tokio::test]
async fn our_own_requests_arrive_under_one_pattern() {
    let (lattice, name, host, client) = setup();
    let mut service = lattice.subscribe(&umbel::host_any(&name, &host)).await.expect("subscribe");
    let tree = |request: &Message| {
        assert!(request.subject.ends_with(".tree"));
        CtlResponse::with(serde_json::json!({"id": "host"})).to_bytes()
    };
    assert_eq!(answered(&lattice, &mut service, tree, client.tree(&host)).await.expect("tree")["id"], "host");
    let request = LogsRequest { limit: 5, since_seq: Some(9), ..LogsRequest::default() };
    let logs = |message: &Message| {
        assert_eq!(parse_request::<LogsRequest>(message).expect("a request"), request);
        CtlResponse::<Vec<()>>::with(Vec::new()).to_bytes()
    };
    assert_eq!(answered(&lattice, &mut service, logs, client.logs(&host, &request)).await.expect("logs"), []);
}

#[tokio::test]
async fn applications_are_asked_for_as_wash_asks() {
    let (lattice, name, ..) = setup();
    let client = wadm::Client::new(lattice.clone(), Duration::from_secs(20));
    let mut service =
        lattice.queue_subscribe(&wadm_subject::any(&name), wadm_subject::GROUP).await.expect("subscribe");
    let put = |request: &Message| {
        assert_eq!(request.headers.get("content-type"), Some("application/yaml"));
        assert_eq!(request.payload, "kind: Application");
        Bytes::from_static(br#"{"result":"error","message":"no name"}"#)
    };
    let reply = client.put("kind: Application".into(), wadm::YAML, "wadm.yaml");
    let reply = answered(&lattice, &mut service, put, reply).await.expect("an answer");
    assert_eq!((reply.result, reply.message.as_str()), (wadm::PutResult::Error, "no name"));
    for (version, payload) in [(None, ""), (Some("01ABC"), r#"{"version":"01ABC"}"#)] {
        let deploy = |request: &Message| {
            assert_eq!(request.subject, "wadm.api.default.model.deploy.hello");
            assert_eq!(request.payload, payload);
            Bytes::from_static(br#"{"result":"acknowledged","message":"","name":"hello","version":"01ABC"}"#)
        };
        let reply = answered(&lattice, &mut service, deploy, client.deploy("hello", version))
            .await
            .expect("an answer");
        assert_eq!(reply.result, wadm::DeployResult::Acknowledged);
    }
    let rollback = |request: &Message| {
        assert_eq!(
            (request.subject.as_str(), request.payload.len()),
            ("wadm.api.default.model.rollback.hello", 0)
        );
        Bytes::from_static(br#"{"result":"acknowledged","message":"","name":"hello","version":"01AAA"}"#)
    };
    let reply =
        answered(&lattice, &mut service, rollback, client.rollback("hello")).await.expect("an answer");
    assert_eq!(reply.version.as_deref(), Some("01AAA"));
}
