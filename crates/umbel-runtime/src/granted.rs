//! What a guest has of WASI: a log for its output, clocks, randomness, and what of the machine it was granted.

mod folder;

pub use folder::{Around, Granted, OwnFolder};

use crate::calls::{Level, Stream};
use crate::ctx::Shared;
use crate::logs::{self, LogPipe};
use folder::Place;
use std::net::SocketAddr;
use std::sync::Arc;
use umbel_core::code::guest::{GRANT_UNUSABLE, SOCKET_DENIED};
use umbel_core::grants::{Endpoint, EndpointHost};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, WasiCtx};

pub(crate) fn wasi(shared: &Arc<Shared>) -> WasiCtx {
    let grants = &shared.granted.grants;
    let mut wasi = WasiCtx::builder();
    wasi.stdout(LogPipe::new(shared, Stream::Stdout));
    wasi.stderr(LogPipe::new(shared, Stream::Stderr));
    // The first argument is the program's name, as everywhere.
    wasi.args(&[&shared.id]).args(&grants.args);
    for (name, value) in &grants.env {
        wasi.env(name, value);
    }
    for (folder, place) in grants.folders.iter().zip(shared.granted.folders()) {
        let access = if folder.writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        let mut open = |place: Place<'_>| wasi.preopened_dir(place.path(), &folder.at, access).map(drop);
        if let Err(error) = place.and_then(|place| open(place).map_err(|error| format!("{error:#}"))) {
            let text = format!("{GRANT_UNUSABLE}: the folder `{}` cannot be opened: {error}", folder.path);
            logs::log(shared, Level::Warn, Stream::Host, "grants", &text);
        }
    }
    if let Some((path, at)) = shared.granted.own()
        && let Err(error) = wasi.preopened_dir(path, at, FsPerms::ReadWrite)
    {
        let text = format!("{GRANT_UNUSABLE}: its own folder cannot be opened: {error:#}");
        logs::log(shared, Level::Warn, Stream::Host, "grants", &text);
    }
    let any = !(grants.connect.is_empty() && grants.listen.is_empty());
    wasi.allow_tcp(any).allow_udp(any);
    let looks_up = |endpoint: &Endpoint| !matches!(endpoint.host, EndpointHost::Net(..));
    wasi.allow_ip_name_lookup(grants.connect.iter().any(looks_up));
    if any {
        let shared = shared.clone();
        wasi.socket_addr_check(move |address, wanted| Box::pin(is_granted(shared.clone(), address, wanted)));
    }
    wasi.build()
}

async fn is_granted(shared: Arc<Shared>, address: SocketAddr, wanted: SocketAddrUse) -> bool {
    let grants = &shared.granted.grants;
    let (endpoints, does) = match wanted {
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind | SocketAddrUse::TcpListen => {
            (&grants.listen, "listen at")
        }
        SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend => (&grants.connect, "connect to"),
        // Whoever may listen hears everybody; who only asks hears those that it may ask.
        SocketAddrUse::TcpAccept => return true,
        SocketAddrUse::UdpReceive if !grants.listen.is_empty() => return true,
        SocketAddrUse::UdpReceive => (&grants.connect, "hear"),
    };
    // Who may connect needs an address of its own, which the system chooses.
    let is_own = matches!(wanted, SocketAddrUse::TcpBind | SocketAddrUse::UdpBind)
        && address.port() == 0
        && address.ip().is_unspecified()
        && !grants.connect.is_empty();
    if is_own {
        return true;
    }
    for endpoint in endpoints {
        let covered = match endpoint.covers(address) {
            Ok(covered) => covered,
            Err(name) => has_address(name, address).await,
        };
        if covered {
            return true;
        }
    }
    if matches!(wanted, SocketAddrUse::UdpReceive) {
        // Strangers send what they like; it is no news.
        return false;
    }
    let key = if does == "listen at" { "listen" } else { "connect" };
    let text = format!(
        "{SOCKET_DENIED}: {} may not {does} {address}; add it to `grants.{key}` of the manifest",
        shared.id
    );
    logs::log(&shared, Level::Warn, Stream::Host, "sockets", &text);
    false
}

/// Whether the address is one of the name's at this moment.
async fn has_address(name: &str, address: SocketAddr) -> bool {
    match tokio::net::lookup_host((name, address.port())).await {
        Ok(mut found) => found.any(|found| found.ip().to_canonical() == address.ip().to_canonical()),
        Err(_) => false,
    }
}
