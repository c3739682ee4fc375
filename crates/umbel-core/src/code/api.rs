//! UM10xx: the control API and the command line.

use super::codes;

codes! {
    1001 UNKNOWN_CODE Internal {
        title: "the other side reported a code that this build does not know",
        why: "The platform that answered is newer than this command.",
        help: "compare `umbel version` here and there, and use the newer one",
    }
    1002 NOT_RUNNING Unavailable {
        title: "no platform is running here",
        why: "Nothing listens on the API socket of the state folder: the platform was not started, has stopped, or uses another state folder.",
        help: "start it with `umbel up --detach`, or name its state folder with `--state`",
    }
    1003 SOCKET_PATH_TOO_LONG Invalid {
        title: "the path of the API socket is too long",
        why: "Operating systems limit the path of a unix socket to 107 bytes, and the state folder's path uses them up.",
        help: "choose a shorter state folder, for example `--state ~/.umbel`",
    }
    1004 NO_TOKEN Unauthenticated {
        title: "the request carries no valid token",
        why: "Over TCP every request needs the bearer token of the state folder's `api.token`; the unix socket needs none.",
        help: "send `Authorization: Bearer $(cat STATE/api.token)`, or use the unix socket",
    }
    1005 FOREIGN_ORIGIN Denied {
        title: "the request does not come from this machine",
        why: "The API answers loopback names only, so that a web page cannot reach it by rebinding a DNS name.",
        help: "call it as http://127.0.0.1:PORT or http://localhost:PORT",
    }
    1006 BAD_REQUEST Invalid {
        title: "the request is not understood",
        why: "A parameter, a header or the body does not have the form that the OpenAPI document gives.",
        help: "compare with the OpenAPI document at /v1/openapi.json",
    }
    1007 NO_SUCH_ROUTE NotFound {
        title: "the API has nothing at this path",
        why: "The path is misspelt, or belongs to another version of the API.",
        help: "see the OpenAPI document at /v1/openapi.json",
    }
    1008 METHOD_NOT_ALLOWED Invalid {
        title: "the path does not answer this method",
        why: "The path exists, but for other methods.",
        help: "see the OpenAPI document at /v1/openapi.json",
    }
    1009 BODY_TOO_LARGE Invalid {
        title: "the body of the request is too large",
        why: "A request to the API may carry 2 MiB; components are not sent over it but read from files or registries.",
        help: "send less; a manifest names its components by reference",
    }
    1010 REQUEST_TIMEOUT Timeout {
        title: "the platform did not answer within the deadline",
        why: "The host or the application manager is busy or gone; whether the request was carried out is not known.",
        help: "look at `umbel tree` and repeat the command: requests are idempotent",
    }
    1011 NO_HOST Unavailable {
        title: "no host answers on the lattice",
        why: "The API runs, but the host of its lattice has stopped or is still starting.",
        help: "look at `umbel tree` and at the log in the state folder; `umbel down && umbel up --detach` starts anew",
    }
    1012 COMMAND_REFUSED Conflict {
        title: "the platform refused the command",
        why: "The host or the manager gave a reason, but no code of its own.",
        help: "the message says why; `umbel events` shows what happened before",
    }
    1013 NO_SUCH_APPLICATION NotFound {
        title: "there is no application of that name",
        why: "It was never put, was deleted, or has another name.",
        help: "list the applications with `umbel ps`",
    }
    1014 NO_SUCH_NAME NotFound {
        title: "nothing has that name",
        why: "No application, component or provider has a name that begins like that.",
        help: "list what there is with `umbel ps`",
    }
    1015 AMBIGUOUS_NAME Conflict {
        title: "several things have a name that begins like that",
        why: "A name may be shortened as long as only one thing begins with it.",
        help: "write more of the name",
    }
    1016 NEEDS_CONFIRMATION Conflict {
        title: "the command needs a confirmation",
        why: "It destroys something, and there is no terminal on which to ask.",
        help: "add `--yes` when you are sure",
    }
    1017 STATE_FOLDER Denied {
        title: "the state folder cannot be used",
        why: "It cannot be created, read or written by this user, or its disk is full.",
        help: "choose another with `--state DIR`; `umbel doctor` checks it",
    }
    1018 START_FAILED Internal {
        title: "the platform ended while it was starting",
        why: "The causes have its last words; its log is in the state folder.",
        help: "run `umbel up` in the foreground to see everything, or `umbel doctor`",
    }
    1019 START_TIMEOUT Timeout {
        title: "the platform did not become ready in time",
        why: "It was started and is still running, but its API does not answer yet.",
        help: "look at its log in the state folder, then at `umbel tree`",
    }
    1020 DEPLOY_FAILED Unhealthy {
        title: "the application was deployed but is not healthy",
        why: "At least one of its parts failed to start or keeps crashing.",
        help: "see `umbel ps`, `umbel logs APP` and `umbel events`",
    }
    1021 DEPLOY_TIMEOUT Timeout {
        title: "the application was not ready within the deadline",
        why: "It was accepted, and the platform goes on working on it.",
        help: "watch it with `umbel ps -w`, or wait longer with `--timeout`",
    }
    1022 FILE_UNREADABLE NotFound {
        title: "the file cannot be read",
        why: "It does not exist, is not a file, is too large, or this user may not read it.",
        help: "check the path",
    }
    1023 ANSWER_UNREADABLE Version {
        title: "the answer of the platform is not understood",
        why: "This command and the running platform are of versions that do not fit.",
        help: "compare the two versions with `umbel version`, then `umbel down && umbel up --detach`",
    }
    1024 CONNECTION_LOST Unavailable {
        title: "the connection to the platform broke",
        why: "It stopped or was killed while it was answering; whether the request was carried out is not known.",
        help: "look whether it runs with `umbel ps`, then repeat the command",
    }
    1025 NOTHING_TO_LAUNCH NotFound {
        title: "there is nothing to launch at that place",
        why: "`umbel launch` takes a component file, an application manifest, a folder with `umbel.yaml` or `wadm.yaml`, or the name of a bundled example.",
        help: "try `umbel launch hello`, or give a path that begins with `./`",
    }
    1026 NO_ADDRESS NotFound {
        title: "the application has no address",
        why: "None of its providers brings calls from outside to it, or it is not deployed.",
        help: "link an HTTP server to its component in the manifest; `umbel ps` shows addresses",
    }
    1027 STOP_TIMEOUT Timeout {
        title: "the platform did not stop in time",
        why: "It was asked to stop and is still draining calls or stopping what runs in it.",
        help: "wait longer with `--timeout`; `umbel tree` shows what it waits for",
    }
    1028 CHECKS_FAILED Unhealthy {
        title: "some checks failed",
        why: "`umbel doctor` found something that keeps the platform from working well.",
        help: "each failed check names its fix",
    }
    1029 LISTEN_FAILED Conflict {
        title: "the API cannot listen there",
        why: "The port or the socket is in use by another program, or may not be used by this user.",
        help: "choose another port with `--api-port`, or 0 for any free one",
    }
    1030 ENDPOINT_DAMAGED Internal {
        title: "the file that says where the platform listens is damaged",
        why: "`run/endpoint.json` in the state folder is not what this version writes.",
        help: "start the platform again; it writes the file anew",
    }
    1031 NO_SUCH_TOPIC NotFound {
        title: "there is no explanation of that",
        why: "`umbel explain` knows the codes that errors show and a few concepts.",
        help: "list them with `umbel explain`",
    }
    1032 OUTPUT_FAILED Internal {
        title: "the result could not be written",
        why: "The disk behind the output is full, or the terminal is gone.",
        help: "check where the output goes",
    }
    1033 INTERRUPTED Timeout {
        title: "the command was interrupted",
        why: "It ended before what it waited for; the platform goes on.",
        help: "look at the state with `umbel ps`",
    }
    1034 TOKEN_UNUSABLE Denied {
        title: "the file with the API token cannot be used",
        why: "It can be read by others, is empty, or cannot be written.",
        help: "remove `api.token` in the state folder and start the platform again; it writes a new one",
    }
    1035 BAD_ARGUMENT Invalid {
        title: "an argument does not have the form that the command takes",
        why: "A duration, a time, a port or a name was written in a form that is not known.",
        help: "see the command's `--help`",
    }
    1036 MANAGER_ANSWER Internal {
        title: "the application manager failed",
        why: "It answered with an error and no code of its own.",
        help: "look at `umbel tree` and `umbel events`",
    }
    1037 NO_MANAGER Unavailable {
        title: "no application manager answers",
        why: "The API runs, but the application manager of its lattice has stopped or is still starting.",
        help: "look at `umbel tree` and at the log in the state folder; `umbel down && umbel up --detach` starts anew",
    }
    1038 STOP_CUT Timeout {
        title: "the platform ended before everything in it had stopped",
        why: "A second signal ended it at once, or stopping took longer than 30 s. What was acknowledged is on disk all the same; calls under way were cut.",
        help: "`umbel up --detach` starts it again; to let calls finish, send one signal and wait",
    }
}
