//! Every subject that is spoken on, built in one place: wasmCloud 1.x's (`facts/wasmcloud.md` §4.1–4.3, §4.7) and ours.
//!
//! Ids may have dots in them, so a subject may have more tokens than its pattern shows: whoever subscribes to all of something
//! uses the `…_any` patterns here, which end in `>` where an id ends the subject.

use umbel_core::id::LatticeName;

/// Control requests that hosts serve: `wasmbus.ctl.v1.{lattice}.…`.
pub mod ctl {
    use super::LatticeName;
    use umbel_core::id::HostId;

    fn prefix(lattice: &LatticeName) -> String {
        format!("wasmbus.ctl.v1.{lattice}")
    }

    /// Every host answers with its description.
    pub fn host_ping(lattice: &LatticeName) -> String {
        format!("{}.host.ping", prefix(lattice))
    }
    /// Inventory of one host.
    pub fn host_get(lattice: &LatticeName, host: &HostId) -> String {
        format!("{}.host.get.{host}", prefix(lattice))
    }
    /// Stops one host.
    pub fn host_stop(lattice: &LatticeName, host: &HostId) -> String {
        format!("{}.host.stop.{host}", prefix(lattice))
    }
    /// Everything about one host: a pattern.
    pub fn host_any(lattice: &LatticeName, host: &HostId) -> String {
        format!("{}.host.*.{host}", prefix(lattice))
    }
    /// Which hosts could run a component.
    pub fn component_auction(lattice: &LatticeName) -> String {
        format!("{}.component.auction", prefix(lattice))
    }
    /// Which hosts could run a provider.
    pub fn provider_auction(lattice: &LatticeName) -> String {
        format!("{}.provider.auction", prefix(lattice))
    }
    /// Starts, scales or stops (count 0) a component.
    pub fn component_scale(lattice: &LatticeName, host: &HostId) -> String {
        format!("{}.component.scale.{host}", prefix(lattice))
    }
    /// Replaces a component's image.
    pub fn component_update(lattice: &LatticeName, host: &HostId) -> String {
        format!("{}.component.update.{host}", prefix(lattice))
    }
    /// Every component command to one host: a pattern.
    pub fn component_any(lattice: &LatticeName, host: &HostId) -> String {
        format!("{}.component.*.{host}", prefix(lattice))
    }
    /// Starts a provider.
    pub fn provider_start(lattice: &LatticeName, host: &HostId) -> String {
        format!("{}.provider.start.{host}", prefix(lattice))
    }
    /// Stops a provider.
    pub fn provider_stop(lattice: &LatticeName, host: &HostId) -> String {
        format!("{}.provider.stop.{host}", prefix(lattice))
    }
    /// Every provider command to one host: a pattern.
    pub fn provider_any(lattice: &LatticeName, host: &HostId) -> String {
        format!("{}.provider.*.{host}", prefix(lattice))
    }
    /// Sets a label of a host.
    pub fn label_put(lattice: &LatticeName, host: &HostId) -> String {
        format!("{}.label.put.{host}", prefix(lattice))
    }
    /// Deletes a label of a host.
    pub fn label_del(lattice: &LatticeName, host: &HostId) -> String {
        format!("{}.label.del.{host}", prefix(lattice))
    }
    /// Every label command to one host: a pattern.
    pub fn label_any(lattice: &LatticeName, host: &HostId) -> String {
        format!("{}.label.*.{host}", prefix(lattice))
    }
    /// Puts a link.
    pub fn link_put(lattice: &LatticeName) -> String {
        format!("{}.link.put", prefix(lattice))
    }
    /// All links.
    pub fn link_get(lattice: &LatticeName) -> String {
        format!("{}.link.get", prefix(lattice))
    }
    /// Deletes a link.
    pub fn link_del(lattice: &LatticeName) -> String {
        format!("{}.link.del", prefix(lattice))
    }
    /// Every link command, served by the queue group [`link_group`]: a pattern.
    pub fn link_any(lattice: &LatticeName) -> String {
        format!("{}.link.*", prefix(lattice))
    }
    /// The queue group of [`link_any`].
    pub fn link_group(lattice: &LatticeName) -> String {
        format!("{}.link", prefix(lattice))
    }
    /// Claims of everything that was started; served by the queue group [`claims_group`].
    pub fn claims_get(lattice: &LatticeName) -> String {
        format!("{}.claims.get", prefix(lattice))
    }
    /// The queue group of [`claims_get`].
    pub fn claims_group(lattice: &LatticeName) -> String {
        format!("{}.claims", prefix(lattice))
    }
    /// Puts a config.
    pub fn config_put(lattice: &LatticeName, name: &str) -> String {
        format!("{}.config.put.{name}", prefix(lattice))
    }
    /// Reads a config.
    pub fn config_get(lattice: &LatticeName, name: &str) -> String {
        format!("{}.config.get.{name}", prefix(lattice))
    }
    /// Deletes a config.
    pub fn config_del(lattice: &LatticeName, name: &str) -> String {
        format!("{}.config.del.{name}", prefix(lattice))
    }
    /// Every config command, served by the queue group [`config_group`]: a pattern.
    pub fn config_any(lattice: &LatticeName) -> String {
        format!("{}.config.>", prefix(lattice))
    }
    /// The queue group of [`config_any`].
    pub fn config_group(lattice: &LatticeName) -> String {
        format!("{}.config", prefix(lattice))
    }
    /// Registry credentials for every host.
    pub fn registry_put(lattice: &LatticeName) -> String {
        format!("{}.registry.put", prefix(lattice))
    }
}

/// What hosts ask for their own config.
pub mod cfg {
    use super::LatticeName;

    /// Asks for credentials of registries: a [`RegistryQuery`](crate::control::RegistryQuery). Whoever keeps them answers.
    pub fn request(lattice: &LatticeName) -> String {
        format!("wasmbus.cfg.{lattice}.req")
    }
}

/// CloudEvents of hosts: `wasmbus.evt.{lattice}.{event}`.
pub mod evt {
    use super::LatticeName;

    /// The subject of one kind of event, e.g. `component_scaled`.
    pub fn event(lattice: &LatticeName, name: &str) -> String {
        format!("wasmbus.evt.{lattice}.{name}")
    }
    /// Every event: a pattern.
    pub fn any(lattice: &LatticeName) -> String {
        format!("wasmbus.evt.{lattice}.>")
    }
}

/// Application requests that the manager serves: `wadm.api.{lattice}.model.…`.
pub mod wadm {
    use super::LatticeName;

    /// The queue group that serves them.
    pub const GROUP: &str = "wadm_server";

    fn prefix(lattice: &LatticeName) -> String {
        format!("wadm.api.{lattice}.model")
    }

    /// Stores a manifest.
    pub fn put(lattice: &LatticeName) -> String {
        format!("{}.put", prefix(lattice))
    }
    /// Lists applications: a bare array, as `wash` wants it.
    pub fn list(lattice: &LatticeName) -> String {
        format!("{}.list", prefix(lattice))
    }
    /// Lists applications: with result and message.
    pub fn get_all(lattice: &LatticeName) -> String {
        format!("{}.get", prefix(lattice))
    }
    /// Reads a manifest.
    pub fn get(lattice: &LatticeName, name: &str) -> String {
        format!("{}.get.{name}", prefix(lattice))
    }
    /// Deletes an application.
    pub fn del(lattice: &LatticeName, name: &str) -> String {
        format!("{}.del.{name}", prefix(lattice))
    }
    /// Lists the versions of an application.
    pub fn versions(lattice: &LatticeName, name: &str) -> String {
        format!("{}.versions.{name}", prefix(lattice))
    }
    /// Deploys an application.
    pub fn deploy(lattice: &LatticeName, name: &str) -> String {
        format!("{}.deploy.{name}", prefix(lattice))
    }
    /// Deploys the version that was deployed before this one; ours, not wadm's.
    pub fn rollback(lattice: &LatticeName, name: &str) -> String {
        format!("{}.rollback.{name}", prefix(lattice))
    }
    /// Undeploys an application.
    pub fn undeploy(lattice: &LatticeName, name: &str) -> String {
        format!("{}.undeploy.{name}", prefix(lattice))
    }
    /// How an application is.
    pub fn status(lattice: &LatticeName, name: &str) -> String {
        format!("{}.status.{name}", prefix(lattice))
    }
    /// Which artifacts versions refer to. An extension: wadm does not know it.
    pub fn digests(lattice: &LatticeName) -> String {
        format!("{}.digests", prefix(lattice))
    }
    /// Every application request: a pattern.
    pub fn any(lattice: &LatticeName) -> String {
        format!("{}.>", prefix(lattice))
    }
}

/// Our own: `umbel.v1.{lattice}.…`. The messages are in [`crate::extension`].
pub mod umbel {
    use super::LatticeName;
    use umbel_core::id::{ComponentId, HostId};

    fn host(lattice: &LatticeName, host: &HostId) -> String {
        format!("umbel.v1.{lattice}.host.{host}")
    }

    /// The supervision tree of a host.
    pub fn tree(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.tree", host(lattice, id))
    }
    /// Stops taking calls, finishes those in flight.
    pub fn drain(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.drain", host(lattice, id))
    }
    /// Fetches an artifact and keeps it.
    pub fn artifact_pin(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.artifact.pin", host(lattice, id))
    }
    /// Who has the bytes of a digest: every host hears it.
    pub fn artifact_find(lattice: &LatticeName) -> String {
        format!("umbel.v1.{lattice}.artifact.find")
    }
    /// A piece of them from one host. Not below the host's own requests: whoever carries bytes has a queue of its own.
    pub fn artifact_read(lattice: &LatticeName, id: &HostId) -> String {
        format!("umbel.v1.{lattice}.artifact.read.{id}")
    }
    /// What a component imports and exports.
    pub fn inspect(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.inspect", host(lattice, id))
    }
    /// Keeps a secret.
    pub fn secret_put(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.secret.put", host(lattice, id))
    }
    /// Deletes a secret.
    pub fn secret_del(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.secret.del", host(lattice, id))
    }
    /// The names of secrets.
    pub fn secret_list(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.secret.list", host(lattice, id))
    }
    /// What components and the process have used.
    pub fn usage(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.usage", host(lattice, id))
    }
    /// Why the links of a component or provider work, or do not.
    pub fn link_explain(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.link.explain", host(lattice, id))
    }
    /// Whether a link may be put.
    pub fn link_check(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.link.check", host(lattice, id))
    }
    /// All that there is to tell of a provider.
    pub fn provider_show(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.provider.show", host(lattice, id))
    }
    /// Puts another provider in the place of one that runs.
    pub fn provider_swap(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.provider.swap", host(lattice, id))
    }
    /// Stops a provider by hand.
    pub fn provider_stop(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.provider.stop", host(lattice, id))
    }
    /// Starts a provider that was stopped by hand.
    pub fn provider_start(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.provider.start", host(lattice, id))
    }
    /// Starts a provider anew.
    pub fn provider_restart(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.provider.restart", host(lattice, id))
    }
    /// A component's interfaces as WIT.
    pub fn wit(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.wit", host(lattice, id))
    }
    /// Calls a function of a component.
    pub fn call(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.call", host(lattice, id))
    }
    /// Log lines that a host remembers.
    pub fn logs(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.logs", host(lattice, id))
    }
    /// Events that a host remembers.
    pub fn host_events(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.events", host(lattice, id))
    }
    /// Every request of ours to one host: a pattern.
    pub fn host_any(lattice: &LatticeName, id: &HostId) -> String {
        format!("{}.>", host(lattice, id))
    }
    /// Where log lines of a component are published.
    pub fn log(lattice: &LatticeName, component: &ComponentId) -> String {
        format!("umbel.v1.{lattice}.log.{component}")
    }
    /// Log lines of every component: a pattern.
    pub fn log_any(lattice: &LatticeName) -> String {
        format!("umbel.v1.{lattice}.log.>")
    }
    /// Where an event is told that only Umbel has.
    pub fn event(lattice: &LatticeName, name: &str) -> String {
        format!("umbel.v1.{lattice}.evt.{name}")
    }
    /// All of them: a pattern.
    pub fn event_any(lattice: &LatticeName) -> String {
        format!("umbel.v1.{lattice}.evt.*")
    }
    /// Where numbered events are published.
    pub fn events(lattice: &LatticeName) -> String {
        format!("umbel.v1.{lattice}.events")
    }
}

#[cfg(test)]
mod tests;
