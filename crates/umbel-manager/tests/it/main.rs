//! The manager against fake hosts on an in-process lattice.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod damage;
mod deploy;
mod fake;
mod faults;
mod requests;
mod scale;
mod simulation;

use fake::{FakeHosts, HostPlan};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::SystemClock;
use umbel_core::id::LatticeName;
use umbel_lattice::wadm::{Client, DeployResult, PutReply, PutResult, Status, StatusType, YAML};
use umbel_lattice::{InProcess, Lattice};
use umbel_manager::Options;
use umbel_supervisor::{Env, Handle, Strategy, Supervisor, SupervisorSpec};

/// A manager with its fake hosts.
struct Bench {
    lattice: Arc<dyn Lattice>,
    hosts: FakeHosts,
    manager: Handle,
    client: Client,
}

fn options() -> Options {
    Options {
        request_timeout: Duration::from_secs(2),
        ping_wait: Duration::from_millis(200),
        tick: Duration::from_millis(500),
        resend_after: Duration::from_millis(500),
        backoff_first: Duration::from_millis(20),
        backoff_max: Duration::from_millis(200),
        host_grace: Duration::from_millis(300),
        ..Options::default()
    }
}

async fn start_manager(lattice: &Arc<dyn Lattice>, options: Options) -> Handle {
    let child = umbel_manager::child_spec(lattice.clone(), Arc::new(SystemClock), "host", options);
    let handle =
        Supervisor::start("test", SupervisorSpec::new(Strategy::OneForOne).child(child), Env::system());
    handle.ready().await.unwrap();
    handle
}

impl Bench {
    async fn start(plan: &[HostPlan]) -> Bench {
        let lattice = Arc::new(InProcess::ephemeral(LatticeName::new("default").unwrap()));
        Bench::on(lattice, plan).await
    }

    /// On a lattice whose state is in a folder.
    async fn in_folder(folder: &Path, plan: &[HostPlan]) -> Bench {
        let name = LatticeName::new("default").unwrap();
        let lattice = InProcess::open(folder.join("lattice.redb"), name).await.unwrap();
        Bench::on(Arc::new(lattice), plan).await
    }

    async fn on(lattice: Arc<dyn Lattice>, plan: &[HostPlan]) -> Bench {
        Bench::with(lattice, plan, options()).await
    }

    async fn with(lattice: Arc<dyn Lattice>, plan: &[HostPlan], options: Options) -> Bench {
        let hosts = FakeHosts::start(&lattice, plan).await;
        let manager = start_manager(&lattice, options).await;
        let client = Client::new(lattice.clone(), Duration::from_secs(30));
        Bench { lattice, hosts, manager, client }
    }

    async fn put(&self, manifest: &str) -> PutReply {
        self.client.put(manifest.to_owned().into(), YAML, "app.yaml").await.unwrap()
    }

    /// Puts and deploys; returns the version.
    async fn deploy(&self, manifest: &str) -> String {
        let put = self.put(manifest).await;
        assert_ne!(put.result, PutResult::Error, "{}", put.message);
        let reply = self.client.deploy(&put.name, Some(&put.current_version)).await.unwrap();
        assert_eq!(reply.result, DeployResult::Acknowledged, "{}", reply.message);
        put.current_version
    }

    async fn status(&self, name: &str) -> Status {
        self.client.status(name).await.unwrap().status.unwrap_or_default()
    }

    /// Waits until the application's status is as said.
    async fn until(&self, name: &str, kind: StatusType) -> Status {
        let mut last = Status::default();
        for _ in 0..2_000 {
            last = self.status(name).await;
            if last.status.kind == kind {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("`{name}` did not become {kind:?}; it is {last:#?}");
    }

    /// Stops the manager and the lattice, as a host that ends does.
    async fn stop(self) {
        self.manager.shutdown().await;
        self.hosts.stop().await;
        self.lattice.close().await;
    }
}

/// Waits until the predicate holds.
async fn wait_for(what: &str, mut predicate: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if predicate() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain until {what}");
}

/// One component behind an HTTP server.
fn hello(image: &str) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{name: hello, annotations: {{description: a greeting}}}}\n\
         spec:\n  components:\n    - name: hello\n      type: component\n      properties:\n        image: {image}\n        \
         config: [{{name: greeting, properties: {{text: hi}}}}]\n    - name: http\n      type: capability\n      properties: \
         {{image: 'builtin:http-server'}}\n      traits:\n        - type: link\n          properties: {{namespace: wasi, package: http, \
         interfaces: [incoming-handler], target: {{name: hello}}}}\n"
    )
}
