//! From a URI to a connection: resolve, guard, connect, encrypt.

use super::config::{Http2, Settings};
use super::error::ClientError;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) is_tls: bool,
    /// Without the brackets of an IPv6 literal.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Target {
    pub(crate) fn of(uri: &http::Uri) -> Result<Target, ClientError> {
        let refuse =
            |reason| Err(ClientError::Uri { uri: uri.to_string().chars().take(120).collect(), reason });
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return refuse("only http and https are carried"),
            None => return refuse("it is not absolute"),
        };
        let Some(authority) = uri.authority() else { return refuse("it names no host") };
        if authority.as_str().contains('@') {
            // It would end in logs and on the wire; credentials belong into a header.
            return ClientError::uri_with_credentials(authority.host());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return refuse("it names no host");
        }
        let port = match authority.port() {
            Some(_) => match authority.port_u16() {
                Some(port) if port > 0 => port,
                _ => return refuse("its port is not a number from 1 to 65535"),
            },
            None if is_tls => 443,
            None => 80,
        };
        Ok(Target { is_tls, host: host.to_ascii_lowercase(), port })
    }
}

impl ClientError {
    fn uri_with_credentials<T>(host: &str) -> Result<T, ClientError> {
        Err(ClientError::Uri {
            uri: host.to_string(),
            reason: "credentials in a URI are not sent; use a header",
        })
    }
}

/// Reads the authorities and says which protocols TLS may offer.
pub(crate) fn tls_config(settings: &Settings) -> Result<ClientConfig, ClientError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = &settings.ca_file {
        let fail = |reason: String| ClientError::Config { key: "ca_file".into(), reason };
        let shown = path.display();
        let certificates =
            CertificateDer::pem_file_iter(path).map_err(|e| fail(format!("cannot read {shown}: {e}")))?;
        let before = roots.len();
        for certificate in certificates {
            let certificate = certificate.map_err(|e| fail(format!("{shown} is not PEM: {e}")))?;
            roots
                .add(certificate)
                .map_err(|e| fail(format!("{shown} has a certificate that cannot be used: {e}")))?;
        }
        if roots.len() == before {
            return Err(fail(format!("{shown} has no certificate")));
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = match settings.http2 {
        Http2::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Http2::Off => vec![b"http/1.1".to_vec()],
        Http2::PriorKnowledge => vec![b"h2".to_vec()],
    };
    Ok(config)
}

/// A connection, and whether HTTP/2 is to be spoken on it.
pub(crate) struct Dialled {
    pub(crate) io: TokioIo<Stream>,
    pub(crate) is_h2: bool,
}

/// Connects within `limit`.
pub(crate) async fn dial(
    target: &Target,
    settings: &Settings,
    tls: &Arc<ClientConfig>,
    limit: Duration,
) -> Result<Dialled, ClientError> {
    match tokio::time::timeout(limit, dial_unlimited(target, settings, tls, limit)).await {
        Ok(result) => result,
        Err(_) => {
            Err(ClientError::ConnectTimeout { host: target.host.clone(), port: target.port, after: limit })
        }
    }
}

async fn dial_unlimited(
    target: &Target,
    settings: &Settings,
    tls: &Arc<ClientConfig>,
    limit: Duration,
) -> Result<Dialled, ClientError> {
    let addresses = resolve(target, settings.deny_private).await?;
    let stream = connect(target, &addresses, limit).await?;
    // A request is one or two small writes; waiting for more would only delay it.
    let _ = stream.set_nodelay(true);
    if !target.is_tls {
        let is_h2 = settings.http2 == Http2::PriorKnowledge;
        return Ok(Dialled { io: TokioIo::new(Stream::Plain(stream)), is_h2 });
    }
    let fail = |source| ClientError::Tls { host: target.host.clone(), port: target.port, source };
    let name = ServerName::try_from(target.host.clone()).map_err(|error| fail(Box::new(error)))?;
    let stream =
        TlsConnector::from(tls.clone()).connect(name, stream).await.map_err(|error| fail(error.into()))?;
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok(Dialled { io: TokioIo::new(Stream::Tls(Box::new(stream))), is_h2 })
}

async fn resolve(target: &Target, deny_private: bool) -> Result<Vec<SocketAddr>, ClientError> {
    let fail = |source: io::Error| ClientError::Dns { host: target.host.clone(), source: source.into() };
    let all: Vec<SocketAddr> =
        tokio::net::lookup_host((target.host.as_str(), target.port)).await.map_err(fail)?.collect();
    let Some(first) = all.first() else {
        return Err(fail(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    };
    if !deny_private {
        return Ok(all);
    }
    let public: Vec<SocketAddr> = all.iter().copied().filter(|address| !is_private(address.ip())).collect();
    if public.is_empty() {
        return Err(ClientError::AddressDenied { host: target.host.clone(), address: first.ip() });
    }
    Ok(public)
}

/// Tries the addresses in the resolver's order. When there are several, one that does not answer leaves time for the next.
async fn connect(
    target: &Target,
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<TcpStream, ClientError> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "no address was tried");
    let patience = if addresses.len() > 1 { limit / 3 } else { limit };
    for address in addresses {
        match tokio::time::timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{address}: no answer")),
        }
    }
    let (host, port) = (target.host.clone(), target.port);
    match last.kind() {
        io::ErrorKind::TimedOut => Err(ClientError::ConnectTimeout { host, port, after: patience }),
        _ => Err(ClientError::Connect { host, port, source: last.into() }),
    }
}

/// Whether an address is of this machine or of a network inside: what a guest that may only call the internet must not reach.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
}

fn is_private_v6(v6: Ipv6Addr) -> bool {
    let parts = v6.segments();
    let tail = || {
        let [a, b] = [parts[6].to_be_bytes(), parts[7].to_be_bytes()];
        Ipv4Addr::new(a[0], a[1], b[0], b[1])
    };
    match parts {
        // Mapped, compatible (with :: and ::1) and translated addresses are as private as what they stand for.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0, 0, ..] => parts[6] == 0 || is_private_v4(tail()),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_private_v4(tail()),
        [0x64, 0xff9b, 1, ..] => true,
        [0x2002, b, c, ..] => {
            let [b, c] = [b.to_be_bytes(), c.to_be_bytes()];
            is_private_v4(Ipv4Addr::new(b[0], b[1], c[0], c[1]))
        }
        [first, ..] => (first & 0xfe00) == 0xfc00 || (first & 0xff80) == 0xfe80 || (first & 0xff00) == 0xff00,
    }
}

/// A TCP connection, with or without TLS.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! forward {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut *$self {
            Stream::Plain(inner) => {
                let $stream = Pin::new(inner);
                $call
            }
            Stream::Tls(inner) => {
                let $stream = Pin::new(&mut **inner);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        forward!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        forward!(self, stream => stream.poll_write(cx, data))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self, stream => stream.poll_write_vectored(cx, data))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(inner) => inner.is_write_vectored(),
            Stream::Tls(inner) => inner.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, stream => stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests;
