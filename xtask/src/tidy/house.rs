//! The arrows of the house: which of our crates may depend on which. This table is the one in ARCHITECTURE.md.

use super::Finding;
use super::metadata::Metadata;

const FLOORS: &[(&str, &[&str])] = &[
    // L0 vocabulary
    ("umbel-core", &[]),
    ("umbel-wit", &["umbel-core"]),
    // L1 mechanisms: they know nothing of one another
    ("umbel-supervisor", &["umbel-core"]),
    ("umbel-lattice", &["umbel-core", "umbel-wit"]),
    ("umbel-runtime", &["umbel-core", "umbel-wit"]),
    ("umbel-artifact", &["umbel-core"]),
    ("umbel-manifest", &["umbel-core"]),
    // L2 contracts
    ("umbel-provider", &["umbel-core", "umbel-wit", "umbel-supervisor", "umbel-lattice"]),
    // L3 services: they never depend on one another
    ("umbel-builtin", &["umbel-core", "umbel-wit", "umbel-supervisor", "umbel-lattice", "umbel-provider"]),
    (
        "umbel-host",
        &[
            "umbel-core",
            "umbel-wit",
            "umbel-supervisor",
            "umbel-lattice",
            "umbel-artifact",
            "umbel-runtime",
            "umbel-provider",
        ],
    ),
    ("umbel-manager", &["umbel-core", "umbel-manifest", "umbel-supervisor", "umbel-lattice"]),
    ("umbel-api", &["umbel-core", "umbel-manifest", "umbel-supervisor", "umbel-lattice"]),
    // L4 the binary
    (
        "umbel",
        &[
            "umbel-core",
            "umbel-wit",
            "umbel-supervisor",
            "umbel-lattice",
            "umbel-runtime",
            "umbel-artifact",
            "umbel-manifest",
            "umbel-provider",
            "umbel-builtin",
            "umbel-host",
            "umbel-manager",
            "umbel-api",
        ],
    ),
    // for development
    (
        "umbel-testkit",
        &[
            "umbel-core",
            "umbel-wit",
            "umbel-supervisor",
            "umbel-lattice",
            "umbel-runtime",
            "umbel-artifact",
            "umbel-manifest",
            "umbel-provider",
        ],
    ),
    ("xtask", &["umbel-testkit"]),
    ("e2e", &["umbel-core", "umbel-testkit"]),
];

/// What only tests may depend on.
const FOR_TESTS: &str = "umbel-testkit";

pub fn check(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, folder) in &metadata.members {
        let file = format!("{folder}/Cargo.toml");
        let Some((_, allowed)) = FLOORS.iter().find(|(member, _)| member == name) else {
            findings.push(Finding::new(file, 0, format!("`{name}` has no place in the table of the house")));
            continue;
        };
        for (edges, for_tests) in [(&metadata.edges, false), (&metadata.test_edges, true)] {
            for to in edges.get(name).into_iter().flatten().filter(|to| metadata.members.contains_key(*to)) {
                // A crate depends on itself in tests to switch its own features on.
                let fine = allowed.contains(&to.as_str()) || (for_tests && (to == FOR_TESTS || to == name));
                if !fine {
                    findings.push(Finding::new(&file, 0, format!("`{name}` may not depend on `{to}`")));
                }
            }
        }
    }
    findings
}
