use crate::bed::{Bed, handler, link, parse, read_until, says, text, wait_for};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::AsyncWriteExt;
use umbel_builtin::http_server::{Config, HttpServer, Limits};
use umbel_provider::Factory;
use umbel_supervisor::cores::Cores;

#[tokio::test]
async fn host_and_path_find_the_component() {
    let bed = Bed::new(Limits::default()).await;
    bed.add("default", "shop", says("shop"), &[]).await.unwrap();
    for host in
        ["shop.localhost", "SHOP.LOCALHOST.", "127.0.0.1", "localhost:1234", "[::1]:80", "example.com"]
    {
        assert_eq!(bed.get(host, "/x").await, (200, "shop".into()), "one application: {host}");
    }
    assert_eq!(bed.get("other.localhost", "/").await.0, 404);

    bed.add("api", "shop", says("api"), &[("path", "/api")]).await.unwrap();
    bed.add("blog", "blog", says("blog"), &[("host", "blog.example.com, blog.localhost")]).await.unwrap();
    for (host, path, expect) in [
        ("shop.localhost", "/", "shop"),
        ("shop.localhost", "/apis", "shop"),
        ("shop.localhost", "/api", "api"),
        ("shop.localhost", "/api/v1?x=/y", "api"),
        ("blog.localhost:8000", "/api", "blog"),
        ("blog.example.com", "/", "blog"),
    ] {
        assert_eq!(bed.get(host, path).await, (200, expect.into()), "{host}{path}");
    }
    let (status, body) = bed.get("127.0.0.1", "/").await;
    assert_eq!(status, 404, "two applications: the bare port is nobody's");
    assert!(
        body.contains("UM0502") && body.contains(&format!("http://shop.localhost:{}/api", bed.port)),
        "{body}"
    );

    let urls: Vec<String> = bed.provider.endpoints().into_iter().map(|e| e.url).collect();
    assert!(urls.contains(&format!("http://shop.localhost:{}", bed.port)), "{urls:?}");
    assert!(urls.contains(&format!("http://blog.example.com:{}", bed.port)), "{urls:?}");
}

#[tokio::test]
async fn a_request_names_exactly_one_host() {
    let bed = Bed::serving(Limits::default(), says("hi")).await;
    for (head, expect) in [
        ("GET / HTTP/1.1\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n", 400),
        ("GET / HTTP/1.0\r\n", 200),
        ("GET http://app.localhost/ HTTP/1.1\r\nHost: app.localhost\r\n", 200),
        ("GET http://app.localhost/ HTTP/1.1\r\nHost: evil.example\r\n", 400),
        ("GET http://app.localhost/ HTTP/1.1\r\n", 400),
        ("CONNECT app.localhost:80 HTTP/1.1\r\nHost: app.localhost:80\r\n", 405),
        ("OPTIONS * HTTP/1.1\r\nHost: app.localhost\r\n", 200),
    ] {
        let answer = bed.raw(format!("{head}Connection: close\r\n\r\n")).await;
        assert_eq!(parse(&answer).0, expect, "{head:?}: {answer}");
    }
}

#[tokio::test]
async fn refusals_are_text_or_json_and_name_no_server() {
    let bed = Bed::serving(Limits::default(), says("hi")).await;
    let ask =
        |accept: &str| format!("GET / HTTP/1.1\r\nHost: no.localhost\r\n{accept}Connection: close\r\n\r\n");
    let answer = bed.raw(ask("Accept: application/json\r\n")).await;
    let body: serde_json::Value = serde_json::from_str(&parse(&answer).1).expect("JSON");
    assert_eq!(body["code"], "UM0502");
    assert!(body["help"].as_str().unwrap().contains("http://app.localhost"), "{body}");
    for accept in ["", "Accept: */*\r\n", "Accept: text/html,application/json\r\n"] {
        let answer = bed.raw(ask(accept)).await;
        assert!(parse(&answer).1.starts_with("UM0502: "), "{answer}");
        assert!(!answer.to_lowercase().contains("\r\nserver:"), "{answer}");
    }
}

#[tokio::test]
async fn problems_become_statuses_by_kind() {
    let bed = Bed::serving(
        Limits::default(),
        handler(|request| async move {
            let code: u16 = request.uri().path()[1..].parse().unwrap();
            let code = umbel_core::code::all().find(|c| c.entry().number == code).unwrap();
            Err(umbel_core::Problem::new(code, "as asked").with_cause("secret path"))
        }),
    )
    .await;
    for (code, status) in
        [("505", 503), ("512", 400), ("514", 502), ("516", 408), ("507", 413), ("525", 504), ("528", 403)]
    {
        let (got, body) = bed.get("app.localhost", &format!("/{code}")).await;
        assert_eq!(got, status, "{code}: {body}");
        assert!(body.starts_with(&format!("UM0{code}: as asked\n  help: ")), "{body}");
        assert!(!body.contains("secret"), "{body}");
    }
}

#[tokio::test]
async fn a_component_that_does_not_run_is_unavailable_until_it_does() {
    let bed = Bed::new(Limits::default()).await;
    bed.components.set("c", "app", None);
    bed.provider.put_link(link("default", "c", &[])).await.unwrap();
    let (status, body) = bed.get("app.localhost", "/").await;
    assert!(status == 503 && body.contains("UM0505"), "{status} {body}");
    bed.components.set("c", "app", Some(says("now")));
    assert_eq!(bed.get("app.localhost", "/").await, (200, "now".into()));
}

#[tokio::test]
async fn a_server_that_is_held_says_that_it_starts_until_all_routes_are_known() {
    let config = Config { listen: ([127, 0, 0, 1], 0).into(), held: true, ..Config::default() };
    let bed = Bed::with(config).await;
    bed.add("default", "app", says("app"), &[]).await.unwrap();
    // Also what is known already: the link for a longer path may still be missing.
    for host in ["app.localhost", "later.localhost", "127.0.0.1"] {
        let answer = bed.raw(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        let (status, body) = parse(&answer);
        assert!(status == 503 && body.contains("UM0517") && body.contains("is starting"), "{answer}");
        assert!(answer.to_lowercase().contains("\r\nretry-after: 1\r\n"), "{answer}");
    }
    bed.server.release();
    assert_eq!(bed.get("app.localhost", "/").await, (200, "app".into()));
    assert_eq!(bed.get("later.localhost", "/").await.0, 404);
    bed.add("default", "later", says("later"), &[]).await.unwrap();
    assert_eq!(bed.get("later.localhost", "/").await, (200, "later".into()));
}

#[tokio::test]
async fn a_link_gets_another_name_and_answers_all_the_while() {
    let bed = Bed::serving(Limits::default(), says("hi")).await;
    bed.provider.put_link(link("renamed", "app-default", &[])).await.unwrap();
    assert_eq!(bed.get("app.localhost", "/").await, (200, "hi".into()));
    bed.provider.del_link(&link("default", "app-default", &[]).link.key()).await.unwrap();
    assert_eq!(bed.get("app.localhost", "/").await, (200, "hi".into()));
}

#[tokio::test]
async fn the_first_link_keeps_its_address() {
    let bed = Bed::serving(Limits::default(), says("first")).await;
    let problem = bed.add("second", "app", says("second"), &[]).await.unwrap_err();
    assert_eq!(problem.code.to_string(), "UM0503");
    assert!(
        problem.message.contains("app-default") && problem.message.contains("http://app.localhost"),
        "{problem}"
    );
    assert_eq!(bed.get("app.localhost", "/").await, (200, "first".into()));
    // The same link again, to another component, is a change and no conflict.
    bed.components.set("other", "app", Some(says("changed")));
    bed.provider.put_link(link("default", "other", &[])).await.unwrap();
    assert_eq!(bed.get("app.localhost", "/").await, (200, "changed".into()));
    bed.provider.del_link(&link("default", "other", &[]).link.key()).await.unwrap();
    bed.add("second", "app", says("second"), &[]).await.unwrap();
    assert_eq!(bed.get("app.localhost", "/").await, (200, "second".into()));
}

#[tokio::test]
async fn an_address_is_a_listener_that_comes_and_goes_with_its_link() {
    let bed = Bed::serving(Limits::default(), says("shared")).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    bed.add("own", "two", says("own"), &[("address", &address)]).await.unwrap();
    let own = || async {
        let mut stream = tokio::net::TcpStream::connect(&address).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: whatever.localhost\r\nConnection: close\r\n\r\n").await?;
        std::io::Result::Ok(parse(&crate::bed::read_to_end(&mut stream).await))
    };
    assert_eq!(own().await.unwrap(), (200, "own".into()));
    assert!(bed.provider.endpoints().iter().any(|e| e.url == format!("http://localhost:{port}")));
    assert_eq!(
        bed.get("127.0.0.1", "/").await,
        (200, "shared".into()),
        "the own listener takes nothing from the shared one"
    );
    let clash = bed.add("clash", "three", says("x"), &[("address", &address)]).await.unwrap_err();
    assert_eq!(clash.code.to_string(), "UM0503");
    bed.provider.del_link(&link("own", "two-own", &[]).link.key()).await.unwrap();
    let free = || std::net::TcpListener::bind(&address).is_ok();
    wait_for("the port is free again", free).await;
}

#[tokio::test]
async fn a_port_in_use_is_said_with_its_number() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = held.local_addr().unwrap();
    let server = HttpServer::new(Config { listen, ..Config::default() }, Cores::start(1, "test").unwrap());
    let problem = server.bind().await.unwrap_err();
    assert_eq!(problem.code.to_string(), "UM0500");
    assert!(
        problem.message.contains(&listen.port().to_string()) && problem.help.contains("--http-port"),
        "{problem:?}"
    );
    let elsewhere = Config { listen: "203.0.113.1:0".parse().unwrap(), ..Config::default() };
    let server = HttpServer::new(elsewhere, Cores::start(1, "test").unwrap());
    assert_eq!(server.bind().await.unwrap_err().code.to_string(), "UM0501");
    assert_eq!(server.name(), "http-server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changing_links_under_load_loses_no_request() {
    let bed = Arc::new(Bed::new(Limits::default()).await);
    bed.add("stable", "stable", says("stable"), &[]).await.unwrap();
    for version in ["one", "two"] {
        bed.components.set(version, "moving", Some(says("moving")));
    }
    bed.provider.put_link(link("moving", "one", &[])).await.unwrap();
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (bed, stop, done) = (bed.clone(), stop.clone(), done.clone());
        clients.spawn(async move {
            let app = if number % 2 == 0 { "stable" } else { "moving" };
            let mut stream = bed.connect().await;
            while !stop.load(Ordering::Relaxed) {
                stream
                    .write_all(format!("GET / HTTP/1.1\r\nHost: {app}.localhost\r\n\r\n").as_bytes())
                    .await
                    .unwrap();
                let answer = read_until(&mut stream, &format!("\r\n\r\n{app}")).await;
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for round in 0..200 {
        let version = ["one", "two"][round % 2];
        bed.provider.put_link(link("moving", version, &[])).await.unwrap();
        bed.add("guest", "guest", says("guest"), &[("host", "guest.localhost")]).await.unwrap();
        bed.provider.del_link(&link("guest", "", &[]).link.key()).await.unwrap();
        if round % 20 == 0 {
            let before = done.load(Ordering::Relaxed);
            wait_for("requests go on", || done.load(Ordering::Relaxed) > before + 20).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.expect("no client has lost a request");
    }
    let stats = bed.server.stats();
    let stable = stats.routes.iter().find(|r| r.component == "stable-stable").expect("the route");
    assert!(
        stable.requests > 0 && stable.statuses[2] == stable.requests && stable.in_flight == 0,
        "{stable:?}"
    );
}

#[tokio::test]
async fn counters_tell_what_was_answered() {
    let bed = Bed::serving(
        Limits::default(),
        handler(|request| async move {
            let mut response = text("x");
            *response.status_mut() = request.uri().path()[1..].parse().unwrap();
            Ok(response)
        }),
    )
    .await;
    for status in [200, 204, 301, 404, 500] {
        assert_eq!(bed.get("app.localhost", &format!("/{status}")).await.0, status);
    }
    assert_eq!(bed.get("app.localhost", "/101").await.0, 502, "an interim status is no answer");
    assert_eq!(bed.get("no.localhost", "/").await.0, 404);
    wait_for("all is counted", || bed.server.stats().routes[0].in_flight == 0).await;
    let stats = bed.server.stats();
    assert_eq!(stats.routes[0].statuses, [0, 0, 2, 1, 1, 2]);
    assert_eq!((stats.routes[0].requests, stats.unrouted), (6, 1));
    assert!(stats.routes[0].quantile_us(0.99).is_some());
    wait_for("connections are closed", || bed.server.stats().connections.iter().sum::<u64>() == 0).await;
}
