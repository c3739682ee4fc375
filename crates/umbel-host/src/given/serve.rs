//! `wasmcloud:secrets` of a component that was given secrets: those, and no others. It needs no link, as in wasmCloud 1.x.

use futures::future::BoxFuture;
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_core::settings::{SecretValue, Secrets};
use umbel_wit::serve::Args;
use umbel_wit::value::Resource;
use umbel_wit::{Call, Serve, Value};

/// What the interfaces of the contract begin with.
pub const PACKAGE: &str = "wasmcloud:secrets/";

/// Cases of `secrets-error`.
const NOT_FOUND: u32 = 2;

/// Cases of `secret-value`.
const STRING: u32 = 0;
const BYTES: u32 = 1;

/// Serves the contract from what a component was given.
pub struct Server(pub Secrets);

/// The resource `secret`.
struct Handle(SecretValue);

impl Server {
    fn answer(&self, call: Call) -> Result<Value, Problem> {
        let mut args = Args::new(&call.function, call.args);
        match (&*call.interface, &*call.function) {
            ("wasmcloud:secrets/store", "get") => Ok(match self.0.get(&args.string()?) {
                Some(value) => Value::ok(Value::Own(Resource::new(Handle(value.clone())))),
                None => Value::err(Value::Variant(NOT_FOUND, None)),
            }),
            ("wasmcloud:secrets/reveal", "reveal") => Ok(match &args.resource::<Handle>()?.0 {
                SecretValue::String(text) => Value::case(STRING, Value::String(text.clone())),
                SecretValue::Bytes(bytes) => Value::case(BYTES, Value::Bytes(bytes.clone().into())),
            }),
            (interface, function) => {
                let message = format!("`secrets` does not serve `{function}` of `{interface}`");
                Err(Problem::new(guest::UNSUPPORTED_CALL, message))
            }
        }
    }
}

impl Serve for Server {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        Box::pin(std::future::ready(self.answer(call).map(Some)))
    }
}
