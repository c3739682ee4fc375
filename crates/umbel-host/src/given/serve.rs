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

#[cfg(test)]
mod tests {
    use super::Server;
    use futures::FutureExt;
    use std::sync::Arc;
    use umbel_core::settings::{SecretValue, Secrets};
    use umbel_wit::{Call, Link, Serve, Value};

    fn ask(server: &Server, interface: &str, function: &str, args: Vec<Value>) -> Option<Value> {
        let call = Call {
            link: Arc::new(Link::default()),
            interface: interface.into(),
            version: None,
            function: function.into(),
            args,
            patience: None,
        };
        server.call(call).now_or_never().expect("it answers at once").expect("it is served")
    }

    #[test]
    fn a_component_reads_what_it_was_given_and_nothing_else() {
        let given = Secrets::from([
            ("url".into(), SecretValue::String("hush".into())),
            ("key".into(), SecretValue::Bytes(vec![0, 255])),
        ]);
        let server = Server(given);
        let get = |name: &str| {
            ask(&server, "wasmcloud:secrets/store", "get", vec![Value::String(name.into())]).unwrap()
        };
        let reveal = |handle| ask(&server, "wasmcloud:secrets/reveal", "reveal", vec![handle]).unwrap();
        let shown = |name: &str| {
            let Value::Result(Ok(Some(handle))) = get(name) else { panic!("{name} is there") };
            let Value::Own(resource) = *handle else { panic!("it is a resource") };
            reveal(Value::Borrow(resource))
        };
        let Value::Variant(0, Some(text)) = shown("url") else { panic!("it is text") };
        assert!(matches!(&*text, Value::String(text) if text == "hush"));
        let Value::Variant(1, Some(bytes)) = shown("key") else { panic!("it is bytes") };
        assert!(matches!(&*bytes, Value::Bytes(bytes) if bytes[..] == [0, 255]));
        let Value::Result(Err(Some(missing))) = get("other") else { panic!("it is not there") };
        assert!(matches!(*missing, Value::Variant(2, None)));
    }
}
