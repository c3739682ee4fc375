use super::*;
use crate::nats::NatsServer;
use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

/// What a new connection is told within a second, if it is.
fn greeting(network: &Network, host: usize) -> Option<String> {
    let second = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&network.address_of(host), second).ok()?;
    stream.set_read_timeout(Some(second)).ok()?;
    let mut first = [0; 4];
    stream.read_exact(&mut first).ok()?;
    Some(String::from_utf8_lossy(&first).into_owned())
}

/// What is missing is said; where continuous integration runs, nothing is.
fn network(hosts: u8) -> Option<Network> {
    match Network::new(hosts) {
        Ok(network) => Some(network),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "continuous integration skips nothing: {error}");
            let _ = std::io::stdout().write_all(format!("\nskipped: {error}\n").as_bytes());
            None
        }
    }
}

#[test]
fn packets_of_one_host_are_lost_and_those_of_others_are_not() {
    let Some(mut network) = network(2) else { return };
    let _server = NatsServer::beyond(&network, "").expect("a nats-server");
    let hears = |network: &Network, host| greeting(network, host).as_deref() == Some("INFO");
    assert!(hears(&network, 0) && hears(&network, 1));
    for loss in [Loss::ALL, Loss::UP, Loss::DOWN] {
        network.lose(0, loss).expect("rules");
        assert!(!hears(&network, 0), "{loss:?}");
        assert!(hears(&network, 1), "{loss:?}");
    }
    network.heal().expect("rules");
    assert!(hears(&network, 0) && hears(&network, 1));
    network.lose(1, Loss { up: 10, down: 10 }).expect("rules");
    let listed =
        output("ip", &["netns", "exec", network.namespace(), "nft", "list", "ruleset"]).expect("rules");
    assert_eq!(listed.matches("numgen random mod 100 < 10 drop").count(), 2, "{listed}");
}
