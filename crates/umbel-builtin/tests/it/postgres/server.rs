//! A real PostgreSQL server in a folder of its own.

use crate::server::{Server, free_port, program};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use umbel_builtin::postgres::Postgres;
use umbel_core::Problem;
use umbel_core::id::ProviderId;
use umbel_core::link::Values;
use umbel_provider::http::Handler;
use umbel_provider::{Factory, Provider, StartContext, Targets};
use umbel_supervisor::process::{self, Spec};
use umbel_supervisor::stop::Stop;
use umbel_testkit::wait::wait_for;
use umbel_wit::Serve;

pub(super) const PASSWORD: &str = "s3cret-word";

/// A provider of databases calls nobody.
struct Nobody;

impl Targets for Nobody {
    fn http(&self, _component: &str) -> Option<Arc<dyn Handler>> {
        None
    }

    fn export(&self, _component: &str, _interface: &str) -> Option<Arc<dyn Serve>> {
        None
    }

    fn application_of(&self, _component: &str) -> Option<String> {
        None
    }
}

pub(super) fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// The server, with a user `umbel` and a database of that name.
pub(super) struct Database {
    pub(super) server: Server,
    folder: tempfile::TempDir,
    pub(super) port: u16,
}

/// Where Debian has its versions.
const FOLDERS: [&str; 5] = [
    "/usr/lib/postgresql/18/bin",
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
    "/usr/lib/postgresql/14/bin",
];

/// The server refuses to run as root: then it runs as the user that Debian's package made.
fn as_its_user(program: &Path) -> Spec {
    if !rustix::process::geteuid().is_root() {
        return Spec::new(program);
    }
    Spec::new("/usr/bin/setpriv")
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program)
}

fn give(path: &Path) {
    if rustix::process::geteuid().is_root() {
        let users = std::fs::read_to_string("/etc/passwd").expect("users");
        let line =
            users.lines().find(|line| line.starts_with("postgres:")).expect("the package has made a user");
        let ids: Vec<u32> = line.split(':').filter_map(|field| field.parse().ok()).collect();
        chown(path, Some(ids[0]), Some(ids[1])).expect("ours to give");
    }
}

impl Database {
    pub(super) async fn start() -> Database {
        let install = "apt-get install postgresql";
        let (initdb, postgres) =
            (program("initdb", &FOLDERS, install), program("postgres", &FOLDERS, install));
        let folder = tempfile::tempdir().expect("a folder");
        give(folder.path());
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).expect("writes");
        give(&password);
        let data = folder.path().join("data");
        let make = as_its_user(&initdb)
            .args(["--no-sync", "--username=umbel", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"])
            .arg(format!("--pwfile={}", password.display()))
            .arg(&data);
        let made = process::run(&make, &Stop::new()).await.expect("initdb runs");
        made.check(&initdb).expect("a cluster");

        let certificate =
            rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("a certificate");
        let key = folder.path().join("server.key");
        std::fs::write(folder.path().join("server.crt"), certificate.cert.pem()).expect("writes");
        std::fs::write(&key, certificate.signing_key.serialize_pem()).expect("writes");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("ours");
        give(&key);

        let port = free_port();
        let option = |name: &str, value: String| format!("--{name}={value}");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let spec = as_its_user(&postgres)
            .arg("-D")
            .arg(&data)
            .arg(option("port", port.to_string()))
            .arg(option("unix_socket_directories", folder.path().display().to_string()))
            .args(["--listen_addresses=localhost", "--fsync=off", "--max_connections=30", "--ssl=on"])
            .arg(option("ssl_cert_file", path("server.crt")))
            .arg(option("ssl_key_file", path("server.key")));
        let database = Database { server: Server::start(spec), folder, port };
        database.is_there().await;
        let bed = database.bed(&[("POSTGRES_DATABASE", "postgres")]).await;
        bed.guest("setup").batch("CREATE DATABASE umbel").await.expect("a database");
        bed.provider.stop(Duration::from_secs(5)).await;
        database
    }

    /// Waits until it takes connections.
    pub(super) async fn is_there(&self) {
        let socket = self.folder.path().join(format!(".s.PGSQL.{}", self.port));
        wait_for("postgres listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok()).await;
        // It listens before it serves.
        let pid = self.folder.path().join("data/postmaster.pid");
        let is_ready = || {
            std::fs::read_to_string(&pid).is_ok_and(|text| text.lines().any(|line| line.trim() == "ready"))
        };
        wait_for("postgres is ready", is_ready).await;
    }

    pub(super) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("server.crt")
    }

    pub(super) fn config<'a>(&self, config: &[(&'a str, &'a str)]) -> Values {
        let base = values(&[
            ("POSTGRES_HOST", &self.folder.path().display().to_string()),
            ("POSTGRES_PORT", &self.port.to_string()),
            ("POSTGRES_USERNAME", "umbel"),
            ("POSTGRES_PASSWORD", PASSWORD),
            ("POSTGRES_DATABASE", "umbel"),
        ]);
        base.into_iter().chain(values(config)).collect()
    }

    pub(super) async fn bed(&self, config: &[(&str, &str)]) -> super::Bed {
        start(self.config(config)).await.unwrap_or_else(|problem| panic!("{problem:?}"))
    }

    pub(super) async fn end(mut self) {
        self.server.end().await;
    }
}

pub(super) async fn start(config: Values) -> Result<super::Bed, Problem> {
    let cx = StartContext {
        id: ProviderId::new("database").expect("an id"),
        config,
        secrets: Default::default(),
        targets: Arc::new(Nobody),
        folder: PathBuf::from("/nowhere"),
    };
    let provider: Arc<dyn Provider> = Postgres::new().start(cx).await?;
    let server = provider.serve().expect("it serves");
    Ok(super::Bed { provider, server })
}
