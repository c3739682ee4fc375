//! What goes wrong between hosts and their nats-server: partitions in both directions and in one, lost packets, a server that dies, a host
//! that does not keep up. While it does, what is linked within a host serves, and every call ends by its deadline; afterwards everything that was
//! acknowledged is there, and all hosts agree.
//!
//! Partitions and losses are those of a network namespace (`testkit::network`), where packets are lost and connections are told nothing.

mod cluster;

use crate::skip;
use cluster::{Cluster, Load};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use umbel_testkit::nats::NatsServer;
use umbel_testkit::network::{Loss, Network};
use umbel_testkit::proxy::{Proxy, Way};
use umbel_testkit::wait::block_until;

/// How long a fault lasts: longer than a connection is believed in, than a lease is held, and until a lost host is noticed.
const FAULT: Duration = Duration::from_secs(12);

/// A network for so many hosts, or a word why there is none.
fn network(hosts: u8) -> Option<Network> {
    Network::new(hosts).inspect_err(|error| skip(&format!("packets cannot be lost here: {error}"))).ok()
}

fn urls(network: &Network, hosts: usize) -> Vec<String> {
    (0..hosts).map(|host| network.url(host)).collect()
}

/// Somebody who sends events that nobody can read.
struct Noise(TcpStream);

impl Noise {
    fn connect(server: SocketAddr) -> Noise {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n").unwrap();
        Noise(stream)
    }

    fn make(&mut self) {
        let bytes = 128 << 10;
        let head = format!("PUB wasmbus.evt.default.noise {bytes}\r\n");
        self.0.write_all(&[head.as_bytes(), &vec![b'x'; bytes], b"\r\n"].concat()).unwrap();
    }
}

#[test]
fn a_host_that_is_cut_off_in_both_directions_or_in_one_loses_nothing() {
    let Some(mut network) = network(3) else { return };
    let server = NatsServer::beyond(&network, "").unwrap();
    let cluster = Cluster::start(&urls(&network, 3));
    // Each host once; the first of them leads.
    for (host, loss) in [Loss::ALL, Loss::UP, Loss::DOWN].into_iter().enumerate() {
        let load = Load { name: format!("{loss:?}"), fault: FAULT, padding: 0 };
        cluster.survive(&load, &mut network, |n| n.lose(host, loss).unwrap(), |n| n.heal().unwrap());
    }
    drop(cluster);
    drop(server);
}

#[test]
fn with_a_tenth_of_all_packets_lost_everything_goes_on() {
    let Some(mut network) = network(2) else { return };
    let server = NatsServer::beyond(&network, "").unwrap();
    let cluster = Cluster::start(&urls(&network, 2));
    let tenth = Loss { up: 10, down: 10 };
    let load = Load { name: "a tenth".into(), fault: FAULT, padding: 0 };
    let lose = |network: &mut Network| (0..2).for_each(|host| network.lose(host, tenth).unwrap());
    let acked = cluster.survive(&load, &mut network, lose, |network| network.heal().unwrap());
    assert!(acked.during > 0, "kernels send what was lost again: calls are slower, and that is all");
    drop(cluster);
    drop(server);
}

#[test]
fn a_server_that_is_killed_and_started_again_loses_nothing() {
    let mut server = NatsServer::start("").unwrap();
    let cluster = Cluster::start(&[server.url(), server.url()]);
    let load = Load { name: "restart".into(), fault: FAULT, padding: 0 };
    cluster.survive(&load, &mut server, NatsServer::kill, |server| server.again().unwrap());
    // And one that is back at once.
    let load = Load { name: "quick".into(), fault: Duration::ZERO, padding: 0 };
    cluster.survive(&load, &mut server, NatsServer::kill, |server| server.again().unwrap());
}

#[test]
fn a_host_that_does_not_keep_up_is_cut_off_by_the_server_and_comes_back() {
    let server =
        NatsServer::start("max_payload: 262144\nmax_pending: 262144\nwrite_deadline: \"2s\"").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut proxy = runtime.block_on(Proxy::start(server.address())).unwrap();
    let cluster = Cluster::start(&[proxy.url(), server.url()]);
    let load = Load { name: "slow".into(), fault: FAULT, padding: 48 << 10 };
    // More events than go through to one of the hosts; the other takes them all.
    let throttle = |proxy: &mut Proxy| {
        proxy.set(|faults| faults.down = Way::Throttled(10_000));
        let mut noise = Noise::connect(server.address());
        block_until("the server to cut it off", || {
            noise.make();
            server.log().contains("Slow Consumer")
        });
    };
    let heal = |proxy: &mut Proxy| proxy.heal();
    cluster.survive(&load, &mut proxy, throttle, heal);
    drop(cluster);
}
