//! UM03xx: files, digests and the artifact cache.

use super::codes;

codes! {
    301 FILE_NOT_FOUND NotFound {
        title: "there is no such file",
        why: "The reference names a file that does not exist, or a relative path was looked for in another folder than you think.",
        help: "check the path with `ls -l`, and give it from the root on if in doubt",
    }
    302 NOT_A_FILE Invalid {
        title: "this is not a file that can be read to its end",
        why: "Folders, pipes, sockets and devices cannot be deployed.",
        help: "name the `.wasm` file itself, for example `umbel launch ./hello.wasm`",
    }
    303 ARTIFACT_TOO_LARGE Invalid {
        title: "the artifact is too large",
        why: "The artifact store takes files of up to 512 MiB.",
        help: "build the component with optimisations and without debug information, for example `cargo build --release`",
    }
    304 FILE_UNREADABLE Unavailable {
        title: "the file cannot be read",
        why: "The user that the host runs as may not read it, or the disk or network share that it is on fails.",
        help: "check that the host's user may read it: `ls -l` shows who may",
    }
    305 STORE_UNUSABLE Unavailable {
        title: "the folder of the artifact store cannot be used",
        why: "It is read-only, full, belongs to somebody else, or its disk fails.",
        help: "check space and rights with `df -h` and `ls -ld` on the folder that the message names, then try again",
    }
    306 BLOB_DAMAGED Internal {
        title: "what is stored is damaged",
        why: "The bytes in the artifact store are no longer those of their digest: the disk failed, or something changed the file. They were put aside and are not used.",
        help: "deploy or launch it again from its file, which stores it anew",
    }
    307 DIGEST_UNKNOWN NotFound {
        title: "nothing is stored under this digest",
        why: "What no application refers to any more is removed from the artifact store; or it was never there.",
        help: "deploy or launch it again from its file, which stores it anew",
    }
    308 NO_REGISTRY_CLIENT Invalid {
        title: "images in registries cannot be fetched",
        why: "This build fetches artifacts from files only.",
        help: "fetch the image with `wash pull IMAGE`, and write `image: ./FILE.wasm`; if it is a file already, write `./` before its name",
    }
    309 NOT_AN_ARTIFACT Invalid {
        title: "a provider that Umbel ships has no file",
        why: "`builtin:` names a part of Umbel itself, which only stands as a provider, not as a component.",
        help: "write it under `type: capability`, and give the component a file: `image: ./hello.wasm`",
    }
}
