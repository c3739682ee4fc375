//! What a component of an ordinary language tool chain does: it has environment, files and sockets at hand whether it uses
//! them or not. Each request tries one of each and reports the outcome.

use std::fmt::Debug;

fn answer(_: &guest::IncomingRequest) -> String {
    let mut report = String::new();
    let mut line = |what: &str, outcome: String| report.push_str(&format!("{what}: {outcome}\n"));
    line("environment", std::env::vars().map(|(name, _)| name).collect::<Vec<_>>().join(","));
    line("read /etc/passwd", outcome(std::fs::read("/etc/passwd").map(|bytes| bytes.len())));
    line("write /tmp/umbel", outcome(std::fs::write("/tmp/umbel", "x")));
    line("socket", outcome(connect()));
    line("resolve", outcome(wasip2::sockets::ip_name_lookup::resolve_addresses(&network(), "localhost").map(|_| ())));
    println!("standard output works");
    eprintln!("standard error works");
    report
}

fn outcome<T: Debug, E: Debug>(result: Result<T, E>) -> String {
    match result {
        Ok(value) => format!("ok {value:?}"),
        Err(error) => format!("denied {error:?}"),
    }
}

fn network() -> wasip2::sockets::network::Network {
    wasip2::sockets::instance_network::instance_network()
}

fn connect() -> Result<(), wasip2::sockets::network::ErrorCode> {
    use wasip2::sockets::network::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
    let socket = wasip2::sockets::tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4)?;
    let to = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 9, address: (127, 0, 0, 1) });
    socket.start_connect(&network(), to)?;
    socket.subscribe().block();
    socket.finish_connect().map(|_| ())
}

guest::serve!(answer);
