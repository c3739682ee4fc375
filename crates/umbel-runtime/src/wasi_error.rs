//! Problems as the error codes of wasi:http, which are all that a guest hears of them. The text is in the component's log, and
//! travels along where a code has room for one.

use crate::body::BodyError;
use umbel_core::code::{Code, call, guest, host};
use umbel_core::{Kind, Problem};
use wasmtime_wasi_http::Error;

/// The code that is nearest to why an outgoing request has no response.
pub(crate) fn of(problem: &Problem) -> Error {
    // Guests retry some of these and not others, and expect what the engine's own client says: both waits for bytes are one code.
    let is = |code: Code| problem.code == code;
    match problem.kind {
        _ if is(guest::UNLINKED) || is(host::PROVIDER_STOPPED) => {
            Error::InternalError(Some(format!("{problem}; {}", problem.help)))
        }
        _ if is(call::OUT_URI) => Error::HttpRequestUriInvalid,
        _ if is(call::OUT_DNS) => Error::DnsError { rcode: None, info_code: None },
        _ if is(call::OUT_CONNECT) => Error::ConnectionRefused,
        _ if is(call::OUT_TLS) && is_about_a_certificate(problem) => Error::TlsCertificateError,
        _ if is(call::OUT_TLS) => Error::TlsProtocolError,
        _ if is(call::OUT_FIRST_BYTE_TIMEOUT) || is(call::OUT_BODY_TIMEOUT) || is(call::HTTP_BODY_IDLE) => {
            Error::ConnectionReadTimeout
        }
        _ if is(call::OUT_PROTOCOL) => Error::HttpProtocolError,
        _ if is(call::OUT_ADDRESS_DENIED) => Error::DestinationIpProhibited,
        _ if is(call::OUT_CONFIG) => Error::ConfigurationError,
        _ if is(call::OUT_CONNECTIONS) => Error::ConnectionLimitReached,
        _ if is(call::HTTP_BODY_TOO_LARGE) => Error::HttpRequestBodySize(None),
        Kind::Timeout => Error::ConnectionTimeout,
        Kind::Denied => Error::HttpRequestDenied,
        _ => Error::InternalError(Some(problem.to_string())),
    }
}

/// The code that is nearest to why a body ended early.
pub(crate) fn of_body(error: &BodyError) -> Error {
    match error.downcast_ref::<Problem>() {
        Some(problem) => of(problem),
        None => Error::InternalError(Some(error.to_string())),
    }
}

/// One code of ours is for all that can go wrong with TLS; its causes are the words of the library.
fn is_about_a_certificate(problem: &Problem) -> bool {
    problem.causes.iter().any(|cause| cause.contains("certificate"))
}

#[cfg(test)]
mod tests {
    use super::{of, of_body};
    use crate::body::BodyError;
    use umbel_core::Problem;
    use umbel_core::code::{call, guest, host};

    #[test]
    fn guests_hear_the_nearest_code() {
        let cases = [
            (call::OUT_URI, "HttpRequestUriInvalid"),
            (call::OUT_DNS, "DnsError { rcode: None, info_code: None }"),
            (call::OUT_CONNECT, "ConnectionRefused"),
            (call::OUT_TLS, "TlsProtocolError"),
            (call::OUT_CONNECT_TIMEOUT, "ConnectionTimeout"),
            (call::OUT_FIRST_BYTE_TIMEOUT, "ConnectionReadTimeout"),
            (call::OUT_BODY_TIMEOUT, "ConnectionReadTimeout"),
            (call::OUT_PROTOCOL, "HttpProtocolError"),
            (call::OUT_ADDRESS_DENIED, "DestinationIpProhibited"),
            (call::OUT_CONFIG, "ConfigurationError"),
            (call::OUT_CONNECTIONS, "ConnectionLimitReached"),
            (call::HTTP_BODY_TOO_LARGE, "HttpRequestBodySize(None)"),
            (call::HTTP_BODY_IDLE, "ConnectionReadTimeout"),
            (guest::HOST_DENIED, "HttpRequestDenied"),
            (host::HOST_STOPPING, "InternalError(Some(\"UM0810: why\"))"),
        ];
        for (code, expect) in cases {
            let problem = Problem::new(code, "why");
            assert_eq!(format!("{:?}", of(&problem)), expect, "{code}");
            let body: BodyError = problem.into();
            assert_eq!(format!("{:?}", of_body(&body)), expect, "{code}");
        }
        let tls = Problem::new(call::OUT_TLS, "why").with_cause("invalid peer certificate: Expired");
        assert_eq!(format!("{:?}", of(&tls)), "TlsCertificateError");
        let unlinked = format!("{:?}", of(&Problem::new(guest::UNLINKED, "no link")));
        assert!(unlinked.contains("no link; `umbel link put"), "{unlinked}");
        let other = of_body(&"the wire broke".into());
        assert_eq!(format!("{other:?}"), "InternalError(Some(\"the wire broke\"))");
    }
}
