//! What a host is started with.

use crate::process::Own;
use crate::registries;
use crate::wasmcloud::Wasmcloud;
use std::collections::BTreeMap;
use std::time::Duration;
use umbel_core::id::LatticeName;
use umbel_supervisor::process::Policy;

/// Plain settings of one host.
#[derive(Debug, Clone)]
pub struct Config {
    /// The lattice it belongs to.
    pub lattice: LatticeName,
    /// A name for people.
    pub friendly_name: String,
    /// Labels, beside the `hostcore.*` ones that it adds.
    pub labels: BTreeMap<String, String>,
    /// How often it publishes its inventory.
    pub heartbeat: Duration,
    /// How long calls in flight may take when a component or provider is stopped or replaced.
    pub drain: Duration,
    /// How often artifacts that nothing refers to, and compiled code beyond its limit, are removed.
    pub collect: Duration,
    /// Compile processes at the same moment.
    pub compilers: usize,
    /// How this program starts itself again as guardian and as provider. Without it, processes have no guardian, and builtins none.
    pub own: Option<Own>,
    /// What becomes of provider processes when the host is killed. Whatever it is, a host that is stopped ends them.
    pub processes: Policy,
    /// How long they go on then, and wait for another host.
    pub adopt_grace: Duration,
    /// How registries are asked, and who the host is there.
    pub registries: registries::Config,
    /// In what it resembles a host of wasmCloud 1.x.
    pub wasmcloud: Wasmcloud,
}

impl Config {
    /// The defaults on the given lattice.
    pub fn new(lattice: LatticeName) -> Config {
        Config {
            lattice,
            friendly_name: "umbel".into(),
            labels: BTreeMap::new(),
            heartbeat: Duration::from_secs(30),
            drain: Duration::from_secs(20),
            collect: Duration::from_secs(600),
            compilers: 2,
            own: None,
            processes: Policy::End,
            adopt_grace: Duration::from_secs(30),
            registries: registries::Config::default(),
            wasmcloud: Wasmcloud::default(),
        }
    }
}
