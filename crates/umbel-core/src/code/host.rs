//! UM08xx: the host, its state folder and its listeners.

use super::codes;

codes! {
    801 STATE_LOCKED Conflict {
        title: "another host runs on this state folder",
        why: "A state folder belongs to one host at a time, so that two hosts cannot write over one another.",
        help: "use the running one (`umbel ps`), stop it (`umbel down`), or give this one a folder of its own: `umbel up --state DIR`",
    }
    802 STATE_UNUSABLE Internal {
        title: "the state folder cannot be used",
        why: "It could not be made, read or written: permissions, a full disk, or a read-only file system.",
        help: "check the folder that the message names with `ls -ld` and `df`, or choose another: `umbel up --state DIR`",
    }
    803 HOST_KEY_DAMAGED Conflict {
        title: "the host's key is damaged",
        why: "The file with the host's seed does not hold a seed of a host key (SN…).",
        help: "restore the file from a backup; or move it away, and the host starts as a new one",
    }
    804 STALE_GENERATION Conflict {
        title: "the request is older than what runs",
        why: "Each deployment has a generation, and a later one has already reached this host.",
        help: "nothing needs to be done; `umbel ps` shows what runs",
    }
    805 WRONG_HOST Invalid {
        title: "the request names another host",
        why: "The host id in the request is not the one of the subject that it came on.",
        help: "list the hosts' ids with `umbel ps -o json`",
    }
    806 UNKNOWN_COMPONENT NotFound {
        title: "no component of that id runs here",
        why: "The id is not in this host's inventory.",
        help: "`umbel ps` lists components",
    }
    807 UNKNOWN_PROVIDER NotFound {
        title: "no provider of that id or kind is here",
        why: "The id is not in the inventory, or the reference names no builtin of this build.",
        help: "`umbel provider list` shows what runs; `umbel explain capabilities` names the builtins",
    }
    808 PROVIDER_EXISTS Conflict {
        title: "a provider of that id runs already, from another image",
        why: "A provider id stands for one provider; its image cannot be changed in place.",
        help: "stop the provider first, or give the new one another id",
    }
    809 UNKNOWN_CONFIG NotFound {
        title: "a config that the link names does not exist",
        why: "Links and parts name configs; each must be there before it is named.",
        help: "add the config with its properties to the manifest, and deploy",
    }
    810 HOST_STOPPING Unavailable {
        title: "the host is stopping",
        why: "It drains what runs and takes nothing new.",
        help: "`umbel up --detach` starts it again",
    }
    811 RESERVED_LABEL Denied {
        title: "labels that begin with `hostcore.` belong to the host",
        why: "They say what machine it is, and schedulers rely on them.",
        help: "choose another key",
    }
    812 INVALID_CONTROL Invalid {
        title: "the control request is not usable",
        why: "A field is missing, has the wrong type, or does not fit the others.",
        help: "the cause says which field; compare `umbel version` on both sides",
    }
    813 WORKER_UNAVAILABLE Internal {
        title: "a part of the host does not answer",
        why: "A task of the host is being restarted or has given up.",
        help: "`umbel tree` shows which and why",
    }
    814 PROCESS_PROVIDER Invalid {
        title: "the reference does not lead to a provider",
        why: "A provider is a builtin (`builtin:NAME`, or an image whose name ends so), or a file on this machine: a component (`./NAME.wasm`) or an archive (`./NAME.par.gz`). A file is taken for what its first bytes say.",
        help: "name a builtin (`umbel explain capabilities`), the file of a component that exports a contract, or that of an archive (`umbel par inspect FILE`)",
    }
    815 TOO_MANY_ORDERS Exhausted {
        title: "the host works on too many orders at once",
        why: "Orders that wait for calls to end, for bytes or for a compilation have a limit of their own, so that the others need not wait for them.",
        help: "try again in a moment; `umbel ps` shows what drains or compiles",
    }
    816 RECORD_DAMAGED Internal {
        title: "a record of links or config cannot be read",
        why: "What the lattice keeps under this key is not what this version writes; it is left as it is, and nothing is written over it.",
        help: "run the newer version that wrote it, or restore the state folder from a backup",
    }
    817 FEW_FILES Exhausted {
        title: "the machine allows fewer open files than the connections need",
        why: "Every connection is an open file, and some are kept for the platform itself, so that it can always be asked and stopped. The soft limit is raised to the hard one at the start.",
        help: "raise the hard limit of open files before the platform is started: `ulimit -Hn 16384`, or `LimitNOFILE=16384` of a systemd unit",
    }
    818 NO_KEEPER NotFound {
        title: "nothing here keeps secrets",
        why: "Secrets are kept by the builtin `secrets`, and this build is without it.",
        help: "use a build with the feature `secrets`",
    }
    819 NOT_PRIVATE Internal {
        title: "the platform cannot keep its memory to itself",
        why: "Secrets are in its memory, so it leaves no core files and lets other processes of its user not read it; the system refused that.",
        help: "the cause says what the system answered; `umbel up` in another environment may be allowed to",
    }
    820 PROVIDER_NOT_STARTED Unavailable {
        title: "the process of a provider cannot be started",
        why: "Its archive cannot be read, or the host cannot make what holds the process: a socket, a folder, a cgroup.",
        help: "the cause says what; `umbel doctor` checks the machine, `umbel par inspect FILE` the archive",
    }
    821 PROVIDER_EXITED Unavailable {
        title: "the process of a provider has ended",
        why: "It ended by itself, was killed, or lost its connection to the host. It is started again with its links and config, after a pause that grows while it keeps ending; five times in five minutes it is given up.",
        help: "`umbel provider logs PROVIDER` shows its last lines, `umbel tree` how often it was started",
    }
    822 NO_CONTRACT Invalid {
        title: "the component exports no contract that a provider could serve",
        why: "A part of `type: capability` serves contracts to components over links, for example `wasi:keyvalue`. Answering requests and being run are not among them.",
        help: "declare it as `type: component`, or export a contract; `umbel inspect FILE` shows what it exports",
    }
    823 PROVIDER_PROPERTIES Invalid {
        title: "a provider of this kind cannot be given that",
        why: "Most `limits` and all `grants` are the budget and the rights of a component; builtins are code of the host. A process has `memory`, `cpu` and `pids` of `limits`, as far as the machine can hold it to them, and `sandbox`; otherwise it has the rights of its user. `isolation` is for builtins.",
        help: "take the property out of the manifest; `umbel provider list` shows of which kind each provider is",
    }
    830 PROVIDER_STOPPED Unavailable {
        title: "the provider was stopped by hand",
        why: "It is started again by hand, or by a later deploy of its application; until then calls of it fail.",
        help: "`umbel provider start PROVIDER` starts it again",
    }
    831 PROVIDER_MOVES Unavailable {
        title: "the provider is being replaced",
        why: "Calls wait while another provider takes its place, but not for ever.",
        help: "try again; `umbel provider show PROVIDER` shows what it waits for",
    }
    832 SWAP_REFUSED Conflict {
        title: "the provider was not replaced",
        why: "The new one did not start, is not well, or does not take a link that the old one has. The old one serves as before.",
        help: "`umbel provider swap OLD NEW --dry-run` shows what would be moved and what is in the way",
    }
    833 HANDLE_GONE Unavailable {
        title: "a handle is of a provider that has been replaced",
        why: "What a component has opened (a bucket, a container, a cursor) belongs to the provider that opened it. One that is replaced serves its handles until they are dropped, or until its time to drain is over.",
        help: "open it again; a component that is started for each request does so by itself",
    }
    834 PROVIDER_GIVEN_UP Unavailable {
        title: "a provider keeps ending, and is started no more",
        why: "It has ended, or failed to start, five times in five minutes. The reason that it gave last is in the message.",
        help: "mend the reason, then `umbel provider start PROVIDER`; a later deploy starts it too",
    }
    835 FILE_LOAD Denied {
        title: "files are not loaded for clients of the lattice",
        why: "Whoever reaches the lattice could have a host run any file of its machine. Applications that `umbel deploy` brings are not concerned.",
        help: "push it to a registry (`umbel push`), or start the host with `--allow-file-load` or WASMCLOUD_ALLOW_FILE_LOAD=true",
    }
}
