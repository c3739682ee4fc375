//! UM055x to UM059x: what a call into a component, or one of its own calls, can end with.

use super::codes;

codes! {
    550 UNLINKED Unavailable {
        title: "an import of the component has no link",
        why: "The component called a contract that no link serves. Links may come later; until then such calls fail.",
        help: "`umbel link put SOURCE TARGET CONTRACT`, or add a `link` trait to the manifest and deploy it",
    }
    551 TRAPPED Guest {
        title: "the component trapped",
        why: "The guest's code did something that WebAssembly forbids, or gave up: a panic in Rust ends as `unreachable`.",
        help: "`umbel logs APP` has the guest's last lines and its backtrace",
    }
    552 CALL_TIMEOUT Timeout {
        title: "the call took longer than the component may",
        why: "The budget `call_time` bounds the time until a response begins, and between two pieces of its body.",
        help: "raise `limits: {call_time: 60s}` in the manifest, or find what the component waits for",
    }
    553 MEMORY_LIMIT Guest {
        title: "the component reached its memory limit",
        why: "An instance asked for more linear memory than its budget `memory` allows, and could not go on without.",
        help: "raise `limits: {memory: 512MiB}` in the manifest, or use less",
    }
    554 STACK_OVERFLOW Guest {
        title: "the component recursed too deep",
        why: "The guest's call stack is full; most often this is a recursion without an end.",
        help: "look for the recursion in the backtrace of `umbel logs APP`",
    }
    555 NO_RESPONSE Guest {
        title: "the component ended without a response",
        why: "The guest's handler returned and never set a response.",
        help: "every path of the handler must set a response, also the failing ones",
    }
    556 INSTANCES_LIMIT Exhausted {
        title: "too many calls of the component at once",
        why: "All instances that its budget allows are busy, and as many calls as may wait are waiting.",
        help: "raise `limits: {instances: …, waiting: …}` in the manifest; `umbel ps` shows the use",
    }
    557 POOL_EXHAUSTED Exhausted {
        title: "the host's instance pool is exhausted",
        why: "All components together run as many instances as the host's pool has slots.",
        help: "`umbel ps` shows who uses them; lower `instances` there, or raise `umbel up --instances`",
    }
    558 GUEST_ERROR Guest {
        title: "the component answered with an error instead of a response",
        why: "The handler returned an error code of wasi:http.",
        help: "the cause names the error code; `umbel logs APP` may say more",
    }
    559 STOPPING Unavailable {
        title: "the component is being stopped",
        why: "It is draining: calls in flight finish, new ones are refused.",
        help: "`umbel ps` shows whether it is to run again; retry",
    }
    560 HOST_DENIED Denied {
        title: "the component may not call that host",
        why: "The host is not in the component's budget `outbound_hosts`; an empty list allows none.",
        help: "add it: `limits: {outbound_hosts: [\"api.example.com\"]}`, and deploy",
    }
    561 INSTANTIATE Guest {
        title: "the component could not be instantiated",
        why: "An instance could not be made: its start function trapped, or it needs more than a pool slot has.",
        help: "the cause says what it needed; `umbel inspect` shows sizes",
    }
    562 COMMAND_FAILED Guest {
        title: "the command ended with a failure",
        why: "The component's `wasi:cli/run` returned an error or exited with a status other than 0.",
        help: "`umbel logs APP` has what it printed",
    }
    563 INVALID_REQUEST Invalid {
        title: "the request cannot be handed to a component",
        why: "wasi:http needs an authority (Host) and a valid target.",
        help: "send a request with a Host header",
    }
    564 NOT_HTTP Invalid {
        title: "the component has no HTTP export",
        why: "An HTTP route leads to a component that exports neither wasi:http/incoming-handler nor wasi:http/handler.",
        help: "`umbel inspect APP` shows its exports; correct the link's target",
    }
    565 STARTING Unavailable {
        title: "the component is starting",
        why: "Its code is being fetched, or compiled for the first time on this machine.",
        help: "retry in a moment; `umbel ps` shows how far it is",
    }
    566 NOT_RUNNING Unavailable {
        title: "the component is not running",
        why: "It could not be started, failed, or was to run once and has done so.",
        help: "`umbel ps` shows its state and the reason",
    }
    568 INSTANCES_RING Exhausted {
        title: "calls within one another hold all instances of the component",
        why: "A call led over links back to a component that waits for it, and all instances that its budget allows are busy: waiting for one could last until the deadline of all.",
        help: "raise `limits: {instances: …}` in the manifest, or break the ring: `umbel link list` shows the links",
    }
    569 INSTANCE_ENDED Unavailable {
        title: "the instance that made a resource has ended",
        why: "A resource belongs to the instance of the component that made it, and that one trapped, was too late, or its call was given up.",
        help: "get the resource anew, as it was got at first; `umbel logs --component SERVER` says why the instance ended",
    }
    570 CONTRACT_MISMATCH Invalid {
        title: "importer and server do not have the same contract",
        why: "A link joins an import to something that serves an interface of that name with other functions or types.",
        help: "`umbel link explain SOURCE CONTRACT` shows where they differ; build both against the same version of the WIT",
    }
    571 NOT_CARRIED Invalid {
        title: "the contract cannot be carried over a link",
        why: "It passes a kind of value that belongs to one instance: a pollable or another resource of the host, a future, or a stream of anything but bytes.",
        help: "change the contract so that it passes bytes, strings, records or resources of its own",
    }
    572 CALL_DEPTH Exhausted {
        title: "components call one another too deep",
        why: "A call led over links to another call, and so on, up to the limit; most often this is a ring.",
        help: "`umbel link list` shows the links; break the ring, or end the recursion in the components",
    }
    573 SERVER_FAILED Unavailable {
        title: "the server of a link failed",
        why: "The component or provider that serves the contract trapped, hit a limit or went away during the call.",
        help: "the cause has its own code; `umbel logs --component SERVER` says more",
    }
    574 UNSUPPORTED_CALL Invalid {
        title: "the server does not have that function",
        why: "It serves the contract in another version, or only a part of it.",
        help: "`umbel link explain SOURCE CONTRACT` shows what it serves; link another server or another version",
    }
    575 HOST_MEMORY Exhausted {
        title: "the host has no memory for the component",
        why: "An instance asked for memory that its budget allows, and the system refused it: memory or address space is short.",
        help: "`umbel ps` shows what components hold; lower their limits, or give the host more (`ulimit -v` may bound it)",
    }
    576 GRANT_UNUSABLE Invalid {
        title: "what the manifest grants cannot be given",
        why: "A folder that a component is granted is not there, is no folder, or may not be opened by the host; its path is not absolute; or the platform's own state, with its keys and secrets, is in it.",
        help: "the cause says which and why: make the folder, or correct `grants.folders` of the manifest",
    }
    577 SOCKET_DENIED Denied {
        title: "the component may not use that address",
        why: "`wasi:sockets` reaches what the manifest grants, and nothing else.",
        help: "add the address to `grants.connect` or `grants.listen` of the component in the manifest",
    }
    578 SERVICE_ENDED Unavailable {
        title: "a service came to its end",
        why: "The manifest says `restart: always`, and the component's `wasi:cli/run` returned: it is started again.",
        help: "`umbel logs APP` has what it printed; for what is done once, write `restart: on-failure`",
    }
}
