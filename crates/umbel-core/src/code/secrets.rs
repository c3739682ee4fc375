//! UM1170 to UM1189: `wasmcloud:secrets` as the builtin provider keeps them.

use super::codes;

codes! {
    1170 NAME Invalid {
        title: "not a name of a secret",
        why: "A secret's name has 1 to 256 bytes and no control characters.",
        help: "choose another name",
    }
    1171 TOO_LARGE Invalid {
        title: "the secret is too large",
        why: "A secret may have 64 KiB, so that all of them fit into memory. Nothing was changed.",
        help: "keep the large thing elsewhere, sealed with a key, and only the key here",
    }
    1172 FULL Exhausted {
        title: "there are too many secrets",
        why: "All secrets together may be 10000 and have 16 MiB, because they are held in memory. Nothing was changed.",
        help: "delete secrets that are no longer used",
    }
    1173 NOT_FOUND NotFound {
        title: "there is no such secret",
        why: "No secret of that name belongs to the application, or is shared if it is to be a shared one.",
        help: "look at the names that there are; an application sees its own secrets, and shared ones over a link that says `scope: shared`",
    }
    1174 KEY_PERMISSIONS Denied {
        title: "others can read the key of the secrets",
        why: "The key file, or the sealed file beside it, must belong to the user that runs the platform and be readable for nobody else.",
        help: "`chmod 600 FILE` and `chown` it to that user; if others may have read it, make all secrets anew",
    }
    1175 KEY_MISSING NotFound {
        title: "the key of the secrets is missing",
        why: "There are sealed secrets, but not the key that opens them. No new key was made: with it they could never be read.",
        help: "put the key file back from a backup; or move the sealed file away and put the secrets in anew",
    }
    1176 KEY_INVALID Invalid {
        title: "the key of the secrets is not a key",
        why: "A key file has 64 hexadecimal digits and nothing else.",
        help: "put the key file back from a backup, or correct the path to it",
    }
    1177 SEALED Internal {
        title: "the sealed secrets cannot be opened",
        why: "The key is not the one that they were sealed with, or the file was changed or cut. It has been left as it is.",
        help: "put the right key or the file back from a backup; or move the file away and put the secrets in anew",
    }
    1178 VERSION Version {
        title: "the sealed secrets have another format version",
        why: "They were written by another version of Umbel, or are not secrets of Umbel at all. The file has been left as it is.",
        help: "use the version of Umbel that wrote it (`umbel version`), or choose another state folder",
    }
    1179 LOCKED Conflict {
        title: "another process has the secrets open",
        why: "The sealed file belongs to one process at a time.",
        help: "stop the other host with `umbel down`, or give this one a state folder of its own",
    }
    1180 IO Internal {
        title: "the sealed secrets cannot be read or written",
        why: "The operating system reported an error. What is sealed has not changed.",
        help: "look at the cause, and at the permissions and the space of the state folder",
    }
    1181 CONFIG Invalid {
        title: "the config of a secrets provider or link is wrong",
        why: "A key of the config is not known, or its value is not of the form that it takes.",
        help: "the provider has no config; a link takes `scope: application` or `shared`, and `names: A,B` to allow no others",
    }
    1182 NOT_KEPT NotFound {
        title: "a secret that is referred to is not kept",
        why: "A provider, a link or a component refers to a secret that nobody has put, or to another version of it. What needs it waits, and goes on when it is there.",
        help: "put it with `umbel secret put NAME --application APPLICATION`; `umbel secret list` shows what there is",
    }
    1183 REFERENCE Invalid {
        title: "a reference to a secret cannot be used",
        why: "A config whose name begins with `SECRET_` has `name`, `key` and `backend`, as a manifest's `secrets` make it; `field` picks one string of a secret that is a JSON object.",
        help: "deploy the manifest again, or put the config again with these keys",
    }
    1184 BACKEND Unavailable {
        title: "the keeper of a secret cannot be reached",
        why: "The policy of the secret names a backend that does not answer here. `umbel` is the host's own.",
        help: "say `backend: umbel` in the policy's properties and put the secret with `umbel secret put`, or start the backend",
    }
}
