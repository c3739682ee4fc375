//! `wasi:keyvalue` and `wasi:blobstore` as hosts and providers of wasmCloud 1.x carry them between them: as `wrpc:keyvalue@0.2.0-draft`
//! and `wrpc:blobstore@0.2.0`, which have no resources (`facts/wasmcloud.md` §4.6). A bucket or container is its name in every call, and
//! the bytes of an object are a stream beside the call.
//!
//! ```text
//!  a component's call of wasi:…  ─▶ Speaks ─▶ wrpc:… on the lattice      [keyvalue::speak] · [blobstore]
//!  wrpc:… on the lattice ─▶ Hears ─▶ a call of wasi:… of who serves it   [keyvalue::hear] · [blobstore::hear]
//! ```

mod blobstore;
mod hear_blobstore;
mod keyvalue;
mod outgoing;

use futures::future::BoxFuture;
use semver::Version;
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_lattice::Spawn;
use umbel_lattice::wrpc::Catalog;
use umbel_wit::{Call, Interface, InterfaceName, Link, Resource, Serve, Value};

/// The draft of both contracts that wasmCloud 1.x knows.
static DRAFT: LazyLock<Version> = LazyLock::new(|| version("0.2.0-draft"));
/// The version of `wrpc:blobstore`.
static BLOBSTORE: LazyLock<Version> = LazyLock::new(|| version("0.2.0"));

fn version(text: &str) -> Version {
    text.parse().expect("our own text is a version")
}

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let packages = [include_str!("wrpc-keyvalue.wit"), include_str!("wrpc-blobstore.wit")];
    let all = umbel_wit::package::interfaces(&packages).expect("our own text is WIT");
    Catalog::new(all.into_iter().map(|(name, interface)| (name, Arc::new(interface))))
});

/// The types of all interfaces of `wrpc:keyvalue` and `wrpc:blobstore`.
pub fn catalog() -> &'static Catalog {
    &CATALOG
}

/// The interfaces under which whoever serves these is called by hosts of wasmCloud 1.x.
pub fn heard_as<'n>(
    served: impl IntoIterator<Item = &'n InterfaceName>,
) -> Vec<(InterfaceName, Arc<Interface>)> {
    let mut heard: Vec<&str> = Vec::new();
    for name in served.into_iter().filter(|name| is_spoken(&name.unversioned, name.version.as_ref())) {
        heard.push(match name.unversioned.as_str() {
            "wasi:keyvalue/store" => "wrpc:keyvalue/store",
            "wasi:keyvalue/atomics" => "wrpc:keyvalue/atomics",
            "wasi:keyvalue/batch" => "wrpc:keyvalue/batch",
            "wasi:blobstore/blobstore" => "wrpc:blobstore/blobstore",
            _ => continue,
        });
    }
    let is_heard = |(name, _): &&(InterfaceName, Arc<Interface>)| heard.contains(&name.unversioned.as_str());
    CATALOG.interfaces().iter().filter(is_heard).cloned().collect()
}

/// Whether wasmCloud 1.x carries calls of the interface as `wrpc:`.
pub fn is_spoken(interface: &str, version: Option<&Version>) -> bool {
    let is_there = matches!(
        interface,
        "wasi:keyvalue/store"
            | "wasi:keyvalue/atomics"
            | "wasi:keyvalue/batch"
            | "wasi:blobstore/blobstore"
            | "wasi:blobstore/container"
            | "wasi:blobstore/types"
    );
    // What says nothing is as old as the contract.
    is_there && version.is_none_or(|version| *version == *DRAFT)
}

/// Whether the call is one of `wrpc:`, for [`Hears`].
pub fn is_heard(call: &Call) -> bool {
    call.interface.starts_with("wrpc:keyvalue/") || call.interface.starts_with("wrpc:blobstore/")
}

/// The interface that a call of this one stands for.
pub fn meant_by(interface: &str) -> Cow<'_, str> {
    match interface.strip_prefix("wrpc:") {
        Some(rest) if rest.starts_with("keyvalue/") || rest.starts_with("blobstore/") => {
            format!("wasi:{rest}").into()
        }
        _ => interface.into(),
    }
}

/// Whether a resource among the arguments is one that [`Speaks`] has made.
pub fn has_spoken(args: &[Value]) -> bool {
    args.iter().any(|arg| match arg {
        Value::Own(resource) | Value::Borrow(resource) => {
            resource.get::<keyvalue::Bucket>().is_some() || blobstore::is_ours(resource)
        }
        _ => false,
    })
}

/// Serves calls of `wasi:keyvalue` and `wasi:blobstore` by calls of `wrpc:`, which something else serves. Others it hands on as they are.
#[derive(Clone)]
pub struct Speaks {
    serve: Arc<dyn Serve>,
    spawn: Spawn,
}

impl Speaks {
    /// `serve` is called for `wrpc:`; tasks that bodies need are started by `spawn`.
    pub fn new(serve: Arc<dyn Serve>, spawn: Spawn) -> Speaks {
        Speaks { serve, spawn }
    }
}

impl Serve for Speaks {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        if !is_spoken(&call.interface, call.version.as_ref()) {
            return self.serve.call(call);
        }
        let spawn = self.spawn.clone();
        let peer = Peer::of(&self.serve, &call);
        Box::pin(async move {
            match call.interface.starts_with("wasi:keyvalue/") {
                true => keyvalue::speak(&peer, call).await.map(Some),
                false => blobstore::speak(peer, spawn, call).await.map(Some),
            }
        })
    }
}

/// Serves calls of `wrpc:keyvalue` and `wrpc:blobstore` by something that serves `wasi:keyvalue` and `wasi:blobstore`.
pub struct Hears(pub Arc<dyn Serve>);

impl Serve for Hears {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let peer = Peer::of(&self.0, &call);
        Box::pin(async move {
            match call.interface.starts_with("wrpc:keyvalue/") {
                true => keyvalue::hear(&peer, call).await.map(Some),
                false => hear_blobstore::hear(peer, call).await.map(Some),
            }
        })
    }
}

/// Who is called, over which link, and how long the caller waits.
#[derive(Clone)]
struct Peer {
    serve: Arc<dyn Serve>,
    link: Arc<Link>,
    patience: Option<Duration>,
}

/// The two sides of a `result` of a contract.
type Told = Result<Option<Value>, Value>;

impl Peer {
    fn of(serve: &Arc<dyn Serve>, call: &Call) -> Peer {
        Peer { serve: serve.clone(), link: call.link.clone(), patience: call.patience }
    }

    async fn call(
        &self,
        interface: &str,
        version: &Version,
        function: &str,
        args: Vec<Value>,
    ) -> Result<Value, Problem> {
        let call = Call {
            link: self.link.clone(),
            interface: interface.into(),
            version: Some(version.clone()),
            function: function.into(),
            args,
            patience: self.patience,
        };
        self.serve.call(call).await?.ok_or_else(|| misfit(function))
    }

    async fn told(
        &self,
        interface: &str,
        version: &Version,
        function: &str,
        args: Vec<Value>,
    ) -> Result<Told, Problem> {
        match self.call(interface, version, function, args).await? {
            Value::Result(Ok(value)) => Ok(Ok(value.map(|value| *value))),
            Value::Result(Err(Some(error))) => Ok(Err(*error)),
            _ => Err(misfit(function)),
        }
    }
}

fn result(told: Told) -> Value {
    match told {
        Ok(value) => Value::Result(Ok(value.map(Box::new))),
        Err(error) => Value::err(error),
    }
}

/// What came back is not of the contract's types.
fn misfit(function: &str) -> Problem {
    Problem::new(guest::CONTRACT_MISMATCH, format!("`{function}` gave a result of another type"))
}

fn unknown(interface: &str, function: &str) -> Problem {
    let message = format!("there is no function `{function}` in `{interface}`");
    Problem::new(guest::UNSUPPORTED_CALL, message)
}

fn own(kept: impl std::any::Any + Send + Sync) -> Value {
    Value::Own(Resource::new(kept))
}

#[cfg(test)]
mod tests;
