//! `wasi:keyvalue` and `wrpc:keyvalue`: the same functions, with the bucket's name where the bucket is.

use super::{DRAFT, Peer, misfit, own, result, unknown};
use umbel_core::Problem;
use umbel_wit::serve::Args;
use umbel_wit::{Call, Value};

const METHOD: &str = "[method]bucket.";

/// A bucket that was opened: nothing but its name. Whether it is there, the first call in it finds out.
pub(super) struct Bucket(String);

/// Carries out a call of `wasi:keyvalue` by one of `wrpc:keyvalue`.
pub(super) async fn speak(peer: &Peer, call: Call) -> Result<Value, Problem> {
    let name = call.interface.strip_prefix("wasi:keyvalue/").unwrap_or_default();
    if (name, &*call.function) == ("store", "open") {
        let name = Args::new(&call.function, call.args).string()?;
        return Ok(result(Ok(Some(own(Bucket(name))))));
    }
    let function = match (name, call.function.strip_prefix(METHOD)) {
        ("store", Some(method)) => method,
        ("atomics" | "batch", None) => &*call.function,
        _ => return Err(unknown(&call.interface, &call.function)),
    };
    let interface = format!("wrpc:keyvalue/{name}");
    let mut args = call.args.into_iter();
    let bucket = Args::new(&call.function, args.by_ref().take(1).collect()).resource::<Bucket>()?;
    let args = std::iter::once(Value::String(bucket.0.clone())).chain(args).collect();
    peer.call(&interface, &DRAFT, function, args).await
}

/// Carries out a call of `wrpc:keyvalue` by opening the bucket and one of `wasi:keyvalue`.
pub(super) async fn hear(peer: &Peer, call: Call) -> Result<Value, Problem> {
    let name = call.interface.strip_prefix("wrpc:keyvalue/").unwrap_or_default();
    let mut args = call.args.into_iter();
    let bucket = Args::new(&call.function, args.by_ref().take(1).collect()).string()?;
    let opened = peer.told("wasi:keyvalue/store", &DRAFT, "open", vec![bucket.into()]).await?;
    let bucket = match opened {
        Ok(Some(Value::Own(bucket))) => bucket,
        Ok(_) => return Err(misfit("open")),
        Err(error) => return Ok(result(Err(error))),
    };
    let function = match name {
        "store" => format!("{METHOD}{}", call.function),
        _ => call.function.to_string(),
    };
    let args = std::iter::once(Value::Borrow(bucket.clone())).chain(args).collect();
    let answer = peer.call(&format!("wasi:keyvalue/{name}"), &DRAFT, &function, args).await;
    // Open until its call has ended.
    drop(bucket);
    answer
}
