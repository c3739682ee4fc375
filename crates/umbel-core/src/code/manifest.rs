//! UM02xx: application manifests.

use super::codes;

codes! {
    201 TOO_LARGE Invalid {
        title: "the manifest is too large",
        why: "A manifest may have 1 MiB of text; a larger one is refused before it is read.",
        help: "split the application, or check that this file is a manifest at all",
    }
    202 NOT_TEXT Invalid {
        title: "the manifest is not text",
        why: "Manifests are UTF-8 text without control characters other than tabs and line ends.",
        help: "save the file as UTF-8 text",
    }
    203 SYNTAX Invalid {
        title: "the manifest is neither YAML nor JSON",
        why: "The text breaks the grammar at the place that is named.",
        help: "check indentation, quotes and brackets at this place",
    }
    204 TOO_DEEP Invalid {
        title: "the manifest is nested too deeply",
        why: "No manifest needs more than 32 levels; more is a mistake or an attack.",
        help: "flatten the manifest",
    }
    205 TOO_MANY_NODES Invalid {
        title: "the manifest grows too large when it is read",
        why: "Aliases may repeat parts of a text, but what they grow to is limited: 100,000 values and 4 MiB.",
        help: "write fewer aliases (`*name`), or split the application",
    }
    206 DUPLICATE_KEY Invalid {
        title: "a key is written twice",
        why: "YAML keeps only one of two equal keys, and which one differs between readers; so both are refused.",
        help: "remove or rename one of them",
    }
    207 UNKNOWN_FIELD Invalid {
        title: "a field is not known",
        why: "A field that nothing reads is most often a typing error, so it is refused instead of ignored.",
        help: "remove the field, or correct its name",
    }
    208 WRONG_TYPE Invalid {
        title: "a value is of the wrong type",
        why: "The field wants another type: text, a whole number, a list or a mapping.",
        help: "write a value of the type that is named",
    }
    209 MISSING_FIELD Invalid {
        title: "a field is missing",
        why: "The field has no default.",
        help: "add the field",
    }
    210 NOT_AN_APPLICATION Invalid {
        title: "the text is not an application manifest",
        why: "Manifests are OAM applications: `apiVersion: core.oam.dev/v1beta1` and `kind: Application`.",
        help: "begin the manifest with `apiVersion: core.oam.dev/v1beta1` and `kind: Application`",
    }
    211 INVALID_PART_NAME Invalid {
        title: "the name of a part, config, policy or link is not usable",
        why: "Such names become ids: 1 to 128 characters of a-z, A-Z, 0-9, `-`, `_` and `.`, beginning with a letter or digit.",
        help: "choose a name such as `http-component`",
    }
    212 DUPLICATE_PART Invalid {
        title: "two parts have one name or one id",
        why: "Ids on the lattice are made of the names, with everything but letters and digits as `_`; so `a-b` and `a_b` meet too.",
        help: "rename one of the parts",
    }
    213 UNKNOWN_TARGET Invalid {
        title: "a link's target is not a part of the application",
        why: "A link binds two parts by name; a part of another application is declared with `properties.application`.",
        help: "name a part of `spec.components`",
    }
    214 INVALID_VALUE Invalid {
        title: "a value is out of its range or not in its form",
        why: "Sizes, durations, shares and the like have a unit and a range.",
        help: "write a value such as `64MiB`, `5s`, `50%` or `64KiB/s`",
    }
    215 UNKNOWN_TYPE Invalid {
        title: "the type of a part or trait is not known",
        why: "Parts are `component` or `capability`; traits are `link`, `spreadscaler` or `daemonscaler`.",
        help: "use one of the known types",
    }
    216 CONFLICTING_CONFIG Invalid {
        title: "two configs or secrets of one name differ",
        why: "A config belongs to the whole application, so two of one name with different values cannot both hold.",
        help: "rename one of them, or give both the same values",
    }
    217 DUPLICATE_LINK Invalid {
        title: "two links of a part have one name and contract",
        why: "A source tells its links of one contract apart by their names, `default` unless said.",
        help: "give one of the links a `name:` of its own, or remove it",
    }
    218 UNKNOWN_POLICY Invalid {
        title: "a secret names a policy that does not exist",
        why: "The policy says which store has the secret; it is declared in `spec.policies`.",
        help: "declare the policy in `spec.policies`",
    }
    219 NO_SOURCE Invalid {
        title: "it is not said where a part comes from",
        why: "A part has either an `image`, or an `application` that runs it already; not both and not neither.",
        help: "add `image: <path, file://, oci reference or builtin:NAME>`",
    }
    220 SECOND_SCALER Invalid {
        title: "a part has two scalers",
        why: "One `spreadscaler` or one `daemonscaler` says how many instances there are; two would contradict.",
        help: "keep one of the scalers",
    }
    221 UNSUPPORTED_YAML Invalid {
        title: "the manifest uses a part of YAML that manifests do not need",
        why: "Custom tags, several documents, merge keys and keys that are not plain text have no meaning here.",
        help: "write the fields out",
    }
    222 TOO_MANY_PROBLEMS Invalid {
        title: "there are more problems than are listed",
        why: "The first 100 are listed.",
        help: "solve the listed ones first",
    }
    223 SHARED_PART Invalid {
        title: "a part of another application cannot be configured here",
        why: "The other application starts and configures it; here it only is linked.",
        help: "remove the fields, or set them in the manifest of the other application",
    }
}
