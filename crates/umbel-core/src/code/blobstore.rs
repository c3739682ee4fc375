//! UM1120 to UM1139: containers and objects of `wasi:blobstore`.

use super::codes;

codes! {
    1120 CONTAINER_NOT_FOUND NotFound {
        title: "there is no such container",
        why: "It was never created in the importer's space, or has been deleted. Each application has a space of its own.",
        help: "call `create-container` first; to share containers with another application give both links the config `space`",
    }
    1121 OBJECT_NOT_FOUND NotFound {
        title: "there is no such object",
        why: "It was never written, or an upload of it was not finished, or it has been deleted or moved.",
        help: "`list-objects` names what is there; an object appears when `outgoing-value.finish` has returned",
    }
    1122 NAME_TOO_LONG Invalid {
        title: "the name of a container or object is too long",
        why: "A name may be any text of up to 1,024 bytes of UTF-8.",
        help: "use a shorter name, for example a digest, and keep the long one inside the object",
    }
    1123 BAD_RANGE Invalid {
        title: "the range of bytes begins behind its end",
        why: "`get-data` takes the first and the last byte that are wanted, both inclusive.",
        help: "pass `0` and the size for all of an object; an end behind the last byte is taken as the last byte",
    }
    1124 OBJECT_TOO_LARGE Exhausted {
        title: "the object is larger than the store takes",
        why: "An object may have as many bytes as the config `object_bytes_max` says.",
        help: "raise `object_bytes_max` in the config of the provider or of the link, or write several objects",
    }
    1125 TOO_LARGE_AT_ONCE Invalid {
        title: "too many bytes to be read at once",
        why: "`incoming-value-consume-sync` gives all bytes in one list, and so only up to 64 MiB of them.",
        help: "use `incoming-value-consume-async` and read the stream, or ask `get-data` for a smaller range",
    }
    1126 TOO_MANY_OPEN Exhausted {
        title: "too many objects are open at once",
        why: "A space may have 512 values and lists of names open; each holds a file of the host until it is dropped.",
        help: "drop incoming and outgoing values and lists of names as soon as they are done with",
    }
    1127 STORE_FULL Exhausted {
        title: "there is no room left for the object",
        why: "The file system is full, or would have fewer bytes left than the config `free_bytes_min` keeps free for the host.",
        help: "delete objects, or free some space (`df` shows where), and write the object again",
    }
    1128 STORE_FAILED Unavailable {
        title: "the folder of the store cannot be used",
        why: "It is read-only, belongs to somebody else, or its disk fails. What was acknowledged before is not affected.",
        help: "`umbel logs` of the provider names the folder and the cause; check rights and disk with `ls -ld` and `dmesg`",
    }
    1129 VALUE_UNNAMED Invalid {
        title: "the outgoing value was finished without a name",
        why: "`write-data` says which object a value becomes; nobody called it for this one, so its bytes were dropped.",
        help: "call `container.write-data` before `outgoing-value.finish`",
    }
    1130 VALUE_USED Invalid {
        title: "the outgoing value is used already",
        why: "A value becomes one object: `write-data` takes it once.",
        help: "make a new value for each object; `copy-object` makes another one of the same bytes",
    }
    1131 BODY_OPEN Invalid {
        title: "the stream of the outgoing value is still open",
        why: "The value was finished while its `output-stream` was held; what else would have been written cannot be known.",
        help: "drop the `output-stream` before `outgoing-value.finish`",
    }
    1132 BAD_CONFIG Invalid {
        title: "the config of the blobstore is wrong",
        why: "It takes `root`, `space`, `object_bytes_max` and `free_bytes_min`, from the provider's config or a link's target config; \
              `blobstore-s3` takes `bucket`, `endpoint`, `region`, `access_key_id`, `secret_access_key` and others instead of `root`.",
        help: "correct the entry that the message names, and deploy",
    }
    1133 SERVER_FAILED Unavailable {
        title: "the server of the store does not answer, or refuses the call",
        why: "The S3 server is not there, its keys or its bucket are wrong, or it fails. What was acknowledged before is not affected.",
        help: "`umbel logs` of the provider has what the server said; check `endpoint`, `bucket` and the keys in its config",
    }
}
