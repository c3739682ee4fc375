//! UM01xx: ids, keys, claims and references.

use super::codes;

codes! {
    101 INVALID_NAME Invalid {
        title: "the name is not usable",
        why: "Names become host names and file names: 1 to 63 characters of a-z, 0-9 and -, beginning and ending with a letter or digit.",
        help: "choose a name such as `hello` or `orders-api`",
    }
    102 INVALID_ID Invalid {
        title: "the id is not usable",
        why: "Ids become subjects and file names: 1 to 256 visible ASCII characters without spaces, `*`, `>`, `/` and `\\`.",
        help: "use letters, digits, `_`, `-` and `.`",
    }
}
