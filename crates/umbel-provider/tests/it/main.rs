//! Provider processes as their hosts see them, and one that speaks only what wasmCloud 1.x does.

use async_trait::async_trait;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::{guest, wire};
use umbel_core::id::{HostId, LatticeName, ProviderId};
use umbel_core::link::{Contract, Distance, Link, LinkKey, ResolvedLink, Values};
use umbel_lattice::{InProcess, Lattice, Message};
use umbel_provider::remote::{Remote, RemoteSpec};
use umbel_provider::sdk::spawn_in;
use umbel_provider::testing::{HOST, Harness, PROVIDER};
use umbel_provider::{Endpoint, Factory, Health, Provider, StartContext};
use umbel_supervisor::Scope;

const SOON: Duration = Duration::from_secs(20);

/// Notes what it is told.
#[derive(Default)]
struct Noted {
    told: Mutex<Vec<String>>,
    health: Mutex<Option<Problem>>,
}

impl Noted {
    fn note(&self, what: String) {
        self.told.lock().expect("nobody panicked").push(what);
    }
}

struct Noting(Arc<Noted>);

#[async_trait]
impl Factory for Noting {
    fn name(&self) -> &'static str {
        "noting"
    }

    fn contracts(&self) -> Vec<Contract> {
        Vec::new()
    }

    async fn start(&self, cx: StartContext) -> Result<Arc<dyn Provider>, Problem> {
        if cx.config.contains_key("fail") {
            return Err(Problem::new(guest::HOST_MEMORY, "it cannot start"));
        }
        self.0.note(format!("start {:?}", cx.config));
        Ok(Arc::new(Running { noted: self.0.clone(), cx }))
    }
}

struct Running {
    noted: Arc<Noted>,
    cx: StartContext,
}

#[async_trait]
impl Provider for Running {
    async fn put_link(&self, link: ResolvedLink) -> Result<(), Problem> {
        let application = self.cx.targets.application_of(&link.link.source_id);
        self.noted.note(format!("put {} {:?} {application:?}", link.link.source_id, link.target_values));
        if link.target_values.contains_key("bad") {
            Err(Problem::new(guest::UNLINKED, "a bad link"))
        } else {
            Ok(())
        }
    }

    async fn del_link(&self, key: &LinkKey) -> Result<(), Problem> {
        self.noted.note(format!("del {}", key.source_id));
        Ok(())
    }

    async fn put_config(&self, config: Values) -> Result<(), Problem> {
        self.noted.note(format!("config {config:?}"));
        Ok(())
    }

    fn health(&self) -> Health {
        self.noted.health.lock().expect("nobody panicked").clone().map_or(Health::Healthy, Health::Unhealthy)
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        vec![Endpoint { component: "app-x".into(), url: "http://x".into() }]
    }

    async fn stop(&self, _: Duration) {
        self.noted.note("stop".into());
    }
}

fn contract() -> Contract {
    Contract::new("a", "b", &["c"])
}

#[tokio::test]
async fn what_a_host_says_reaches_the_provider_and_is_answered() {
    let noted = Arc::<Noted>::default();
    let harness = Harness::start(Arc::new(Noting(noted.clone())), &[("k", "v")]).await.expect("a provider");
    assert!(harness.remote.serve().is_none(), "it serves nothing");
    harness.link("app-x", contract(), &[("l", "1")]).await.expect("a link");
    assert_eq!(harness.remote.endpoints()[0].url, "http://x");
    let problem = harness.link("app-x", contract(), &[("bad", "1")]).await.expect_err("a bad link");
    assert_eq!((problem.code, &*problem.message), (guest::UNLINKED, "a bad link"));
    harness.remote.put_config([("k".to_string(), "2".to_string())].into()).await.expect("a config");
    assert_eq!(harness.remote.check().await, Health::Healthy);
    let ill = Problem::new(guest::HOST_MEMORY, "ill").with_help("a doctor");
    *noted.health.lock().expect("nobody panicked") = Some(ill.clone());
    assert_eq!(harness.remote.check().await, Health::Unhealthy(ill.clone()));
    assert_eq!(harness.remote.health(), Health::Unhealthy(ill));
    // Another host's wish is not followed.
    let shutdown = format!("wasmbus.rpc.default.{PROVIDER}.default.shutdown");
    let foreign =
        harness.lattice.request(&shutdown, r#"{"host_id":"NOTHER"}"#.into(), Duration::from_millis(100));
    foreign.await.expect_err("no answer");
    let answer = harness.lattice.request(&shutdown, "rubbish".into(), Duration::from_millis(100)).await;
    answer.expect_err("no answer");
    harness.stop().await.expect("it ends well");
    let told = noted.told.lock().expect("nobody panicked").join("; ");
    assert_eq!(
        told,
        r#"start {"k": "v"}; put app-x {"l": "1"} Some("app"); put app-x {"bad": "1"} Some("app"); config {"k": "2"}; stop"#
    );
}

#[tokio::test]
async fn what_a_provider_cannot_start_for_is_told() {
    let problem =
        Harness::start(Arc::new(Noting(Arc::default())), &[("fail", "1")]).await.err().expect("it fails");
    assert_eq!((problem.code, &*problem.message), (guest::HOST_MEMORY, "it cannot start"));
}

#[tokio::test]
async fn a_provider_whose_host_is_gone_ends() {
    let noted = Arc::<Noted>::default();
    let harness = Harness::start(Arc::new(Noting(noted.clone())), &[]).await.expect("a provider");
    harness.lattice.close().await;
    let ended = harness.stop().await.expect_err("not by its host");
    assert_eq!(ended.code, wire::CONNECTION_LOST);
    assert!(noted.told.lock().expect("nobody panicked").contains(&"stop".to_string()));
}

#[tokio::test]
async fn a_provider_goes_on_as_it_is_when_another_host_takes_it_over() {
    let noted = Arc::<Noted>::default();
    let mut harness =
        Harness::start_with(Arc::new(Noting(noted.clone())), &[("k", "v")], SOON).await.expect("a provider");
    harness.link("app-x", contract(), &[("l", "1")]).await.expect("a link");
    harness.link("app-y", contract(), &[("l", "2")]).await.expect("a link");
    for round in 0..3 {
        harness.another_host().await.expect("it comes back");
        let mut known: Vec<_> =
            harness.remote.links().into_iter().map(|key| (key.source_id, key.wit_package)).collect();
        known.sort();
        let wanted =
            [("app-x", "b"), ("app-y", "b")].map(|(id, package)| (id.to_string(), package.to_string()));
        assert_eq!(
            known,
            wanted[..if round == 0 { 2 } else { 1 }],
            "what it was told is known to the new host"
        );
        harness.link("app-x", contract(), &[("l", "1")]).await.expect("the same link again");
        if round == 0 {
            let key = harness.remote.links().into_iter().find(|key| key.source_id == "app-y");
            harness.remote.del_link(&key.expect("it is known")).await.expect("it is gone");
        }
        assert_eq!(harness.remote.check().await, Health::Healthy);
    }
    harness.stop().await.expect("it ends when its host asks it to");
    let told = noted.told.lock().expect("nobody panicked").join("; ");
    let put = r#"put app-x {"l": "1"} Some("app")"#;
    let before = format!(r#"start {{"k": "v"}}; {put}; put app-y {{"l": "2"}} Some("app")"#);
    assert_eq!(told, format!("{before}; {put}; del app-y; {put}; {put}; stop"), "it was started once");
}

#[tokio::test]
async fn a_provider_that_no_host_takes_over_in_time_ends() {
    let noted = Arc::<Noted>::default();
    let grace = Duration::from_millis(200);
    let harness = Harness::start_with(Arc::new(Noting(noted.clone())), &[], grace).await.expect("a provider");
    harness.lattice.close().await;
    let ended = harness.stop().await.expect_err("not by its host");
    assert_eq!(ended.code, wire::CONNECTION_LOST);
    assert!(noted.told.lock().expect("nobody panicked").contains(&"stop".to_string()));
}

#[tokio::test]
async fn a_provider_of_wasmcloud_is_spoken_to_as_it_is_used_to() {
    let name = LatticeName::new("default").expect("a name");
    let lattice: Arc<dyn Lattice> = Arc::new(InProcess::ephemeral(name));
    let tasks = Scope::new("test");
    let mut all = lattice.subscribe("wasmbus.rpc.default.kv.linkdefs.>").await.expect("subscribe");
    let mut health = lattice.subscribe("wasmbus.rpc.default.kv.health").await.expect("subscribe");
    let mut shutdown = lattice.subscribe("wasmbus.rpc.default.kv.default.shutdown").await.expect("subscribe");
    let answering = lattice.clone();
    tasks.spawn(async move {
        while let Some(asked) = health.next().await {
            answering.respond(&asked, r#"{"healthy":false,"message":"ill"}"#.into()).await.expect("respond");
        }
    });
    let spec = RemoteSpec {
        lattice: lattice.clone(),
        spawn: spawn_in(&tasks),
        id: ProviderId::new("kv").expect("an id"),
        address: "kv".into(),
        host: HostId::new(HOST).expect("an id"),
        types: Arc::new(|_, _| None),
        application_of: Arc::new(|_| None),
        seal: None,
    };
    let remote = Remote::connect(spec, SOON).await.expect("it is ready");
    let Health::Unhealthy(problem) = remote.check().await else { panic!("it is ill") };
    assert_eq!((problem.code, &*problem.message), (wire::PROVIDER_UNHEALTHY, "ill"));
    let link = Link {
        source_id: "app".into(),
        target: "kv".into(),
        name: "default".into(),
        contract: contract(),
        source_config: Vec::new(),
        target_config: Vec::new(),
        distance: Distance::Any,
    };
    let key = link.key();
    let target_values: Values = [("k".to_string(), "v".to_string())].into();
    remote.put_link(ResolvedLink::new(link, Values::new(), target_values)).await.expect("published");
    remote.del_link(&key).await.expect("published");
    let next = async |all: &mut umbel_lattice::Subscription| -> Message {
        tokio::time::timeout(SOON, all.next()).await.expect("it comes").expect("it goes on")
    };
    let put = next(&mut all).await;
    assert_eq!(
        String::from_utf8_lossy(&put.payload),
        r#"{"source_id":"app","target":"kv","name":"default","wit_namespace":"a","wit_package":"b","interfaces":["c"],"source_config":{},"target_config":{"k":"v"},"source_secrets":null,"target_secrets":null}"#
    );
    assert!(put.reply.is_none() && put.headers.is_empty());
    assert!(next(&mut all).await.subject.ends_with(".linkdefs.del"));
    let answering = async {
        let asked = next(&mut shutdown).await;
        assert!(String::from_utf8_lossy(&asked.payload).contains(r#""host_id":"NHOST""#));
        lattice.respond(&asked, "shutting down".into()).await.expect("respond");
    };
    futures::future::join(remote.stop(SOON), answering).await;
}
