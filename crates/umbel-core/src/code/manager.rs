//! UM09xx: applications: plan and execute.

use super::codes;

codes! {
    901 APPLICATION_NOT_FOUND NotFound {
        title: "there is no such application",
        why: "No manifest of that name has been put on this lattice, or it was deleted.",
        help: "umbel ps",
    }
    902 VERSION_NOT_FOUND NotFound {
        title: "the application has no such version",
        why: "Versions are kept until they are deleted; this one never was, or was deleted.",
        help: "deploy a version that is there, or leave the version out for the newest",
    }
    903 VERSION_EXISTS Conflict {
        title: "the version exists with another content",
        why: "The manifest names its version itself, and a version never changes.",
        help: "change the annotation `version` in the manifest, or remove it so that versions are named for you",
    }
    904 NO_HOST Unavailable {
        title: "no host answers",
        why: "Images are fetched and run by hosts, and none answers on this lattice.",
        help: "umbel up",
    }
    905 NO_HOST_MATCHES Unavailable {
        title: "no host has the labels that a part wants",
        why: "A scaler's `requirements` name labels, and no host that answers has all of them.",
        help: "start a host with the labels, or change `requirements`",
    }
    906 ID_TAKEN Conflict {
        title: "something else runs under the id of a part",
        why: "A component or provider that this application did not start has the id; it is left alone.",
        help: "stop it, or give the part another `id`",
    }
    907 LINK_TAKEN Conflict {
        title: "a link that the application did not make is in the way",
        why: "Another link has the same source, contract and name but says something else; it is left alone.",
        help: "`umbel link list` shows it: `umbel link del SOURCE CONTRACT`, or give the manifest's link a `name` of its own",
    }
    908 CONFIG_TAKEN Conflict {
        title: "a config that the application did not make is in the way",
        why: "A config of that name has other values; it is left alone.",
        help: "delete that config, or rename it in the manifest",
    }
    909 SHARED_PART_MISSING Unavailable {
        title: "a part of another application is missing",
        why: "The part is declared with `application`, and that application is not deployed, not shared, or has no such part.",
        help: "deploy the other application, with the annotation `experimental.wasmcloud.dev/shared: \"true\"`",
    }
    910 BAD_APPLICATION_REQUEST Invalid {
        title: "the application request could not be understood",
        why: "The subject names no operation, or the body is not the JSON that the operation wants.",
        help: "use a client of this protocol version",
    }
    911 CONTENDED Conflict {
        title: "the application was changed by somebody else at the same time",
        why: "Every change is made only if nothing has changed in between; this one lost too often.",
        help: "try again",
    }
    912 BAD_RECORD Internal {
        title: "stored state of an application cannot be read",
        why: "The state was written by a newer version, or is damaged.",
        help: "use the newer version, or delete the application with `umbel undeploy APP --delete` and deploy it again",
    }
    913 NOTHING_TO_ROLL_BACK Conflict {
        title: "there is no earlier version to roll back to",
        why: "A rollback deploys the version that was deployed before, and there was none, or it was deleted.",
        help: "deploy a version by its name",
    }
    914 PART_NOT_RUNNING Unhealthy {
        title: "a part does not run",
        why: "The host reports that the part has failed, or fails again and again.",
        help: "umbel logs",
    }
    915 TOO_MANY_VERSIONS Exhausted {
        title: "the application has too many versions",
        why: "1,000 versions are kept; all of them are deployed or needed for rollbacks.",
        help: "delete versions that are no longer needed",
    }
    916 LOCAL_LINK_APART Invalid {
        title: "a local link leads to another host",
        why: "The link's distance is `local`: importer and server must be on the same host, and the server's scaler puts it elsewhere.",
        help: "give the server the same spread as its importer, or no scaler: then it is put beside it; or let the link be of any distance",
    }
}
