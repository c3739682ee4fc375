//! UM1100 to UM1119: `wasi:keyvalue` as the builtin provider serves it.

use super::codes;

codes! {
    1100 KEY_TOO_LONG Invalid {
        title: "the key is too long",
        why: "A key of a key-value bucket may have 1024 bytes.",
        help: "use a shorter key, for example a hash of what it is made of, and keep the long text in the value",
    }
    1101 VALUE_TOO_LARGE Invalid {
        title: "the value is too large",
        why: "A value is read and written in one piece, so its size is limited. Nothing was changed.",
        help: "raise `value_bytes_max` in the provider's config, or keep large things in `wasi:blobstore`",
    }
    1102 BUCKET_NAME_TOO_LONG Invalid {
        title: "the name of the bucket is too long",
        why: "A bucket's name may have 256 bytes.",
        help: "open a bucket with a shorter name, or say `bucket` in the config of the link",
    }
    1103 BATCH_TOO_LARGE Invalid {
        title: "the batch is too large",
        why: "All of a batch is held in memory at once, so the number of its keys and the bytes of its values are limited. Nothing was changed.",
        help: "ask for fewer keys at a time",
    }
    1104 FULL Exhausted {
        title: "the key-value store has reached its limit of size",
        why: "All keys and values of one application, or of all together, may use a limited number of bytes. Nothing was changed.",
        help: "delete what is no longer needed, or raise `application_bytes_max` or `total_bytes_max` in the provider's config",
    }
    1105 CURSOR Invalid {
        title: "not a cursor",
        why: "A cursor is what a former page of keys has returned; this is something else.",
        help: "list from the first page, without a cursor",
    }
    1106 NOT_A_NUMBER Conflict {
        title: "the value to increment is not a number",
        why: "`increment` adds to a value that is a whole number in decimal digits; another value stands at this key. It was not changed.",
        help: "use another key for the counter, or set this one to a number first",
    }
    1107 OVERFLOW Conflict {
        title: "the counter would leave the range of its type",
        why: "The sum does not fit the integer type of `increment`. The counter was not changed.",
        help: "set the counter to a smaller number",
    }
    1108 CONFIG Invalid {
        title: "the config of a key-value provider or link is wrong",
        why: "A key of the config is not known, or its value is not of the form that it takes.",
        help: "provider: `value_bytes_max`, `application_bytes_max`, `total_bytes_max`, `page_keys_max`, `watch_timeout_ms`; \
               `keyvalue-redis` also `url`, `prefix`, `timeout_ms`; \
               link: `bucket`, `scope: application` or `shared`; link to a watcher also `watch: SET@KEY,DEL@PREFIX*`",
    }
    1109 CLOSED Unavailable {
        title: "the key-value store is closed",
        why: "Its provider is stopping, or its file could not be opened again after a failure of the disk.",
        help: "`umbel ps` shows the provider and why it does not serve; it is tried again with the next write",
    }
    1110 LOCKED Conflict {
        title: "another process has the key-value store open",
        why: "The store's file belongs to one provider at a time.",
        help: "stop the other host with `umbel down`, or give this one a state folder of its own",
    }
    1111 DAMAGED Internal {
        title: "the key-value store is damaged",
        why: "Its contents do not fit their checksums: the disk lost or changed something, or the file was cut or edited. \
              It has been left as it is.",
        help: "move it away (keep it) and put back a copy of it from a backup, or start without it and with no data",
    }
    1112 FOREIGN Invalid {
        title: "the file is not a key-value store of Umbel",
        why: "Something else has written it. It has been left as it is.",
        help: "move it away, or choose another state folder",
    }
    1113 VERSION Version {
        title: "the key-value store has another format version",
        why: "It was written by another version of Umbel. It has been left as it is.",
        help: "use the version of Umbel that wrote it (`umbel version`), or choose another state folder",
    }
    1114 READ_ONLY Denied {
        title: "the key-value store or its folder cannot be written",
        why: "The file system is read-only, or the permissions do not allow it.",
        help: "make the folder writable for the user that runs the platform, or choose another state folder",
    }
    1115 DISK_FULL Exhausted {
        title: "there is no space left for the key-value store",
        why: "The file system is full, a quota is reached, or the server is at its `maxmemory`. The write did not happen; reads go on.",
        help: "free some space (`df` shows where; `redis-cli info memory` for a server) and try again",
    }
    1116 IO Internal {
        title: "the key-value store cannot be read or written",
        why: "The operating system reported an error. A write may or may not have happened.",
        help: "look at the cause in the host's log and at the disk (`dmesg`); it is tried again with the next write",
    }
    1117 UNREACHABLE Unavailable {
        title: "the key-value server does not answer",
        why: "The Redis server is not there, does not take the connection, or took longer than `timeout_ms`. \
              A write may or may not have happened.",
        help: "check that the server runs and that `url` in the provider's config leads to it; it is tried again with the next call",
    }
    1118 REFUSED Internal {
        title: "the key-value server refuses the call",
        why: "User or password are wrong, the user may not use the keys or scripts, the server only reads, or something else has \
              written to the keys of Umbel.",
        help: "the host's log has what the server said; check `url` and `prefix` in the provider's config, and the server's users",
    }
}
