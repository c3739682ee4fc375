//! Hosts of one lattice that are asked and written to while something goes wrong.

use crate::umbel;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use umbel_testkit::http::Answer;
use umbel_testkit::registry::Guard;
use umbel_testkit::{Platform, Registry};

/// What the API allows itself for a request, and a loaded machine on top.
const DEADLINE: Duration = Duration::from_secs(33);
/// What a request within a host may take on a loaded machine.
const LOCAL_MAX: Duration = Duration::from_secs(5);
/// From the end of a fault until all agree.
const CONVERGED: Duration = Duration::from_secs(30);

/// What is done while something goes wrong.
pub(super) struct Load {
    /// In names of what is written.
    pub(super) name: String,
    pub(super) fault: Duration,
    /// Bytes in each config.
    pub(super) padding: usize,
}

/// How much was acknowledged.
pub(super) struct Acked {
    /// Of what was asked for while the fault was there.
    pub(super) during: usize,
}

/// Hosts, each with an application of its own whose links are local.
pub(super) struct Cluster {
    hosts: Vec<Platform>,
    images: Images,
    _registry: Registry,
}

/// Hosts share no files, as they would not on machines of their own.
struct Images {
    counter: String,
    hello: String,
}

/// What somebody was told is done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Write {
    Config(String),
    Link(String),
    /// The number of a version, of the host's application.
    Deploy(usize, u64),
}

/// What all threads of a load share.
struct Shared {
    is_faulty: AtomicBool,
    is_over: AtomicBool,
    /// Calls that began and ended during the fault, by host: local ones, and writes.
    served: Vec<AtomicU64>,
    written: Vec<AtomicU64>,
    acked: Mutex<Vec<(Write, bool)>>,
}

impl Shared {
    fn new(hosts: usize) -> Shared {
        let zeros = || (0..hosts).map(|_| AtomicU64::new(0)).collect();
        let (is_faulty, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        Shared { is_faulty, is_over, served: zeros(), written: zeros(), acked: Mutex::default() }
    }

    fn least(counts: &[AtomicU64]) -> u64 {
        counts.iter().map(|count| count.load(SeqCst)).min().unwrap_or_default()
    }
}

impl Cluster {
    pub(super) fn start(urls: &[String]) -> Cluster {
        let registry = Registry::start(Guard::None, None).unwrap();
        let at = registry.address().to_string();
        let mut hosts: Vec<Platform> = urls.iter().map(|_| Platform::new(&umbel()).unwrap()).collect();
        let images = Images { counter: format!("{at}/counter:1"), hello: format!("{at}/hello:1") };
        for (image, name) in [(&images.counter, "counter"), (&images.hello, "hello")] {
            let file = umbel_testkit::example(name).display().to_string();
            hosts[0].succeed(&["push", image, &file, "--insecure"]).unwrap();
        }
        for (host, url) in urls.iter().enumerate() {
            let (name, label) = (format!("h{host}"), format!("side=h{host}"));
            let words = ["--nats", url, "--name", &name, "--label", &label, "--insecure-registry", &at];
            hosts[host].start_with(&words).unwrap();
        }
        let cluster = Cluster { hosts, images, _registry: registry };
        for (host, platform) in cluster.hosts.iter().enumerate() {
            platform.deploy(&local(host, &cluster.images.counter)).unwrap();
            platform.wait_for_answer(&format!("local-h{host}")).unwrap();
        }
        cluster
    }

    /// Asks and writes at every host before, during and after the fault, and looks what came of it.
    pub(super) fn survive<F>(
        &self,
        load: &Load,
        faulty: &mut F,
        strike: impl FnOnce(&mut F),
        heal: impl FnOnce(&mut F),
    ) -> Acked {
        let shared = Shared::new(self.hosts.len());
        let healed = std::thread::scope(|scope| {
            // Threads of a test that has failed must not go on for ever.
            let _over = Over(&shared);
            let shared = &shared;
            for host in 0..self.hosts.len() {
                scope.spawn(move || self.read(shared, host));
                scope.spawn(move || self.write(shared, load, host));
            }
            let is_written = || shared.acked.lock().unwrap().len() >= 3 * self.hosts.len();
            until("something to be acknowledged", DEADLINE, is_written);
            strike(faulty);
            shared.is_faulty.store(true, SeqCst);
            let begun = Instant::now();
            let is_enough = || {
                let is_quick = load.fault.is_zero();
                let calls = Shared::least(&shared.served).min(Shared::least(&shared.written));
                begun.elapsed() >= load.fault && (is_quick || calls >= 2)
            };
            until("calls at every host to end", 3 * DEADLINE, is_enough);
            heal(faulty);
            let healed = Instant::now();
            shared.is_faulty.store(false, SeqCst);
            shared.is_over.store(true, SeqCst);
            healed
        });
        // The last writes may have ended after the fault: what they have ordered takes its time, too.
        let from = if healed.elapsed() < CONVERGED / 2 { healed } else { Instant::now() };
        self.converge(&load.name, from);
        let acked = shared.acked.into_inner().unwrap();
        self.has_all(&load.name, &acked);
        Acked { during: acked.iter().filter(|(_, is_during)| *is_during).count() }
    }

    /// A component, its store and its HTTP server in one host answer whatever happens outside.
    fn read(&self, shared: &Shared, host: usize) {
        let name = format!("local-h{host}");
        while !shared.is_over.load(SeqCst) {
            let (during, asked) = (shared.is_faulty.load(SeqCst), Instant::now());
            let answer = self.hosts[host].get(&name, "/").unwrap();
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
            assert!(asked.elapsed() < LOCAL_MAX, "{name} took {:?}", asked.elapsed());
            if during && shared.is_faulty.load(SeqCst) {
                shared.served[host].fetch_add(1, SeqCst);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes one thing after the other, and remembers what was acknowledged.
    fn write(&self, shared: &Shared, load: &Load, host: usize) {
        for number in 1.. {
            if shared.is_over.load(SeqCst) {
                return;
            }
            let during = shared.is_faulty.load(SeqCst);
            let name = format!("{}-h{host}-{number}", slug(&load.name));
            let asked = Instant::now();
            let (write, answer) = match number % 3 {
                0 => (Write::Deploy(host, number), self.deploy(&load.name, host, number)),
                1 => (Write::Link(name.clone()), self.put_link(host, &name)),
                _ => (Write::Config(name.clone()), self.put_config(host, &name, load.padding)),
            };
            let took = asked.elapsed();
            assert!(took < 2 * DEADLINE, "{write:?} took {took:?}: {answer:?}");
            if answer.status == 200 {
                shared.acked.lock().unwrap().push((write, during));
            } else {
                let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let code = problem["code"].as_str().unwrap_or_default();
                assert!(code.starts_with("UM") && answer.status >= 400, "{write:?}: {}", answer.text());
            }
            if during {
                shared.written[host].fetch_add(1, SeqCst);
            }
        }
    }

    /// One request to the API of a host. It ends by its deadline, with an answer or a coded problem.
    fn ask(&self, host: usize, method: &str, path: &str, body: &[u8]) -> Answer {
        let asked = Instant::now();
        let answer = self.hosts[host].ask_api(method, path, Some(body));
        let took = asked.elapsed();
        assert!(took < DEADLINE, "{method} {path} at h{host} took {took:?}: {answer:?}");
        answer.unwrap()
    }

    fn put_config(&self, host: usize, name: &str, padding: usize) -> Answer {
        let body = json!({"value": name, "padding": "x".repeat(padding)}).to_string();
        self.ask(host, "PUT", &format!("/v1/configs/{name}"), body.as_bytes())
    }

    fn put_link(&self, host: usize, name: &str) -> Answer {
        let link = json!({"source_id": name, "target": "somebody", "wit_namespace": "acme", "wit_package": "test",
            "interfaces": ["one"]});
        self.ask(host, "PUT", "/v1/links", link.to_string().as_bytes())
    }

    /// Puts a version and deploys it.
    fn deploy(&self, load: &str, host: usize, number: u64) -> Answer {
        let application = application_of(load, host);
        let manifest = noted(&application, host, number, &self.images.hello);
        let put = self.ask(host, "PUT", "/v1/applications?file=noted.yaml", manifest.as_bytes());
        if put.status != 200 {
            return put;
        }
        let version = json!({"version": format!("v{number}")}).to_string();
        self.ask(host, "POST", &format!("/v1/applications/{application}/deploy"), version.as_bytes())
    }

    /// Waits until every host sees the same hosts, the same parts on them, and every application deployed.
    fn converge(&self, what: &str, from: Instant) {
        let mut last = Vec::new();
        while from.elapsed() < CONVERGED {
            last = self.hosts.iter().map(view).collect();
            let first = last[0].as_ref();
            let is_whole = first.is_ok_and(|view| view.is_whole(self.hosts.len()));
            if is_whole && last.iter().all(|view| view.as_ref().ok() == first.ok()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{what}: not converged within {} s: {last:#?}", CONVERGED.as_secs());
    }

    /// Whatever was acknowledged is there, as every host sees it.
    fn has_all(&self, what: &str, acked: &[(Write, bool)]) {
        for (host, platform) in self.hosts.iter().enumerate() {
            let names = |path: &str, field: &str| -> BTreeSet<String> {
                let answer = platform.ask_api("GET", path, None).unwrap();
                let list: Value = serde_json::from_slice(&answer.body).unwrap();
                let name = |item: &Value| item.as_str().or(item[field].as_str()).map(str::to_string);
                list["items"].as_array().unwrap().iter().filter_map(name).collect()
            };
            let (configs, links) = (names("/v1/configs", ""), names("/v1/links", "source_id"));
            for (write, _) in acked {
                let is_there = match write {
                    Write::Config(name) => configs.contains(name),
                    Write::Link(name) => links.contains(name),
                    Write::Deploy(..) => true,
                };
                assert!(is_there, "{what}: h{host} does not know {write:?}, which was acknowledged");
            }
            for of in 0..self.hosts.len() {
                let deploys = acked.iter().filter_map(|(write, _)| match write {
                    Write::Deploy(host, number) if *host == of => Some(*number),
                    _ => None,
                });
                let newest = deploys.max().unwrap_or_default();
                let application = application_of(what, of);
                let shown =
                    platform.ask_api("GET", &format!("/v1/applications/{application}"), None).unwrap();
                let shown: Value = serde_json::from_slice(&shown.body).unwrap();
                let version = shown["deployed_version"].as_str().unwrap_or_default();
                let deployed: u64 = version.trim_start_matches('v').parse().unwrap_or_default();
                // One that was not answered may have come.
                assert!(
                    deployed >= newest,
                    "{what}: {application} is at {version}, and v{newest} was acknowledged"
                );
            }
        }
    }
}

/// Ends the load, however it comes to its end.
struct Over<'s>(&'s Shared);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, SeqCst);
    }
}

/// What a host sees: parts by host, and applications with their status.
#[derive(Debug, PartialEq, Eq)]
struct View {
    hosts: Vec<(String, BTreeSet<String>)>,
    applications: Vec<(String, String, String)>,
}

impl View {
    /// Whether all hosts are there with their own applications, and nothing is under way.
    fn is_whole(&self, hosts: usize) -> bool {
        let has_its_own = |(name, parts): &(String, BTreeSet<String>)| {
            ["counter", "keyvalue", "http"].iter().all(|part| parts.contains(&format!("local_{name}-{part}")))
        };
        self.hosts.len() == hosts
            && self.hosts.iter().all(has_its_own)
            && self.applications.iter().all(|(_, _, status)| status == "deployed")
    }
}

fn view(platform: &Platform) -> std::io::Result<View> {
    let ps = platform.json(&["ps"])?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let ids = |host: &Value| -> BTreeSet<String> {
        let parts = ["components", "providers"].iter().filter_map(|kind| host[*kind].as_array());
        parts.flatten().map(&text).collect()
    };
    let items = |field: &str| ps[field].as_array().cloned().unwrap_or_default();
    let mut hosts: Vec<_> = items("hosts").iter().map(|host| (text(&host["name"]), ids(host))).collect();
    hosts.sort();
    let of = |app: &Value| (text(&app["name"]), text(&app["deployed_version"]), text(&app["status"]));
    Ok(View { hosts, applications: items("applications").iter().map(of).collect() })
}

fn until(what: &str, most: Duration, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < most, "waited {most:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn slug(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

fn application_of(load: &str, host: usize) -> String {
    format!("noted-{}-h{host}", slug(load))
}

/// A counter behind HTTP with its store, all of it on one host by local links.
fn local(host: usize, image: &str) -> String {
    let on = format!(
        "
        - type: spreadscaler
          properties: {{instances: 1, spread: [{{name: here, requirements: {{side: h{host}}}}}]}}"
    );
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: local-h{host}}}
spec:
  components:
    - name: counter
      type: component
      properties: {{image: {image}}}
      traits:
        - type: link
          properties: {{target: {{name: keyvalue}}, namespace: wasi, package: keyvalue, interfaces: [store, atomics], distance: local}}{on}
    - name: keyvalue
      type: capability
      properties: {{image: 'builtin:keyvalue'}}
    - name: http
      type: capability
      properties: {{image: 'builtin:http-server'}}
      traits:
        - type: link
          properties: {{target: {{name: counter}}, namespace: wasi, package: http, interfaces: [incoming-handler], distance: local}}{on}
"
    )
}

/// One component on the host, with a config that is another in each version.
fn noted(application: &str, host: usize, number: u64, image: &str) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: {application}, annotations: {{version: v{number}}}}}
spec:
  components:
    - name: hello
      type: component
      properties: {{image: {image}, config: [{{name: note, properties: {{number: '{number}'}}}}]}}
      traits:
        - type: spreadscaler
          properties: {{instances: 1, spread: [{{name: here, requirements: {{side: h{host}}}}}]}}
"
    )
}
