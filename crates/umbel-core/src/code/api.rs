//! UM10xx: the control API and the command line.

use super::codes;

codes! {
    1001 UNKNOWN_CODE Internal {
        title: "the other side reported a code that this build does not know",
        why: "The platform that answered is newer than this command.",
        help: "compare `umbel version` here and there, and use the newer one",
    }
}
