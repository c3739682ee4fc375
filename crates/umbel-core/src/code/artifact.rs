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
        why: "What no application refers to any more is removed from the artifact store; or it was never there. The file that it came from is not on this host, and no other host of the lattice has the bytes.",
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
    310 FILE_CHANGED Conflict {
        title: "the file is no longer what was deployed",
        why: "A version of an application means the bytes that its files had when it was put. This host does not have them, nobody on the lattice gives them, and the file has others by now.",
        help: "deploy the manifest again, which makes a version of what the file is now; or put the old file back",
    }
    311 GIVEN_BYTES Invalid {
        title: "another host gave other bytes than it was asked for",
        why: "Its disk or the way to it fails, or something else answers in its place. Nothing of it was kept.",
        help: "look into the log of the host that the message names; deploy the manifest again from the file, which stores it anew",
    }
    320 PAR_MALFORMED Invalid {
        title: "this is not a provider archive",
        why: "A provider archive (PAR) is a tar file, plain or compressed by gzip, with `claims.jwt` and one executable for each target, such as `x86_64-linux.bin`.",
        help: "look at it with `umbel par inspect FILE`, and make one with `umbel par create`",
    }
    321 PAR_TRUNCATED Invalid {
        title: "the provider archive ends too early",
        why: "Its download or copy was cut off, or the tool that made it failed.",
        help: "get it again and compare its size with the original: `ls -l FILE`",
    }
    322 PAR_NAME Invalid {
        title: "a name in the provider archive is not usable",
        why: "Names in an archive are plain file names of up to 100 characters: no `..`, no path from the root, no control characters, and UTF-8.",
        help: "do not use this archive unless you trust who made it; make one with `umbel par create`",
    }
    323 PAR_ENTRY_KIND Invalid {
        title: "the provider archive has something else than files in it",
        why: "Links, devices, pipes, folders and sparse files have no place in an archive: they could lead out of it.",
        help: "do not use this archive unless you trust who made it; make one with `umbel par create`",
    }
    324 PAR_DUPLICATE Invalid {
        title: "a name stands twice in the provider archive",
        why: "Two readers could take two different files for the same one.",
        help: "make the archive again with `umbel par create`, which puts every name into it once",
    }
    325 PAR_TOO_LARGE Invalid {
        title: "the provider archive is too large when it is unpacked",
        why: "All files together may have 2 GiB, `claims.jwt` 64 KiB.",
        help: "strip the executables, for example with `cargo build --release` and `strip`, or make one archive for each target",
    }
    326 PAR_RATIO Invalid {
        title: "the provider archive unpacks to far more than it has",
        why: "Executables compress to a third or less, never to a hundredth: such a file is made to fill a disk.",
        help: "do not use this archive unless you trust who made it; unpack it by hand and make one with `umbel par create`",
    }
    327 PAR_TOO_MANY Invalid {
        title: "the provider archive has too many entries",
        why: "An archive has one file for each target, the claims and the world: 256 entries are far more than there are targets.",
        help: "make one with `umbel par create`, which puts nothing else into it",
    }
    328 PAR_NO_TARGET Invalid {
        title: "the provider archive has no executable for this machine",
        why: "An archive has one executable for each CPU and operating system; the one for this machine is not among them.",
        help: "build the provider for this machine and make the archive again: `umbel par create FILE --binary TARGET=PATH`, one `--binary` for each target",
    }
    329 PAR_UNSIGNED Denied {
        title: "the provider archive is not signed",
        why: "This host starts signed providers only, and nobody vouches for this archive.",
        help: "sign it with `umbel par sign FILE`, or let the host start unsigned providers",
    }
    330 PAR_TARGET Invalid {
        title: "this is not the name of a target",
        why: "A target is `ARCH-OS` in small letters, digits and `_`, as in `x86_64-linux` or `aarch64-macos`.",
        help: "name the target that the executable was built for, such as `x86_64-linux`",
    }
    331 PAR_EXECUTABLE Unavailable {
        title: "the executable of the provider cannot be stored",
        why: "The folder that executables are unpacked to is read-only, full, belongs to somebody else, or its disk fails.",
        help: "check space and rights with `df -h` and `ls -ld` on the folder that the message names, then try again",
    }
    332 PAR_NOT_EXECUTABLE Invalid {
        title: "this cannot be the executable of a provider",
        why: "Of Linux, an executable is an ELF file for the processor that its target names, or a script that begins with `#!`. It is looked at before it goes into an archive, because otherwise it would be found out where the provider is to run.",
        help: "build the provider for the target, or name the one that it was built for: `--binary TARGET=PATH`; `file PATH` shows it",
    }
    340 REGISTRY_UNREACHABLE Unavailable {
        title: "the registry cannot be reached",
        why: "Its name is not known, nothing listens there, or the connection breaks again and again. What was pulled before goes on and starts again without it.",
        help: "check the name and the way to it with `curl -v https://HOST/v2/`, then try again",
    }
    341 REGISTRY_TIMEOUT Timeout {
        title: "the registry does not answer in time",
        why: "It accepted the connection and then said nothing, or sent too slowly for too long.",
        help: "try again; if it stays slow, pull the image once with `umbel pull IMAGE --file FILE` and deploy the file",
    }
    342 REGISTRY_TLS Unavailable {
        title: "there is no secure connection to the registry",
        why: "Its certificate is not of an authority that is trusted here, is for another name or has expired; or it speaks plain HTTP.",
        help: "give the authority's certificate with `--registry-ca FILE` (`umbel pull` and `push`: `--ca`); if it speaks plain HTTP in a network that you trust, list it with `--insecure-registry HOST:PORT` (`--insecure`)",
    }
    343 REGISTRY_UNAUTHENTICATED Unauthenticated {
        title: "the registry wants to know who you are",
        why: "It was given no credentials, or takes those that it was given for wrong.",
        help: "give them with `umbel up --registry-credentials FILE`, with OCI_REGISTRY, OCI_REGISTRY_USER and OCI_REGISTRY_PASSWORD, or with `docker login`",
    }
    344 REGISTRY_DENIED Denied {
        title: "the registry does not allow this",
        why: "It knows who asks, and that one may not do this with this repository.",
        help: "ask its owner for the right to pull or push, or use other credentials",
    }
    345 IMAGE_UNKNOWN NotFound {
        title: "there is no such image in the registry",
        why: "The repository, the tag or the digest does not exist there; some registries also say so to whoever may not see it.",
        help: "check the name and the tag; if the repository is not public, give credentials with `umbel up --registry-credentials FILE`",
    }
    346 REGISTRY_REFUSED Unavailable {
        title: "the registry does not do what it is asked for",
        why: "It answered with a status that means a fault of its own, or that it has too much to do.",
        help: "try again later; if it stays so, look into the registry's log",
    }
    347 REGISTRY_ANSWER Invalid {
        title: "this is no answer of a registry",
        why: "What answers there does not speak the distribution protocol, or sends more than it may.",
        help: "check the host and the port of the reference: `curl -v https://HOST/v2/` answers 200 or 401 at a registry",
    }
    348 IMAGE_MALFORMED Invalid {
        title: "the image's manifest cannot be used",
        why: "It is not JSON of the form that manifests and indexes have, is of another version, or says two things at once.",
        help: "push the image again, for example with `umbel push IMAGE FILE`",
    }
    349 IMAGE_NOT_OURS Invalid {
        title: "the image is neither a component nor a provider archive",
        why: "One layer with the media type of WebAssembly or of provider archives is needed. Container images cannot be run.",
        help: "look at it with `umbel inspect IMAGE`; `umbel push IMAGE FILE` makes one of a component or an archive",
    }
    350 INDEX_DIGEST Invalid {
        title: "the index of the image is not what its digest says",
        why: "The registry, or somebody on the way to it, sent other bytes than those that were asked for. Nothing of it was kept.",
        help: "do not use this registry until it is known why; another one may have the image: `umbel inspect IMAGE@sha256:…`",
    }
    351 MANIFEST_DIGEST Invalid {
        title: "the manifest of the image is not what its digest says",
        why: "The registry, or somebody on the way to it, sent other bytes than those that were asked for. Nothing of it was kept.",
        help: "do not use this registry until it is known why; another one may have the image: `umbel inspect IMAGE@sha256:…`",
    }
    352 CONFIG_DIGEST Invalid {
        title: "the config of the image is not what its digest says",
        why: "The registry, or somebody on the way to it, sent other bytes than those that the manifest names. Nothing of it was kept.",
        help: "do not use this registry until it is known why; another one may have the image: `umbel inspect IMAGE@sha256:…`",
    }
    353 LAYER_DIGEST Invalid {
        title: "the artifact in the image is not what its digest says",
        why: "The registry, or somebody on the way to it, sent other bytes than those that the manifest names. Nothing of it was kept.",
        help: "do not use this registry until it is known why; another one may have the image: `umbel inspect IMAGE@sha256:…`",
    }
    354 IMAGE_NO_PLATFORM NotFound {
        title: "the image is not there for this platform",
        why: "Its index lists an image for each operating system and CPU, and neither this machine's nor WebAssembly is among them.",
        help: "`umbel inspect IMAGE` lists the platforms; `umbel pull IMAGE --platform linux/amd64` takes another one",
    }
    355 REDIRECT_DENIED Denied {
        title: "the registry leads to a place that is not followed",
        why: "Addresses of a link and of clouds' metadata are never asked, nor this machine's own by a registry elsewhere, nor plain HTTP where it is not allowed.",
        help: "check what the registry redirects to with `curl -v`; a server for plain HTTP is allowed with `--insecure-registry HOST:PORT`",
    }
    356 IMAGE_WITHOUT_REGISTRY Invalid {
        title: "the image names no registry",
        why: "No registry is asked unless it is named: a name that was mistyped must not become a download from somewhere.",
        help: "write the registry before it, for example `ghcr.io/TEAM/NAME:TAG` or `docker.io/TEAM/NAME:TAG`; if it is a file, write `./` before its name",
    }
    357 REGISTRY_SETTINGS Invalid {
        title: "the settings of registries cannot be used",
        why: "The file with credentials is not JSON of its form, or the file of an authority has no certificate in PEM form.",
        help: "the file has `{\"HOST\": {\"username\": \"…\", \"password\": \"…\"}}`, or is the `config.json` of docker; authorities are in PEM form, with `-----BEGIN CERTIFICATE-----`",
    }
    358 NOT_PUSHABLE Invalid {
        title: "this file is neither a component nor a provider archive",
        why: "Only those two can be pushed, and what a file is its first bytes say.",
        help: "build the component, or make an archive with `umbel par create`, and push that",
    }
}
