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
    103 INVALID_NKEY Invalid {
        title: "the key is not usable",
        why: "A public key has 56 and a seed 58 characters of A-Z and 2-7; the last ones are a checksum, so a mistyped key is noticed.",
        help: "copy the whole key again; public keys begin with N, M, V, A, C or X, seeds with S and then that letter",
    }
    104 WRONG_KEY_KIND Invalid {
        title: "the key is of another kind than the one that is needed",
        why: "The first letter of a key says what it is for: N host, M component, V provider, A account, C cluster, X encryption.",
        help: "give a key of the kind that the message names",
    }
    105 CANNOT_SIGN Invalid {
        title: "the key cannot sign",
        why: "X keys encrypt and do not sign.",
        help: "sign with the seed of an account, which begins with SA",
    }
    106 SIGNATURE_MISMATCH Denied {
        title: "the signature does not belong to these bytes and this key",
        why: "The bytes were changed after they were signed, or somebody else signed them.",
        help: "get the signed thing again from whoever signed it",
    }
    107 NOT_SEALED_FOR_THIS Denied {
        title: "what was sealed cannot be opened with this key",
        why: "It was sealed by somebody else, for another key, or was changed on its way.",
        help: "let its sender seal it again for the public key that is meant",
    }
    110 INVALID_REFERENCE Invalid {
        title: "the reference does not say where an artifact is",
        why: "A reference is a file (`./hello.wasm`, `file:///srv/hello.wasm`), an image in a registry (`oci://HOST/NAME:TAG`), a provider that Umbel ships (`builtin:http-server`) or a stored digest (`sha256:…`).",
        help: "write `image: ./hello.wasm` for a file, or `image: builtin:http-server` for a provider that Umbel ships",
    }
    111 INVALID_DIGEST Invalid {
        title: "the digest is not usable",
        why: "A digest is `sha256:` and 64 characters of 0-9 and a-f.",
        help: "copy the whole digest; `umbel inspect` prints it",
    }
    120 CLAIMS_MALFORMED Invalid {
        title: "the claims cannot be read",
        why: "Claims are a JSON web token of wascap revision 3: three parts, each key once, every field of its type.",
        help: "sign the component again, for example with `wash claims sign`",
    }
    121 CLAIMS_TOO_LARGE Invalid {
        title: "the claims are too large",
        why: "Claims of more than 64 KiB are not read.",
        help: "sign the component again with fewer tags",
    }
    122 CLAIMS_ALGORITHM Denied {
        title: "the claims are signed with an algorithm that is not accepted",
        why: "Only Ed25519 is; in particular `none` is not a signature.",
        help: "sign the component again, for example with `wash claims sign`",
    }
    123 CLAIMS_FORGED Denied {
        title: "the signature of the claims is wrong",
        why: "The claims were changed after they were signed, or were not signed by the issuer that they name.",
        help: "get the component again from whoever signed it, or sign it yourself with `wash claims sign`",
    }
    124 CLAIMS_EXPIRED Denied {
        title: "the claims have expired",
        why: "Whoever signed them limited how long they are good for, and that time is over. A clock that is wrong has the same effect.",
        help: "check the clock with `date -u`, then sign the component again",
    }
    125 CLAIMS_NOT_YET_VALID Denied {
        title: "the claims are not valid yet",
        why: "Whoever signed them said from when on they are good, and that time has not come. A clock that is wrong has the same effect.",
        help: "check the clock with `date -u`, or wait",
    }
    126 CLAIMS_OF_OTHER_BYTES Denied {
        title: "the claims belong to other bytes",
        why: "The component or provider was changed after it was signed: the hash in its claims is not the hash of its bytes.",
        help: "get it again from whoever signed it, or sign this one: `wash claims sign` for a component, `umbel par sign` for a provider",
    }
    127 CLAIMS_WRONG_SIGNER Denied {
        title: "the claims name a key that may not stand there",
        why: "Accounts (A) sign components (M) and providers (V); a host (N) signs for itself or is signed by an account.",
        help: "sign with the seed of an account, which begins with SA",
    }
    128 CLAIMS_NO_TARGET Denied {
        title: "the claims say nothing of this executable",
        why: "A provider's claims have a hash for each executable of the archive; this one was put there after it was signed.",
        help: "get the archive again from whoever signed it, or sign this one with `umbel par sign`",
    }
}
