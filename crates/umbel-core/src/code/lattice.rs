//! UM06xx: messages and durable state.

use super::codes;

codes! {
    600 INVALID_HEADER Invalid {
        title: "not a header",
        why: "Headers travel as lines of text: a name has no spaces and no colon, a value no line break.",
        help: "put what does not fit into the message's body",
    }
    601 INVALID_SUBJECT Invalid {
        title: "not a subject",
        why: "A subject is made of tokens with dots between them; wildcards are allowed only where one subscribes.",
        help: "write it as `token.token`, with `*` for any one token and a final `>` for the rest when subscribing",
    }
    602 NO_RESPONDERS Unavailable {
        title: "nobody answers on this subject",
        why: "The service that would answer is not running, or is on another lattice.",
        help: "see with `umbel ps` and `umbel tree` what runs; start the platform with `umbel up`",
    }
    603 REQUEST_TIMEOUT Timeout {
        title: "no answer within the deadline",
        why: "Somebody received the request but has not answered in time. What it asked for may or may not have happened.",
        help: "look at `umbel ps` for the outcome before trying again; `umbel logs` may say what is slow",
    }
    604 MESSAGE_TOO_LARGE Invalid {
        title: "a message, key or value is too large",
        why: "Everything that is sent or stored has a limit, so that one sender cannot exhaust the host.",
        help: "make it smaller; large files belong into an artifact, not into config",
    }
    605 RESPONDER_BUSY Exhausted {
        title: "the queue of whoever would answer is full",
        why: "More requests arrive than the service answers.",
        help: "try again; if it stays, `umbel tree` shows whether the service is stuck",
    }
    606 LATTICE_CLOSED Unavailable {
        title: "the lattice is closed",
        why: "The platform is stopping, or has stopped.",
        help: "start it again with `umbel up`",
    }
    607 KEY_EXISTS Conflict {
        title: "the entry exists already",
        why: "It was to be created only if there was none.",
        help: "read what is there first, or choose another name",
    }
    608 WRONG_REVISION Conflict {
        title: "somebody else has changed the entry meanwhile",
        why: "The write was to happen only if the entry was still at the revision that was read.",
        help: "read the entry again and repeat the change on what it is now",
    }
    609 INVALID_KEY Invalid {
        title: "not a key",
        why: "Keys of stored entries are limited to what every state engine can hold.",
        help: "use letters, digits and - / _ = . only",
    }
    610 REVISION_GONE Conflict {
        title: "the changes since this revision are no longer known",
        why: "Deletes are remembered for a limited number of changes, and not over a restart.",
        help: "watch from the start",
    }
    611 STATE_LOCKED Conflict {
        title: "another process has the state file open",
        why: "A state folder belongs to one host at a time.",
        help: "stop the other one with `umbel down`, or give this one its own folder",
    }
    612 STATE_DAMAGED Internal {
        title: "the state file is damaged",
        why: "Its contents do not fit their checksums: the disk lost or changed something, or the file was cut or edited. \
              It has been left as it is.",
        help: "move it away (keep it) and put back a copy of it from a backup, or start without it and deploy the applications again",
    }
    613 STATE_FOREIGN Invalid {
        title: "the file is not a state file of Umbel",
        why: "Something else has written it. It has been left as it is.",
        help: "move it away, or choose another state folder",
    }
    614 STATE_VERSION Version {
        title: "the state file has another format version",
        why: "It was written by another version of Umbel. It has been left as it is.",
        help: "use the version of Umbel that wrote it (`umbel version`), or choose another state folder",
    }
    615 STATE_READ_ONLY Denied {
        title: "the state file or its folder cannot be written",
        why: "The file system is read-only, or the permissions do not allow it.",
        help: "make the folder writable for the user that runs the platform, or choose another state folder",
    }
    616 STATE_DISK_FULL Exhausted {
        title: "there is no space left for the state file",
        why: "The file system is full, or a quota is reached. Nothing was changed; what runs keeps running.",
        help: "free some space (`df` shows where) and try again",
    }
    617 STATE_IO Internal {
        title: "the state file cannot be read or written",
        why: "The operating system reported an error. The write may or may not have happened.",
        help: "look at the cause and at the disk (`dmesg`); it is tried again with the next write",
    }
    618 STATE_TOO_LARGE Exhausted {
        title: "the state has reached its limit of size",
        why: "All entries together may use a limited number of bytes, because they are held in memory.",
        help: "delete applications or versions that are no longer needed with `umbel undeploy`",
    }
    619 BAD_ANSWER Version {
        title: "an answer could not be understood",
        why: "Whoever answered speaks another version of the protocol.",
        help: "compare `umbel version` on both sides, and use the newer one",
    }
    620 CONTROL_REFUSED Conflict {
        title: "the host refused a control request",
        why: "The message is the host's own; hosts that are not Umbel give no code.",
        help: "look at the message, and at `umbel events` for what the host did",
    }
    621 BAD_REQUEST Invalid {
        title: "a request could not be understood",
        why: "It is not the JSON that its subject asks for, or of another version of the protocol.",
        help: "compare `umbel version` on both sides; the fields are in docs/protocols",
    }
    622 NATS_SPEC Invalid {
        title: "the address or credentials of the NATS server cannot be used",
        why: "They are read and checked before anything is connected: addresses, seeds, files, and which of them go together.",
        help: "look at the key that is named; addresses are `nats://HOST:PORT` or `tls://HOST:PORT`, user seeds begin with SU",
    }
    623 NATS_UNREACHABLE Unavailable {
        title: "the NATS server cannot be reached",
        why: "Nothing answers at its addresses, or what answers is no NATS server.",
        help: "see that it runs and that its port is open from here; start one with `nats-server -js`",
    }
    624 NATS_REFUSED Denied {
        title: "the NATS server refuses these credentials",
        why: "It does not know the user, token or key, or what they may do does not include it.",
        help: "compare them with the server's configuration; a user JWT may have expired",
    }
    625 NATS_TLS Invalid {
        title: "no TLS connection with the NATS server",
        why: "Its certificate is not trusted or is of another name, it wants a certificate of ours, or one of the two has no TLS.",
        help: "name the authority that signed its certificate, and our certificate and key if it asks for them",
    }
    626 NATS_NO_JETSTREAM Unavailable {
        title: "the NATS server has no JetStream for this account",
        why: "The lattice keeps its state in JetStream. It is off in the server, off for the account, or in another domain.",
        help: "start the server with `jetstream` in its configuration, or name the domain of the one that has it",
    }
    627 NATS_VERSION Version {
        title: "the NATS server is too old",
        why: "The lattice needs consumers and headers as servers have them since version 2.10.",
        help: "use a nats-server of version 2.10 or later",
    }
    628 DISCONNECTED Unavailable {
        title: "the connection to the NATS server is lost",
        why: "It is being made again, for as long as that takes. What was asked for just before may or may not have happened.",
        help: "try again; if it stays, see that the server runs and can be reached",
    }
    629 NATS_STATE Exhausted {
        title: "JetStream did not take or give an entry",
        why: "The reason is the server's own: a limit of storage or of the account, a permission, or a server without a leader.",
        help: "look at the reason, and at the server's log; `nats account info` shows limits",
    }
    650 NATS_SERVER_MISSING Invalid {
        title: "there is no nats-server to start",
        why: "`--with-nats` and `--leaf` start a nats-server beside the platform, and the program was not found.",
        help: "install nats-server, or name the program with `--nats-server FILE`; without it, `--nats URL` uses a server that runs",
    }
}
