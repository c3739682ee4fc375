//! The functions of `wasmcloud:secrets`, as values of WIT. They are the same in `0.1.0-draft` and `1.0.0`.

use super::config::Target;
use super::secret::Secret;
use super::vault::Vault;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::sync::Arc;
use umbel_core::code::guest;
use umbel_core::{Coded, Problem};
use umbel_wit::serve::{Args, Link};
use umbel_wit::value::Resource;
use umbel_wit::{Call, Serve, Value};

/// Cases of `secrets-error`.
const UPSTREAM: u32 = 0;
const NOT_FOUND: u32 = 2;

/// Cases of `secret-value`.
const STRING: u32 = 0;
const BYTES: u32 = 1;

/// The resource `secret`: what was found, which stays what it is while the handle is there.
struct Handle {
    secret: Arc<Secret>,
    name: String,
}

/// Serves the contract from the vault.
pub(super) struct Server {
    vault: Arc<Vault>,
}

impl Server {
    pub(super) fn new(vault: Arc<Vault>) -> Server {
        Server { vault }
    }

    fn answer(&self, call: Call) -> Result<Value, Problem> {
        let mut args = Args::new(&call.function, call.args);
        match (&*call.interface, &*call.function) {
            ("wasmcloud:secrets/store", "get") => Ok(self.get(&call.link, args.string()?)),
            ("wasmcloud:secrets/reveal", "reveal") => Ok(reveal(&call.link, &*args.resource::<Handle>()?)),
            (interface, function) => {
                let message = format!("`secrets` does not serve `{function}` of `{interface}`");
                Err(Problem::new(guest::UNSUPPORTED_CALL, message))
            }
        }
    }

    fn get(&self, link: &Link, name: String) -> Value {
        let target = match Target::read(&link.values) {
            Ok(target) => target,
            Err(error) => {
                return Value::err(Value::case(UPSTREAM, format!("{}: {error}", error.code()).into()));
            }
        };
        let found = target.allows(&name).then(|| self.vault.get(target.scope(link), name.clone())).flatten();
        match found {
            Some(secret) => Value::ok(Value::Own(Resource::new(Handle { secret, name }))),
            None => Value::err(Value::Variant(NOT_FOUND, None)),
        }
    }
}

fn reveal(link: &Link, handle: &Handle) -> Value {
    tracing::debug!(component = %link.source_id, secret = %handle.name, "a secret was revealed");
    match &*handle.secret {
        Secret::String(text) => Value::case(STRING, Value::String(text.to_string())),
        // Not a copy: it is wiped with the last handle.
        Secret::Bytes(_) => Value::case(BYTES, Value::Bytes(Bytes::from_owner(Shown(handle.secret.clone())))),
    }
}

struct Shown(Arc<Secret>);

impl AsRef<[u8]> for Shown {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl Serve for Server {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        Box::pin(std::future::ready(self.answer(call).map(Some)))
    }
}
