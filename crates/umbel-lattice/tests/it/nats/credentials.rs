//! Who is let in, and what is said to who is not.

use crate::bed::{name, spawn};
use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use umbel_core::Coded;
use umbel_core::code::{Code, lattice as code};
use umbel_lattice::nats::{Auth, NatsSpec, Tls};
use umbel_lattice::{Lattice, Nats, WatchEvent};
use umbel_testkit::NatsServer;

async fn enters(spec: &NatsSpec) {
    let lattice = Nats::connect(spec, name(), spawn()).await.expect("it is let in");
    let bucket = lattice.bucket("b").await.expect("a bucket");
    let revision = bucket.put("k", "v".into()).await.expect("put");
    assert_eq!(bucket.get("k").await.expect("get").expect("an entry").revision, revision);
}

async fn refused(spec: &NatsSpec, expect: Code) -> String {
    let error = Nats::connect(spec, name(), spawn()).await.expect_err("it is not let in");
    assert_eq!(error.code(), expect, "{error}");
    let told = format!("{error} {error:?}");
    assert!(!told.contains("s3cret"), "{told}");
    told
}

fn spec(server: &NatsServer, auth: Auth) -> NatsSpec {
    NatsSpec { auth, ..NatsSpec::parse(&server.url()).expect("an address") }
}

fn user(name: &str, password: &str) -> Auth {
    Auth::User { name: name.into(), password: password.to_string().into() }
}

#[tokio::test]
async fn users_tokens_and_keys() {
    let server =
        NatsServer::start("authorization { users: [{ user: me, password: s3cret }] }").expect("a server");
    enters(&spec(&server, user("me", "s3cret"))).await;
    enters(&NatsSpec::parse(&format!("nats://me:s3cret@{}", server.address())).expect("an address")).await;
    refused(&spec(&server, user("me", "s3cret-2")), code::NATS_REFUSED).await;
    refused(&spec(&server, Auth::None), code::NATS_REFUSED).await;

    let server = NatsServer::start("authorization { token: s3cret }").expect("a server");
    enters(&spec(&server, Auth::Token("s3cret".to_string().into()))).await;
    refused(&spec(&server, Auth::Token("s3cret-2".to_string().into())), code::NATS_REFUSED).await;

    let key = KeyPair::new_user();
    let users = format!("authorization {{ users: [{{ nkey: {} }}] }}", key.public_key());
    let server = NatsServer::start(&users).expect("a server");
    let seed = |key: &KeyPair| Auth::Nkey(key.seed().expect("a seed").into());
    enters(&spec(&server, seed(&key))).await;
    refused(&spec(&server, seed(&KeyPair::new_user())), code::NATS_REFUSED).await;
}

/// A user who may hear nothing but what begins with its own inbox prefix, and its lattice.
#[tokio::test]
async fn an_inbox_prefix_is_enough_where_others_are_not_allowed() {
    let server = NatsServer::start(
        "authorization { users: [{ user: me, password: s3cret, permissions: { publish: \">\", \
         subscribe: [\"mine.in.>\", \"default.>\"] } }] }",
    )
    .expect("a server");
    let spec = NatsSpec { inbox_prefix: "mine.in".into(), ..spec(&server, user("me", "s3cret")) };
    enters(&spec).await;
    let lattice = Nats::connect(&spec, name(), spawn()).await.expect("it is let in");
    assert!(lattice.inbox().starts_with("mine.in."));
    let mut watch = lattice.bucket("b").await.expect("a bucket").watch("").await.expect("watch");
    assert!(matches!(super::event(&mut watch).await, WatchEvent::Put(entry) if entry.key == "k"));
    assert_eq!(lattice.request_all("default.nobody", "".into(), super::SOON).await.expect("nobody").len(), 0);
}

/// What the server does not let one hear is told: at once, or by the end of the subscription.
#[tokio::test]
async fn a_subscription_that_is_not_allowed_does_not_stay_silent() {
    let server = NatsServer::start(
        "authorization { users: [{ user: me, password: s3cret, permissions: { subscribe: { deny: [\"secret.>\"] } } }] }",
    )
    .expect("a server");
    let lattice =
        Nats::connect(&spec(&server, user("me", "s3cret")), name(), spawn()).await.expect("it is let in");
    for pattern in ["secret.x", "secret.>"] {
        match lattice.subscribe(pattern).await {
            Err(error) => assert_eq!(error.code(), code::NATS_REFUSED, "{error}"),
            Ok(mut subscription) => assert_eq!(super::soon("its end", subscription.next()).await, None),
        }
    }
    lattice.subscribe("public.>").await.expect("others are allowed");
}

/// A JWT of NATS: who signs it, for whom, and what it says.
fn jwt(issuer: &KeyPair, subject: &str, nats: Value) -> String {
    let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let claims = json!({
        "jti": "1", "iat": 1_700_000_000, "iss": issuer.public_key(), "name": "test", "sub": subject, "nats": nats,
    });
    let text = format!("{}.{}", part(json!({"typ": "JWT", "alg": "ed25519-nkey"})), part(claims));
    let signature = issuer.sign(text.as_bytes()).expect("a key that signs");
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
}

#[tokio::test]
async fn decentralized_users() {
    let (operator, account, member) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let of_operator = jwt(&operator, &operator.public_key(), json!({"type": "operator", "version": 2}));
    let of_account = |id: &KeyPair, storage: i32| {
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
            "mem_storage": storage, "disk_storage": storage, "streams": storage, "consumer": storage,
        });
        jwt(&operator, &id.public_key(), json!({"type": "account", "version": 2, "limits": limits}))
    };
    let system = KeyPair::new_account();
    // The account of the server itself may have no state.
    let (of_system, of_account) = (of_account(&system, 0), of_account(&account, -1));
    let of_member = |by: &KeyPair| {
        let limits = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
        jwt(by, &member.public_key(), limits)
    };
    let (id, system) = (account.public_key(), system.public_key());
    let config = format!(
        "operator: \"{of_operator}\"\nsystem_account: {system}\nresolver: MEMORY\n\
         resolver_preload: {{ {id}: \"{of_account}\", {system}: \"{of_system}\" }}"
    );
    let server = NatsServer::start(&config).expect("a server");
    let seed = member.seed().expect("a seed");
    let pair = |jwt: String| Auth::Jwt { jwt, seed: seed.clone().into() };
    enters(&spec(&server, pair(of_member(&account)))).await;
    refused(&spec(&server, pair(of_member(&KeyPair::new_account()))), code::NATS_REFUSED).await;
    refused(&spec(&server, Auth::None), code::NATS_REFUSED).await;

    let file = server.folder().join("user.creds");
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n",
        of_member(&account)
    );
    std::fs::write(&file, text).expect("written");
    enters(&spec(&server, Auth::Creds(file))).await;
}

/// Writes a certificate and its key.
fn certify(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let names = vec!["localhost".to_string(), "127.0.0.1".to_string()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let (certificate, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    (certificate, key)
}

#[tokio::test]
async fn certificates_of_both_ends() {
    let mut server = NatsServer::prepare(
        "tls { cert_file: \"FOLDER/server.crt\", key_file: \"FOLDER/server.key\", ca_file: \"FOLDER/client.crt\", verify: true }",
    )
    .expect("a folder");
    let (ca_file, _) = certify(server.folder(), "server");
    let client = certify(server.folder(), "client");
    server.again().expect("it starts");
    let plain = NatsSpec::parse(&format!("tls://localhost:{}", server.address().port())).expect("an address");
    let with = |ca_file: Option<&PathBuf>, certificate: Option<&(PathBuf, PathBuf)>| {
        let tls = Tls { ca_file: ca_file.cloned(), certificate: certificate.cloned(), ..Tls::default() };
        NatsSpec { tls, ..plain.clone() }
    };
    enters(&with(Some(&ca_file), Some(&client))).await;
    refused(&with(None, Some(&client)), code::NATS_TLS).await;
    refused(&with(Some(&ca_file), None), code::NATS_TLS).await;
    let stranger = certify(server.folder(), "stranger");
    refused(&with(Some(&ca_file), Some(&stranger)), code::NATS_TLS).await;

    // A server without TLS where it is required.
    let server = NatsServer::start("").expect("a server");
    let tls = Tls { required: true, ..Tls::default() };
    refused(&NatsSpec { tls, ..spec(&server, Auth::None) }, code::NATS_TLS).await;
}

#[tokio::test]
async fn servers_that_cannot_carry_a_lattice() {
    let nobody = umbel_testkit::nats::free_address().expect("a port");
    let at = |address| NatsSpec::parse(&format!("nats://{address}")).expect("an address");
    refused(&at(nobody), code::NATS_UNREACHABLE).await;

    let server = NatsServer::start("# no jetstream").expect("a server");
    refused(&spec(&server, Auth::None), code::NATS_NO_JETSTREAM).await;
    let server = NatsServer::start("").expect("a server");
    let elsewhere = NatsSpec { js_domain: Some("elsewhere".into()), ..spec(&server, Auth::None) };
    let told = refused(&elsewhere, code::NATS_NO_JETSTREAM).await;
    assert!(told.contains("`elsewhere`"), "{told}");

    for (greeting, expect) in [
        (
            "INFO {\"server_id\":\"x\",\"version\":\"2.9.25\",\"max_payload\":1048576,\"headers\":true}\r\n",
            code::NATS_VERSION,
        ),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", code::NATS_UNREACHABLE),
        ("", code::NATS_UNREACHABLE),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let playing = async {
            let mut connections = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                // Whoever sees what this is may have left already.
                let _ = stream.write_all(greeting.as_bytes()).await;
                if greeting.starts_with("INFO") {
                    let mut heard = vec![0; 4_096];
                    let _ = stream.read(&mut heard).await;
                    let _ = stream.write_all(b"PONG\r\n").await;
                    connections.push(stream);
                }
            }
        };
        let spec = at(address);
        tokio::select! {
            () = playing => unreachable!("it listens"),
            _ = refused(&spec, expect) => {}
        }
    }
}
