//! Listeners: who may connect, and what becomes of sockets.

use crate::fake::{Fake, api};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tokio::sync::watch;
use umbel_api::client::Client;
use umbel_api::folder::StateFolder;
use umbel_api::{Api, Config};
use umbel_core::code::api as codes;
use umbel_supervisor::{Env, Strategy, Supervisor, SupervisorSpec};

#[tokio::test]
async fn only_the_owner_can_open_the_socket() {
    let fake = Fake::start().await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&fake.listening.socket), 0o600);
    assert_eq!(mode(fake.listening.socket.parent().unwrap()), 0o700);
    assert_eq!(mode(&fake.folder.token_file()), 0o600);
    assert!(fake.tcp().ip().is_loopback());
}

#[tokio::test]
async fn the_client_works_over_tcp_too() {
    let fake = Fake::start().await;
    let client = Client::tcp(fake.tcp(), fake.token.clone());
    assert_eq!(client.version().await.unwrap().api, "v1");
}

#[tokio::test]
async fn nobody_there_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let folder = StateFolder::new(dir.path());
    folder.prepare().unwrap();
    let client = Client::unix(&folder).unwrap();
    assert_eq!(client.version().await.unwrap_err().first.code, codes::NOT_RUNNING);
    // A socket that a killed platform left behind.
    drop(std::os::unix::net::UnixListener::bind(folder.socket()).unwrap());
    assert!(folder.socket().exists());
    assert_eq!(client.version().await.unwrap_err().first.code, codes::NOT_RUNNING);
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
    let fake = Fake::start().await;
    let (shutdown, _) = watch::channel(None);
    let (listening, _) = watch::channel(None);
    let config = Config {
        folder: fake.folder.clone(),
        tcp: None,
        version: "1".into(),
        listening,
        shutdown: std::sync::Arc::new(|_: &str| {}),
    };
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(Api::child_spec(config, fake.lattice.clone()));
    let second = Supervisor::start("second", spec, Env::system());
    let failed =
        second.wait_for(|tree| tree.children.iter().any(|child| child.last_exit.is_some())).await.unwrap();
    assert_eq!(failed.children[0].last_exit.as_ref().unwrap().code, codes::LISTEN_FAILED);
    assert_eq!(fake.client().version().await.unwrap().version, "9.9.9");
    second.shutdown().await;

    fake.tree.shutdown().await;
    assert!(
        fake.folder.socket().exists(),
        "nobody has removed it: the daemon does, and a killed one does not"
    );
    let (again, _) = api(&fake.folder, &fake.lattice, shutdown).await;
    assert_eq!(fake.client().version().await.unwrap().version, "9.9.9");
    again.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_does_not_keep_the_platform_from_stopping() {
    let fake = Fake::start().await;
    let silent = tokio::net::UnixStream::connect(fake.folder.socket()).await.unwrap();
    fake.client().version().await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), fake.tree.shutdown()).await.expect("it does not stop");
    drop(silent);
}
