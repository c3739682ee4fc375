//! A model of a lattice: hosts that do at once what steps say, and refuse what is older than what they have.

use crate::desired::Desired;
use crate::plan::Step;
use crate::store::{Owned, Pin, VersionRecord};
use crate::world::{HostView, World};
use std::collections::BTreeMap;
use std::sync::Arc;
use umbel_core::id::{AppName, HostId};
use umbel_core::link::{Link, Values};
use umbel_lattice::control::{ComponentView, Inventory, PartState, ProviderView, Scale, StartProvider};
use umbel_manifest::Application;

pub(super) fn host_id(name: &str) -> HostId {
    HostId::new(name).unwrap()
}

pub(super) fn inventory(name: &str, labels: &[(&str, &str)]) -> Inventory {
    Inventory {
        components: Vec::new(),
        providers: Vec::new(),
        links_in_trouble: Vec::new(),
        host_id: host_id(name),
        friendly_name: name.to_owned(),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        version: "0".to_owned(),
        uptime_human: String::new(),
        uptime_seconds: 0,
    }
}

/// The model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Model {
    pub(super) hosts: BTreeMap<HostId, Inventory>,
    pub(super) links: Vec<Link>,
    pub(super) configs: BTreeMap<String, Values>,
}

impl Model {
    pub(super) fn new(hosts: Vec<Inventory>) -> Model {
        let hosts = hosts.into_iter().map(|host| (host.host_id.clone(), host)).collect();
        Model { hosts, links: Vec::new(), configs: BTreeMap::new() }
    }

    /// What an observer sees of it, for one application.
    pub(super) fn seen_by(&self, desired: &Desired) -> World {
        let configs =
            desired.config_names().map(|name| (name.clone(), self.configs.get(name).cloned())).collect();
        let hosts = self.hosts.iter();
        let hosts = hosts.map(|(id, host)| (id.clone(), Arc::new(HostView::from(host.clone())))).collect();
        World { hosts: Arc::new(hosts), links: Some(Arc::new(self.links.clone())), configs }
    }

    /// Does a step.
    pub(super) fn apply(&mut self, step: &Step) {
        match step {
            Step::PutConfig { name, values } => drop(self.configs.insert(name.clone(), values.clone())),
            Step::DelConfig { name } => drop(self.configs.remove(name)),
            Step::PutLink(link) => {
                self.links.retain(|other| other.key() != link.key());
                self.links.push(link.clone());
            }
            Step::DelLink(key) => self.links.retain(|other| other.key() != *key),
            Step::StartProvider(start)
            | Step::ChangeProvider(start)
            | Step::RenewProvider(start)
            | Step::ReplaceProvider(start) => {
                self.start(start);
            }
            Step::StopProvider(stop) => {
                self.host(&stop.host_id).providers.retain(|view| view.id != stop.provider_id);
            }
            Step::StartComponent(scale)
            | Step::ScaleComponent(scale)
            | Step::UpdateComponent(scale)
            | Step::StopComponent(scale) => self.scale(scale),
        }
    }

    fn host(&mut self, id: &HostId) -> &mut Inventory {
        self.hosts.get_mut(id).unwrap()
    }

    fn start(&mut self, start: &StartProvider) {
        let host = self.host(&start.host_id);
        host.providers.retain(|view| view.id != start.provider_id);
        let mut view = ProviderView::new(start.provider_id.clone(), start.provider_ref.clone());
        view.annotations = start.annotations.clone();
        view.generation = start.generation;
        view.state = PartState::Running;
        host.providers.push(view);
    }

    fn scale(&mut self, scale: &Scale) {
        let host = self.host(&scale.host_id);
        let found = host.components.iter().position(|view| view.id == scale.component_id);
        if found.is_some_and(|at| host.components[at].generation > scale.generation) {
            return;
        }
        if let Some(at) = found {
            host.components.remove(at);
        }
        if scale.count > 0 {
            let mut view =
                ComponentView::new(scale.component_id.clone(), scale.component_ref.clone(), scale.count);
            view.annotations = scale.annotations.clone();
            view.generation = scale.generation;
            view.digest = scale.digest.clone();
            view.state = PartState::Running;
            host.components.push(view);
        }
    }
}

/// What the manifest wants at a generation; every image is pinned to a digest that is made of `content`.
pub(super) fn desired(manifest: &str, generation: u64, content: &str, owned: Owned) -> Desired {
    let application = umbel_manifest::parse("app.yaml", manifest.as_bytes()).unwrap();
    let pins = application.parts.iter().filter_map(|part| match &part.source {
        umbel_manifest::Source::Image(image) => {
            let digest = Some(format!("sha256:{content}"));
            Some((image.clone(), Pin { reference: image.clone(), digest, size: None }))
        }
        umbel_manifest::Source::Shared { .. } => None,
    });
    let record = VersionRecord {
        version: content.to_owned(),
        named: None,
        manifest: manifest.to_owned(),
        file: "app.yaml".to_owned(),
        created_unix_ms: 0,
        pins: pins.collect(),
    };
    Desired::of(&application, &record, generation, owned, &|_, _| None)
}

/// An application of nothing, at a generation.
pub(super) fn nothing(name: &AppName, generation: u64, owned: Owned) -> Desired {
    Desired::nothing(name.clone(), generation, owned)
}

/// The application that most tests use.
pub(super) fn hello() -> Application {
    umbel_manifest::parse("hello.yaml", HELLO.as_bytes()).unwrap()
}

pub(super) const HELLO: &str = r#"
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {name: hello}
spec:
  policies:
    - {name: vault, type: p, properties: {backend: vault}}
  components:
    - name: hello
      type: component
      properties:
        image: ./hello.wasm
        config: [{name: greeting, properties: {text: hi}}, {name: elsewhere}]
        secrets: [{name: token, properties: {policy: vault, key: k}}]
    - name: http
      type: capability
      properties: {image: builtin:http-server}
      traits:
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            target: {name: hello}
            source: {config: [{name: address, properties: {address: "127.0.0.1:0"}}]}
"#;
