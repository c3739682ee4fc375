//! UM05xx: calls, links and budgets. 500 to 549 are HTTP at the edge and going out; 550 to 599 are calls inside the host.

use super::codes;

codes! {
    500 HTTP_PORT_IN_USE Conflict {
        title: "another program listens on the HTTP port",
        why: "One shared listener serves all applications, and a port has one owner.",
        help: "find the owner with `ss -ltnp`, or take any port that is free: `umbel up --http-port 0`",
    }
    501 HTTP_LISTEN_FAILED Invalid {
        title: "the HTTP listener could not be opened",
        why: "The address is not of this machine, or the port is below 1024 and needs a privilege.",
        help: "choose an address of this machine and a port of 1024 or more: `umbel up --http-port 8000`",
    }
    502 HTTP_NO_ROUTE NotFound {
        title: "no application answers at this address",
        why: "No link of an http-server that runs leads from this host name and path to a component. One that is stopped answers nowhere.",
        help: "`umbel ps` lists the URLs of what runs here, `umbel provider list` an http-server that was stopped by hand",
    }
    503 HTTP_ROUTE_CONFLICT Conflict {
        title: "another link already has this host name and path",
        why: "A request must lead to one component. The link that came first keeps the address.",
        help: "give one of the two a `host` or a `path` of its own in the link's source config",
    }
    504 HTTP_LINK_CONFIG Invalid {
        title: "the config of the http-server link is wrong",
        why: "Keys and values are checked when the link is made, so that a slip does not become an address that never answers.",
        help: "known keys are `host` (a comma list), `path` (a comma list of prefixes) and `address` (IP:PORT)",
    }
    505 HTTP_TARGET_DOWN Unavailable {
        title: "the component that answers here is not running",
        why: "The link exists, but its component is still starting, was stopped, or failed.",
        help: "`umbel ps` shows its state and the reason",
    }
    506 HTTP_HOST_INVALID Invalid {
        title: "the request does not say which host it is for",
        why: "A request needs exactly one well-formed Host (HTTP/1.1) or :authority (HTTP/2); anything else could be read differently by two servers.",
        help: "send one Host header: a name or an IP address, with the port if it is not 80",
    }
    507 HTTP_BODY_TOO_LARGE Invalid {
        title: "the request's body is larger than this server takes",
        why: "The limit for request bodies protects the machine's memory and the application's time.",
        help: "send less, or raise `body_bytes_max` of the http-server",
    }
    508 HTTP_BODY_IDLE Timeout {
        title: "the request's body stopped coming",
        why: "A client that neither sends nor ends would hold an instance for ever.",
        help: "send the body without pauses longer than `body_idle_timeout` of the http-server (30 s unless set)",
    }
    509 HTTP_METHOD_REFUSED Invalid {
        title: "the method is not served",
        why: "CONNECT turns a request into a tunnel, which a component cannot answer.",
        help: "use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS",
    }
    510 HTTP_STOPPED Unavailable {
        title: "the HTTP server is stopping",
        why: "It finishes what it has and takes nothing new.",
        help: "start the platform again: `umbel up`",
    }
    511 HTTP_TOO_MANY_CONNECTIONS Exhausted {
        title: "there are too many open connections",
        why: "The number of connections is limited so that one client cannot use up the machine.",
        help: "close idle connections and try again; `umbel doctor` shows whether this machine allows fewer than usual",
    }
    512 HTTP_MALFORMED Invalid {
        title: "the request is not well-formed HTTP",
        why: "Forms that two servers may read differently are refused: bare line feeds, folded headers, more than one length.",
        help: "send lines that end in CR LF, and either one Content-Length or `Transfer-Encoding: chunked`",
    }
    513 HTTP_HEAD_TOO_LARGE Invalid {
        title: "the request's headers are too large",
        why: "Headers are held in memory until they are complete, so their size and number are limited.",
        help: "send fewer or shorter headers and cookies (64 KiB and 100 headers unless set)",
    }
    514 HTTP_BAD_RESPONSE Guest {
        title: "the component's response cannot be sent",
        why: "Status codes below 200 belong to the server; a component answers with 200 to 599.",
        help: "fix the status code that the component sets",
    }
    515 HTTP_LINK_CONTRACT Invalid {
        title: "the http-server does not carry this contract",
        why: "It brings requests from outside to a component's `wasi:http/incoming-handler` (or `wasi:http/handler` of WASI 0.3).",
        help: "write `namespace: wasi`, `package: http`, `interfaces: [incoming-handler]` in the link",
    }
    516 HTTP_HEAD_TIMEOUT Timeout {
        title: "the request's headers took too long",
        why: "A client that sends its headers drop by drop would hold a connection for ever.",
        help: "send the headers at once (10 s unless `head_timeout` is set)",
    }
    517 HTTP_STARTING Unavailable {
        title: "the platform is starting",
        why: "It has just been started, and what answers at which address is not known again yet.",
        help: "retry in a moment; `umbel ps` shows what runs already",
    }
    520 OUT_URI Invalid {
        title: "the outgoing request's URI cannot be called",
        why: "Outgoing calls need an absolute URI with the scheme http or https and a host.",
        help: "call `https://HOST/PATH`",
    }
    521 OUT_DNS Unavailable {
        title: "the name of the called host could not be resolved",
        why: "The resolver of this machine has no address for it.",
        help: "check the name with `getent hosts NAME`",
    }
    522 OUT_CONNECT Unavailable {
        title: "no connection to the called host",
        why: "No address of the host accepted the connection.",
        help: "check that the service listens and that a firewall lets this machine reach it",
    }
    523 OUT_TLS Unavailable {
        title: "no secure connection to the called host",
        why: "The TLS handshake failed: most often a certificate that is expired, for another name, or of an unknown authority.",
        help: "check the certificate; for an authority of your own set `ca_file` in the link's target config",
    }
    524 OUT_CONNECT_TIMEOUT Timeout {
        title: "the called host did not accept the connection in time",
        why: "Resolving, connecting and the TLS handshake share one limit.",
        help: "check the host, or raise `connect_timeout_ms` in the link's target config",
    }
    525 OUT_FIRST_BYTE_TIMEOUT Timeout {
        title: "the called host did not answer in time",
        why: "The request was sent, but the head of the response did not come.",
        help: "check the service, or raise `first_byte_timeout_ms` in the link's target config",
    }
    526 OUT_BODY_TIMEOUT Timeout {
        title: "the response of the called host stopped",
        why: "The pause between two parts of the body was longer than allowed.",
        help: "check the service, or raise `between_bytes_timeout_ms` in the link's target config",
    }
    527 OUT_PROTOCOL Unavailable {
        title: "the exchange with the called host broke off",
        why: "The connection ended, or what came was not HTTP.",
        help: "check the service's log; a retry may help if the call can be repeated",
    }
    528 OUT_ADDRESS_DENIED Denied {
        title: "the called host has a private address",
        why: "The link says `deny_private`: loopback, link-local and private networks are out of reach.",
        help: "call a public host, or set `deny_private: \"false\"` in the link's target config",
    }
    529 OUT_CONFIG Invalid {
        title: "the config of the http-client is wrong",
        why: "Keys and values are checked when the provider starts or the link is made.",
        help: "known keys are `ca_file`, `deny_private`, `http2`, `connect_timeout_ms`, `first_byte_timeout_ms`, `between_bytes_timeout_ms`, `idle_timeout_ms`, `idle_per_host_max`, `connections_max`",
    }
    530 OUT_REQUEST_BODY Guest {
        title: "the body of the outgoing request broke off",
        why: "The component ended or failed before it had written the whole body.",
        help: "see the component's log: `umbel logs`",
    }
    531 OUT_CONNECTIONS Exhausted {
        title: "too many outgoing connections are open",
        why: "The connections of a link (or of all links without config of their own) are limited, all of them carry requests, and none became free in time.",
        help: "call less at once, or raise `connections_max` in the link's target config",
    }
}
