//! Uses what it is granted, each as its request asks: `/args`, `/env`, `/read?path=`, `/write?path=&text=`, `/list?path=`, `/ask?host=&port=`.

use std::fs;
use wasip2::sockets::network::{ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};

fn answer(request: &guest::IncomingRequest) -> String {
    let value = |name: &str| guest::query(request, name).unwrap_or_default();
    let outcome = match guest::path(request).as_str() {
        "/args" => Ok(std::env::args().collect::<Vec<_>>().join(",")),
        "/env" => Ok(std::env::vars().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")),
        "/read" => fs::read_to_string(value("path")).map_err(|error| error.to_string()),
        "/write" => fs::write(value("path"), value("text")).map(|()| "written".into()).map_err(|e| e.to_string()),
        "/list" => list(&value("path")).map_err(|error| error.to_string()),
        "/ask" => ask(&value("host"), guest::number(request, "port", 0) as u16).map_err(|error| format!("{error:?}")),
        _ => Err("no such thing".into()),
    };
    match outcome {
        Ok(text) => format!("ok {text}"),
        Err(error) => format!("failed {error}"),
    }
}

fn list(path: &str) -> std::io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join(","))
}

/// Connects, and reads what the other side says until it closes.
fn ask(host: &str, port: u16) -> Result<String, ErrorCode> {
    let network = wasip2::sockets::instance_network::instance_network();
    let address = match host.parse::<std::net::Ipv4Addr>() {
        Ok(address) => address.octets(),
        Err(_) => look_up(&network, host)?,
    };
    let socket = wasip2::sockets::tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4)?;
    let [a, b, c, d] = address;
    let to = IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (a, b, c, d) });
    socket.start_connect(&network, to)?;
    socket.subscribe().block();
    let (input, _output) = socket.finish_connect()?;
    let mut heard = Vec::new();
    while let Ok(bytes) = input.blocking_read(1024) {
        heard.extend(bytes);
    }
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

fn look_up(network: &wasip2::sockets::network::Network, name: &str) -> Result<[u8; 4], ErrorCode> {
    let found = wasip2::sockets::ip_name_lookup::resolve_addresses(network, name)?;
    loop {
        found.subscribe().block();
        match found.resolve_next_address()? {
            Some(IpAddress::Ipv4((a, b, c, d))) => return Ok([a, b, c, d]),
            Some(IpAddress::Ipv6(_)) => {}
            None => return Err(ErrorCode::NameUnresolvable),
        }
    }
}

guest::serve!(answer);
