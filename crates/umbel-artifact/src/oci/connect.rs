//! From a URL to a connection: resolve, guard, connect, encrypt.

use super::address::{is_here, is_metadata};
use super::error::OciError;
use super::settings::{Settings, Times};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// What bytes go over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Whom a connection is made to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// The registry that the user named: it may be anywhere but on a link.
    Registry,
    /// Somebody that the registry named. `here` if the registry is on this machine itself.
    Other { here: bool },
}

/// A connection, and whether it leads to this machine.
pub(super) struct Connected {
    pub(super) stream: Box<dyn Stream>,
    pub(super) here: bool,
}

/// Reads the authorities.
pub(super) fn tls(settings: &Settings) -> Result<ClientConfig, OciError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for path in &settings.ca_files {
        let fail = |reason: String| OciError::Settings { path: path.clone(), reason };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| fail(error.to_string()))?;
        let before = roots.len();
        for certificate in certificates {
            let certificate = certificate.map_err(|error| fail(format!("it is not PEM: {error}")))?;
            roots.add(certificate).map_err(|error| fail(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(fail("it has no certificate".into()));
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// `HOST:PORT` of a URL, without the port that its scheme has anyway: as references name registries.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"))
}

/// Connects within the time for that.
pub(super) async fn connect(
    url: &Url,
    whose: Whose,
    tls: &Arc<ClientConfig>,
    times: &Times,
) -> Result<Connected, OciError> {
    match tokio::time::timeout(times.connect, connect_unlimited(url, whose, tls)).await {
        Ok(connected) => connected,
        Err(_) => {
            Err(OciError::Timeout { host: authority(url), what: "take a connection", after: times.connect })
        }
    }
}

async fn connect_unlimited(url: &Url, whose: Whose, tls: &Arc<ClientConfig>) -> Result<Connected, OciError> {
    let addresses = resolve(url, whose).await?;
    let stream = first(url, &addresses).await?;
    // A request is one or two small writes; waiting for more would only delay it.
    let _ = stream.set_nodelay(true);
    let here = stream.peer_addr().is_ok_and(|peer| is_here(peer.ip()));
    if url.scheme() == "http" {
        return Ok(Connected { stream: Box::new(stream), here });
    }
    let fail = |source| OciError::Tls { host: authority(url), source };
    let host = bare_host(url);
    let name = ServerName::try_from(host).map_err(|error| fail(Box::new(error)))?;
    let stream = TlsConnector::from(tls.clone()).connect(name, stream).await.map_err(|error| {
        // A server that goes away in the middle is away; all else is about trust.
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
                OciError::Unreachable { host: authority(url), source: error.into() }
            }
            _ => fail(error.into()),
        }
    })?;
    Ok(Connected { stream: Box::new(stream), here })
}

/// Without the brackets of an IPv6 literal.
fn bare_host(url: &Url) -> String {
    match url.host() {
        Some(Host::Ipv6(v6)) => v6.to_string(),
        Some(host) => host.to_string(),
        None => String::new(),
    }
}

async fn resolve(url: &Url, whose: Whose) -> Result<Vec<SocketAddr>, OciError> {
    let fail = |source: io::Error| OciError::Unreachable { host: authority(url), source: source.into() };
    let port = url.port_or_known_default().unwrap_or(443);
    let found = tokio::net::lookup_host((bare_host(url), port)).await.map_err(fail)?;
    let all: Vec<SocketAddr> = found.collect();
    if all.is_empty() {
        return Err(fail(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    let refused = |address: &SocketAddr| {
        if is_metadata(address.ip()) {
            return Some("it is an address of a link or of a cloud's metadata");
        }
        match whose {
            Whose::Other { here: false } if is_here(address.ip()) => {
                Some("it is this machine, and the registry is not")
            }
            _ => None,
        }
    };
    // One that is refused among others is refused as a whole: which one is tried would be for the other side to choose.
    match all.iter().find_map(refused) {
        Some(reason) => Err(OciError::Redirect { host: authority(url), to: authority(url), reason }),
        None => Ok(all),
    }
}

/// Tries the addresses in the resolver's order; the time for all of them is the caller's.
async fn first(url: &Url, addresses: &[SocketAddr]) -> Result<TcpStream, OciError> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "no address was tried");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(OciError::Unreachable { host: authority(url), source: last.into() })
}
