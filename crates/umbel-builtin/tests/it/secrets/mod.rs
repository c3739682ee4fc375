//! The secrets provider over a folder of its own.

mod memory;
mod traces;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use umbel_builtin::secrets::contract::{Client, Refused, Revealed, check};
use umbel_builtin::secrets::{KeyFile, Scope, Secret, Secrets};
use umbel_core::code::{Code, secrets as code};
use umbel_core::id::ProviderId;
use umbel_core::link::{Contract, Distance, Link, ResolvedLink, Values};
use umbel_core::{Coded, Problem};
use umbel_provider::http::Handler;
use umbel_provider::{Factory, Provider, StartContext, Targets};
use umbel_wit::Serve;

struct Nobody;

impl Targets for Nobody {
    fn http(&self, _: &str) -> Option<Arc<dyn Handler>> {
        None
    }

    fn export(&self, _: &str, _: &str) -> Option<Arc<dyn Serve>> {
        None
    }

    fn application_of(&self, _: &str) -> Option<String> {
        None
    }
}

fn open(folder: &Path) -> Secrets {
    Secrets::new(folder.join("secrets"), KeyFile::new(folder.join("secrets/key")))
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

async fn start(secrets: &Secrets, config: &[(&str, &str)]) -> Result<Arc<dyn Provider>, Problem> {
    let cx = StartContext {
        id: ProviderId::new("secrets").expect("an id"),
        config: values(config),
        secrets: Default::default(),
        targets: Arc::new(Nobody),
        folder: std::path::PathBuf::new(),
    };
    secrets.start(cx).await
}

async fn server(secrets: &Secrets) -> Arc<dyn Serve> {
    start(secrets, &[]).await.expect("it starts").serve().expect("it serves")
}

fn app(name: &str) -> Scope {
    Scope::Application(name.into())
}

fn text(text: &str) -> Secret {
    text.to_string().into()
}

#[tokio::test]
async fn the_contract_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = open(folder.path());
    let server = server(&secrets).await;
    check(&server, &|scope, name, secret| match secret {
        Some(secret) => drop(secrets.put(scope, name, secret).expect("put")),
        None => secrets.del(scope, name).expect("del"),
    })
    .await;
    assert_eq!(secrets.list().expect("list"), []);
}

#[tokio::test]
async fn secrets_are_there_after_a_restart_and_all_providers_serve_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = open(folder.path());
    secrets.put(&app("app"), "b", text("1")).expect("put");
    secrets.put(&app("app"), "a", vec![0, 255].into()).expect("put");
    secrets.put(&Scope::Shared, "a", text("2")).expect("put");
    drop(secrets);
    let secrets = open(folder.path());
    let expected = [(app("app"), "a"), (app("app"), "b"), (Scope::Shared, "a")];
    assert_eq!(secrets.list().expect("list"), expected.map(|(scope, name)| (scope, name.to_string())));
    let (first, second) = (server(&secrets).await, server(&secrets).await);
    secrets.put(&app("app"), "new", text("3")).expect("put");
    for server in [first, second] {
        let client = Client::new(&server, "app-a", Some("app"));
        assert_eq!(client.read("a").await, Revealed::Bytes(vec![0, 255]));
        assert_eq!(client.read("new").await, Revealed::String("3".into()));
    }
    for name in ["secrets", "secrets/key", "secrets/secrets.sealed", "secrets/secrets.lock"] {
        let mode = std::fs::metadata(folder.path().join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
    assert_eq!(
        std::fs::read_dir(folder.path().join("secrets")).expect("a folder").count(),
        3,
        "nothing is left behind"
    );
}

#[tokio::test]
async fn a_link_may_allow_some_names_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = open(folder.path());
    for name in ["a", "b", "c"] {
        secrets.put(&app("app"), name, text(name)).expect("put");
    }
    let client = Client::new(&server(&secrets).await, "app-a", Some("app"));
    let some = client.with(&[("names", "a, b,")]);
    assert_eq!(some.read("a").await, Revealed::String("a".into()));
    assert_eq!(some.read("b").await, Revealed::String("b".into()));
    assert_eq!(some.get("c").await.err(), Some(Refused::NotFound));
    assert_eq!(
        client.with(&[("names", "")]).get("a").await.err(),
        Some(Refused::NotFound),
        "none is allowed"
    );
    let wrong = client.with(&[("nmaes", "hunter2")]).get("a").await.err();
    assert!(
        matches!(&wrong, Some(Refused::Upstream(text)) if text.starts_with("UM1181") && !text.contains("hunter2"))
    );
}

#[tokio::test]
async fn wrong_config_is_refused_without_repeating_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = open(folder.path());
    let problem = start(&secrets, &[("password", "hunter2")]).await.err().expect("refused");
    assert_eq!(problem.code, code::CONFIG);
    assert!(!format!("{problem:?}").contains("hunter2"));
    let provider = start(&secrets, &[]).await.expect("it starts");
    let link = |config: &[(&str, &str)]| {
        ResolvedLink::new(
            Link {
                source_id: "app-a".into(),
                target: "secrets".into(),
                name: "default".into(),
                contract: Contract::new("wasmcloud", "secrets", &["store", "reveal"]),
                source_config: Vec::new(),
                target_config: Vec::new(),
                distance: Distance::Any,
            },
            Values::new(),
            values(config),
        )
    };
    provider.put_link(link(&[("scope", "shared"), ("names", "a,b")])).await.expect("a link");
    for config in [[("scope", "hunter2")], [("secret", "hunter2")]] {
        let problem = provider.put_link(link(&config)).await.expect_err("refused");
        assert_eq!(problem.code, code::CONFIG);
        assert!(!format!("{problem:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn limits_are_kept_and_nothing_is_changed_when_they_are_hit() {
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = open(folder.path());
    let put = |name: &str, bytes: usize| secrets.put(&app("app"), name, vec![7; bytes].into()).map(drop);
    put("largest", 64 << 10).expect("a secret of the limit");
    put(&"n".repeat(256), 0).expect("a name of the limit");
    let code_of =
        |result: Result<(), umbel_builtin::secrets::SecretsError>| result.expect_err("refused").code();
    assert_eq!(code_of(put("largest", (64 << 10) + 1)), code::TOO_LARGE);
    for name in ["", &"n".repeat(257), "a\0b", "a\nb", "\u{7f}"] {
        assert_eq!(code_of(put(name, 1)), code::NAME, "{name:?}");
    }
    assert_eq!(code_of(secrets.del(&app("app"), "missing")), code::NOT_FOUND);
    assert_eq!(code_of(secrets.del(&app("other"), "largest")), code::NOT_FOUND);
    assert_eq!(secrets.list().expect("list").len(), 2);
    let client = Client::new(&server(&secrets).await, "app-a", Some("app"));
    assert_eq!(client.read("largest").await, Revealed::Bytes(vec![7; 64 << 10]));
}

fn refused(folder: &Path) -> Code {
    open(folder).list().expect_err("refused").code()
}

#[test]
fn what_cannot_be_opened_is_told_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (key, sealed) = (folder.path().join("secrets/key"), folder.path().join("secrets/secrets.sealed"));
    open(folder.path()).put(&app("app"), "a", text("1")).expect("put");
    let (good_key, good) = (std::fs::read(&key).expect("read"), std::fs::read(&sealed).expect("read"));

    let damaged: [(Vec<u8>, Code); 5] = [
        (good[..good.len() - 1].into(), code::SEALED),
        ([&good[..30], &[good[30] ^ 1], &good[31..]].concat(), code::SEALED),
        (Vec::new(), code::VERSION),
        (b"umbel-secrets-3\nand more".into(), code::VERSION),
        (b"{}".into(), code::VERSION),
    ];
    for (bytes, code) in damaged {
        std::fs::write(&sealed, &bytes).expect("write");
        assert_eq!(refused(folder.path()), code);
        assert_eq!(std::fs::read(&sealed).expect("read"), bytes, "it was changed");
    }
    std::fs::write(&sealed, &good).expect("write");

    std::fs::write(&key, "0".repeat(64)).expect("write");
    assert_eq!(refused(folder.path()), code::SEALED, "another key");
    std::fs::write(&key, "no key").expect("write");
    assert_eq!(refused(folder.path()), code::KEY_INVALID);
    std::fs::remove_file(&key).expect("remove");
    assert_eq!(refused(folder.path()), code::KEY_MISSING);
    assert!(!key.exists(), "no key was made that opens nothing");
    std::fs::write(&key, &good_key).expect("write");
    for path in [&key, &sealed] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        assert_eq!(refused(folder.path()), code::KEY_PERMISSIONS, "{}", path.display());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    }
    assert_eq!(open(folder.path()).list().expect("all is well again").len(), 1);
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path());
    first.put(&app("app"), "a", text("1")).expect("put");
    assert_eq!(refused(folder.path()), code::LOCKED);
    drop(first);
    open(folder.path()).del(&app("app"), "a").expect("the lock went with its owner");
}

#[test]
fn what_a_crash_left_is_no_obstacle() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).put(&app("app"), "a", text("1")).expect("put");
    std::fs::write(folder.path().join("secrets/secrets.sealed.new"), "half").expect("write");
    let secrets = open(folder.path());
    secrets.put(&app("app"), "b", text("2")).expect("put");
    assert_eq!(secrets.list().expect("list").len(), 2);
}
