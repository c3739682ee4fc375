//! Somebody on the nats-server who floods a host with what makes no sense: it is answered or dropped, memory stays bounded, and everything goes on.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use umbel_testkit::platform::application;
use umbel_testkit::{NatsServer, Platform, example};

/// A client of the server that speaks its text protocol, and sends what no library would.
struct Stranger {
    stream: BufReader<TcpStream>,
}

impl Stranger {
    fn connect(server: SocketAddr) -> Stranger {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut stranger = Stranger { stream: BufReader::new(stream) };
        stranger.send(
            b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\nSUB _INBOX.me.> 1\r\n",
        );
        stranger
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    fn publish(&mut self, subject: &str, reply: &str, payload: &[u8]) {
        let head = format!("PUB {subject} {reply} {}\r\n", payload.len());
        self.send(&[head.as_bytes(), payload, b"\r\n"].concat());
    }

    /// The next message that is for it.
    fn hear(&mut self) -> Vec<u8> {
        loop {
            let mut line = String::new();
            assert!(self.stream.read_line(&mut line).unwrap() > 0, "the server has closed the connection");
            if line.starts_with("PING") {
                self.send(b"PONG\r\n");
            }
            if line.starts_with("MSG ") || line.starts_with("HMSG ") {
                let bytes: usize = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
                let mut payload = vec![0; bytes + 2];
                self.stream.read_exact(&mut payload).unwrap();
                payload.truncate(bytes);
                return payload;
            }
        }
    }
}

fn resident_mib(platform: &Platform) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", platform.pid)).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() >> 10
}

#[test]
fn a_flood_of_what_makes_no_sense_is_outlived_and_memory_stays_bounded() {
    /// More than a queue holds in bytes, of each.
    const EACH: usize = 400;
    let server = NatsServer::start("").unwrap();
    let mut platform = Platform::new(&crate::umbel()).unwrap();
    platform.start_with(&["--nats", &server.url(), "--name", "only"]).unwrap();
    platform.deploy(&application("hello", "v1", &example("hello"), &[])).unwrap();
    platform.wait_for_answer("hello").unwrap();
    let id = platform.json(&["ps"]).unwrap()["hosts"][0]["id"].as_str().unwrap().to_string();
    let before = resident_mib(&platform);

    let (deep, long) = (vec![b'['; 512 << 10], vec![0xff; 512 << 10]);
    let subjects = [
        format!("wasmbus.ctl.v1.default.component.scale.{id}"),
        "wasmbus.ctl.v1.default.link.put".into(),
        "wasmbus.ctl.v1.default.config.put.x".into(),
        format!("umbel.v1.default.host.{id}.call"),
        "wasmbus.evt.default.host_heartbeat".into(),
        "wadm.api.default.model.put".into(),
        "default.hello-hello.wrpc.0.0.1.wrpc:http/incoming-handler@0.1.0.handle".into(),
    ];
    let mut stranger = Stranger::connect(server.address());
    let mut most = before;
    for number in 0..EACH {
        for subject in &subjects {
            stranger.publish(subject, "", if number % 2 == 0 { &deep } else { &long });
        }
        if number % 10 == 0 {
            most = most.max(resident_mib(&platform));
            let begun = Instant::now();
            assert_eq!(platform.get("hello", "/").unwrap().status, 200);
            assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
        }
    }
    // Of 1.4 GiB that were sent. Seven queues may be full, and the connection holds some.
    assert!(most < before + 600, "{most} MiB, and {before} before");

    // Whoever asks is told.
    for (number, subject) in subjects.iter().take(4).enumerate() {
        stranger.publish(subject, &format!("_INBOX.me.{number}"), b"{\"a\": [1, 2");
        let answer: Value = serde_json::from_slice(&stranger.hear()).unwrap();
        let code = answer["problem"]["code"].as_str().unwrap_or_default();
        assert!(answer["success"] == false && code.starts_with("UM"), "{subject}: {answer}");
    }
    assert_eq!(platform.wait_for_answer("hello").unwrap().status, 200);
    let ps = platform.json(&["ps"]).unwrap();
    assert_eq!(ps["applications"][0]["status"], "deployed");
    assert_eq!(
        (ps["components"].as_array().unwrap().len(), ps["hosts"].as_array().unwrap().len()),
        (1, 1),
        "{ps}"
    );
}

#[test]
fn whoever_sends_more_than_the_server_takes_is_cut_off_and_nobody_else() {
    let server = NatsServer::start("").unwrap();
    let mut platform = Platform::new(&crate::umbel()).unwrap();
    platform.start_with(&["--nats", &server.url()]).unwrap();
    let mut stranger = Stranger::connect(server.address());
    stranger.send(b"PUB wasmbus.ctl.v1.default.link.put 2000000\r\n");
    let mut said = String::new();
    // It may be reset after its last word.
    let _ = stranger.stream.read_to_string(&mut said);
    assert!(said.contains("Maximum Payload"), "{said}");
    let config = format!("{{\"k\": \"{}\"}}", "v".repeat(1_200_000));
    let refused = platform.ask_api("PUT", "/v1/configs/long", Some(config.as_bytes())).unwrap();
    assert!(refused.status >= 400 && refused.text().contains("UM0604"), "{}", refused.text());
    platform.succeed(&["ps"]).unwrap();
}
