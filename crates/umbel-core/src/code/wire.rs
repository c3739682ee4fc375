//! UM063x and UM064x: values, calls and connections on the wire between a host and its provider processes.

use super::codes;

codes! {
    630 WIRE_BROKEN Version {
        title: "what came over the wire could not be read",
        why: "A frame or a value is cut short, too long, or not of the type that both ends have agreed on.",
        help: "build both ends against the same version of the WIT, and compare `umbel version` with the version of the provider's SDK",
    }
    632 WIRE_LIMIT Exhausted {
        title: "a value is too large or too deep for the wire",
        why: "Arguments and results of one call may have 64 MiB, a million values, 100 levels and 64 streams.",
        help: "pass less at once, or pass a `stream<u8>` or an `input-stream`",
    }
    633 NO_RESULT Unavailable {
        title: "the server ended the call without a result",
        why: "It trapped, stopped, or could not read the arguments. A server of wasmCloud 1.x gives no reason.",
        help: "`umbel provider logs PROVIDER` may say why; try again if the call can be repeated",
    }
    634 CALLS_LIMIT Exhausted {
        title: "too many calls are under way at once",
        why: "A provider process carries out a limited number of calls at the same time, and one caller may wait for as many.",
        help: "try again; `umbel provider show PROVIDER` shows whether the provider is slow",
    }
    635 HANDLE_UNKNOWN Invalid {
        title: "the resource is not known to its server",
        why: "It was dropped, was given to somebody else, or its server has been started anew since.",
        help: "get the resource again (for example, open the bucket again) and repeat the call",
    }
    636 HANDLES_LIMIT Exhausted {
        title: "one caller holds too many resources of a server",
        why: "Each resource costs memory there until it is dropped.",
        help: "drop resources that are no longer needed; most often they are opened in a loop",
    }
    637 HELLO_VERSION Version {
        title: "provider and host speak different versions of the protocol",
        why: "The first frame of a connection names the version, and the host knows another one.",
        help: "build the provider with the SDK of the host's version; `docs/protocols/provider.md` says what it is",
    }
    638 HELLO_REFUSED Unauthenticated {
        title: "the host does not know the process that connected",
        why: "The id or the token of the first frame is not the one of a provider that the host has just started; a token is good for one connection.",
        help: "start the provider with `umbel provider start`; a process by hand gets no token",
    }
    639 SUBJECT_DENIED Denied {
        title: "the provider may not use this subject",
        why: "A provider process hears what is sent to it, answers where it was asked, and calls components that it has a link to.",
        help: "put a link from the provider to the component: `umbel link put PROVIDER COMPONENT CONTRACT`",
    }
    640 PEER_SLOW Exhausted {
        title: "the other end of a connection does not read what it is sent",
        why: "What waits for it has a limit; the connection was closed when it was reached.",
        help: "see `umbel provider logs PROVIDER` for what the provider does instead",
    }
    641 NO_BUCKETS Denied {
        title: "the state of the lattice is not offered to providers",
        why: "Manifests, links and configs belong to hosts. A provider is told of what concerns it, and keeps its own data in its folder.",
        help: "use the config and the links that the host tells the provider",
    }
    642 CONNECTION_LOST Unavailable {
        title: "the connection between provider and host has ended",
        why: "The provider process or the host has ended, or one of them closed the connection.",
        help: "`umbel ps` shows whether the provider runs; it is restarted by its policy",
    }
    643 STREAM_BROKEN Unavailable {
        title: "a stream of a call broke off",
        why: "Its writer ended before the stream did, or sent more than its reader allowed.",
        help: "the cause says more; repeat the call if it can be repeated",
    }
    644 CONNECTION_LIMIT Exhausted {
        title: "a provider process asks for too much of its connection",
        why: "Subscriptions and frames of one connection have limits, so that one provider cannot exhaust the host.",
        help: "subscribe once for many calls, as the SDK does",
    }
    645 HOST_DATA Invalid {
        title: "the host data of a provider process cannot be used",
        why: "A provider process reads one line of base64 from its standard input: JSON with its id, its connection, its config and its links.",
        help: "start the provider with `umbel provider start`; for a test by hand use the harness of the SDK",
    }
    646 PROVIDER_SILENT Timeout {
        title: "the provider process did not answer in time",
        why: "A provider answers health checks, links, config changes and its shutdown within a deadline.",
        help: "see `umbel provider logs PROVIDER` for what it does instead; it is restarted when it stays so",
    }
    647 PROVIDER_UNHEALTHY Unhealthy {
        title: "the provider process says that it is not healthy",
        why: "The message is the provider's own.",
        help: "see `umbel provider logs PROVIDER`",
    }
    648 NO_TYPES Invalid {
        title: "the types of the contract are not known",
        why: "Values travel without their types: whoever calls or serves a contract over the wire must know its WIT.",
        help: "let the provider name the contract's WIT (`Factory::interfaces` in the SDK), or put the `world.wasm` into its archive",
    }
}
