//! `wrpc:blobstore` for callers elsewhere, by calls of `wasi:blobstore`.

use super::blobstore::refused;
use super::{DRAFT, Peer, Told, misfit, result, unknown};
use futures::{SinkExt, StreamExt};
use tokio::sync::oneshot;
use umbel_core::Problem;
use umbel_core::code::wire;
use umbel_wit::serve::Args;
use umbel_wit::value::{Input, Items, Later};
use umbel_wit::{ByteStream, Call, Resource, Value};

/// How many names are asked for at once.
const NAMES_AT_ONCE: u64 = 128;

/// Carries out a call of `wrpc:blobstore`.
pub(super) async fn hear(peer: Peer, call: Call) -> Result<Value, Problem> {
    let mut args = Args::new(&call.function, call.args);
    let args = &mut args;
    let told = match &*call.function {
        "create-container" => peer.store("create-container", vec![args.value()?]).await?.map(|_| None),
        function @ ("delete-container" | "container-exists") => {
            peer.store(function, vec![args.value()?]).await?
        }
        function @ ("copy-object" | "move-object") => {
            peer.store(function, vec![args.value()?, args.value()?]).await?
        }
        "clear-container" => peer.within(args.value()?, "clear", Vec::new()).await?,
        "get-container-info" => info(peer.within(args.value()?, "info", Vec::new()).await?, 1)?,
        "list-container-objects" => {
            let (name, limit, offset) = (args.value()?, number(args)?, number(args)?);
            list(&peer, name, limit.unwrap_or(u64::MAX), offset.unwrap_or_default()).await?
        }
        "delete-objects" => peer.within(args.value()?, "delete-objects", vec![args.value()?]).await?,
        function @ ("delete-object" | "has-object") => {
            let (container, object) = id(args)?;
            peer.within(container, function, vec![object]).await?
        }
        "get-object-info" => {
            let (container, object) = id(args)?;
            info(peer.within(container, "object-info", vec![object]).await?, 2)?
        }
        "get-container-data" => {
            let ((container, object), start, end) = (id(args)?, args.value()?, args.value()?);
            read(&peer, container, vec![object, start, end]).await?
        }
        "write-container-data" => {
            let (container, object) = id(args)?;
            let Value::Stream(data) = args.value()? else { return Err(misfit("write-container-data")) };
            write(peer, container, object, data.into_stream()).await?
        }
        _ => return Err(unknown(&call.interface, &call.function)),
    };
    Ok(result(told))
}

impl Peer {
    async fn store(&self, function: &str, args: Vec<Value>) -> Result<Told, Problem> {
        self.told("wasi:blobstore/blobstore", &DRAFT, function, args).await
    }

    async fn container(&self, name: Value) -> Result<Result<Resource, Value>, Problem> {
        owned(self.store("get-container", vec![name]).await?, "get-container")
    }

    async fn method(&self, of: &Resource, method: &str, args: Vec<Value>) -> Result<Told, Problem> {
        let args = std::iter::once(Value::Borrow(of.clone())).chain(args).collect();
        let function = format!("[method]{method}");
        self.told("wasi:blobstore/container", &DRAFT, &function, args).await
    }

    /// Calls a method of the container of that name.
    async fn within(&self, name: Value, method: &str, args: Vec<Value>) -> Result<Told, Problem> {
        match self.container(name).await? {
            Ok(container) => self.method(&container, &format!("container.{method}"), args).await,
            Err(error) => Ok(Err(error)),
        }
    }

    async fn value(&self, function: &str, value: &Resource) -> Result<Told, Problem> {
        // A static function takes the value, a method borrows it; nobody else has it here.
        let value = match function.starts_with("[static]") {
            true => Value::Own(value.clone()),
            false => Value::Borrow(value.clone()),
        };
        match self.call("wasi:blobstore/types", &DRAFT, function, vec![value]).await? {
            Value::Result(Ok(value)) => Ok(Ok(value.map(|value| *value))),
            // `write-body` gives no reason.
            Value::Result(Err(error)) => {
                Ok(Err(error.map_or_else(|| "the value has no stream".into(), |e| *e)))
            }
            _ => Err(misfit(function)),
        }
    }
}

fn owned(told: Told, function: &str) -> Result<Result<Resource, Value>, Problem> {
    match told {
        Ok(Some(Value::Own(resource))) => Ok(Ok(resource)),
        Ok(_) => Err(misfit(function)),
        Err(error) => Ok(Err(error)),
    }
}

fn id(args: &mut Args) -> Result<(Value, Value), Problem> {
    let mut fields = args.record()?;
    Ok((fields.value()?, fields.value()?))
}

fn number(args: &mut Args) -> Result<Option<u64>, Problem> {
    match args.option()? {
        Some(Value::U64(number)) => Ok(Some(number)),
        None => Ok(None),
        Some(_) => Err(misfit("list-container-objects")),
    }
}

/// What is told without the names, which the caller has.
fn info(told: Told, names: usize) -> Result<Told, Problem> {
    Ok(match told {
        Ok(Some(Value::Record(fields))) => Ok(Some(Value::Record(fields.into_iter().skip(names).collect()))),
        Ok(_) => return Err(misfit("info")),
        Err(error) => Err(error),
    })
}

/// Tells the future beside a stream how that ended.
struct End(Option<oneshot::Sender<Option<Value>>>);

impl End {
    fn new() -> (End, Later) {
        let (told, end) = oneshot::channel();
        let later = Later::new(async move {
            Ok(match end.await {
                Ok(None) => Value::unit(),
                Ok(Some(why)) => Value::err(why),
                Err(_) => Value::err(refused(wire::STREAM_BROKEN, "the stream was not read to its end")),
            })
        });
        (End(Some(told)), later)
    }

    fn say(&mut self, why: Option<Value>) {
        if let Some(told) = self.0.take() {
            // Whoever reads the stream need not wait for this.
            let _ = told.send(why);
        }
    }
}

fn problem_text(problem: &Problem) -> Value {
    refused(problem.code, &problem.message)
}

async fn read(peer: &Peer, container: Value, range: Vec<Value>) -> Result<Told, Problem> {
    let incoming = match owned(peer.within(container, "get-data", range).await?, "get-data")? {
        Ok(incoming) => incoming,
        Err(error) => return Ok(Err(error)),
    };
    let consumed = peer.value("[static]incoming-value.incoming-value-consume-async", &incoming).await?;
    let bytes = match consumed {
        Ok(Some(Value::Input(bytes) | Value::Stream(bytes))) => bytes.into_stream(),
        Ok(_) => return Err(misfit("incoming-value-consume-async")),
        Err(error) => return Ok(Err(error)),
    };
    let (end, later) = End::new();
    // The value lives as long as its bytes are read.
    let stream = futures::stream::unfold((bytes, end, incoming), |(mut bytes, mut end, incoming)| async {
        match bytes.next().await {
            Some(Ok(piece)) => Some((Ok(piece), (bytes, end, incoming))),
            Some(Err(problem)) => {
                end.say(Some(problem_text(&problem)));
                None
            }
            None => {
                end.say(None);
                None
            }
        }
    });
    let stream = Value::Stream(Input::new(stream.boxed()));
    Ok(Ok(Some(Value::Tuple(vec![stream, Value::Later(later)]))))
}

/// The names of a container that are left.
struct Listing {
    peer: Peer,
    names: Resource,
    left: u64,
    ready: std::vec::IntoIter<Value>,
    is_end: bool,
    end: End,
}

async fn list(peer: &Peer, name: Value, limit: u64, offset: u64) -> Result<Told, Problem> {
    let names = match owned(peer.within(name, "list-objects", Vec::new()).await?, "list-objects")? {
        Ok(names) => names,
        Err(error) => return Ok(Err(error)),
    };
    if offset > 0 {
        let skipped =
            peer.method(&names, "stream-object-names.skip-stream-object-names", vec![offset.into()]).await?;
        if let Err(error) = skipped {
            return Ok(Err(error));
        }
    }
    let (end, later) = End::new();
    let ready = Vec::new().into_iter();
    let listing = Listing { peer: peer.clone(), names, left: limit, ready, is_end: false, end };
    let names = Value::Items(Items::new(futures::stream::unfold(listing, Listing::step).boxed()));
    Ok(Ok(Some(Value::Tuple(vec![names, Value::Later(later)]))))
}

impl Listing {
    async fn step(mut self) -> Option<(Result<Value, Problem>, Listing)> {
        loop {
            if let Some(name) = self.ready.next() {
                self.left -= 1;
                return Some((Ok(name), self));
            }
            if self.is_end || self.left == 0 {
                self.end.say(None);
                return None;
            }
            match self.more().await {
                Ok(()) => {}
                Err(why) => {
                    self.end.say(Some(why));
                    return None;
                }
            }
        }
    }

    async fn more(&mut self) -> Result<(), Value> {
        let count = NAMES_AT_ONCE.min(self.left);
        let method = "stream-object-names.read-stream-object-names";
        let read = self.peer.method(&self.names, method, vec![count.into()]).await;
        let misread = || problem_text(&misfit("read-stream-object-names"));
        let Some(Value::Tuple(parts)) = read.map_err(|problem| problem_text(&problem))?? else {
            return Err(misread());
        };
        let Ok([Value::List(names), Value::Bool(is_end)]) = <[Value; 2]>::try_from(parts) else {
            return Err(misread());
        };
        // Whoever gives none and does not say that it was all would be asked for ever.
        self.is_end = is_end || names.is_empty();
        self.ready = names.into_iter();
        Ok(())
    }
}

async fn write(peer: Peer, container: Value, object: Value, mut data: ByteStream) -> Result<Told, Problem> {
    let container = match peer.container(container).await? {
        Ok(container) => container,
        Err(error) => return Ok(Err(error)),
    };
    let new = "[static]outgoing-value.new-outgoing-value";
    let Value::Own(value) = peer.call("wasi:blobstore/types", &DRAFT, new, Vec::new()).await? else {
        return Err(misfit(new));
    };
    let body = peer.value("[method]outgoing-value.outgoing-value-write-body", &value).await?;
    let mut body = match body {
        Ok(Some(Value::Output(body))) => body,
        Ok(_) => return Err(misfit("outgoing-value-write-body")),
        Err(error) => return Ok(Err(error)),
    };
    let args = vec![object, Value::Borrow(value.clone())];
    if let Err(error) = peer.method(&container, "container.write-data", args).await? {
        return Ok(Err(error));
    }
    let stored = async move {
        while let Some(piece) = data.next().await {
            match piece {
                // Who takes no more says why when it is finished.
                Ok(piece) => {
                    if body.0.send(piece).await.is_err() {
                        break;
                    }
                }
                // Not finished: nothing of it is stored.
                Err(problem) => return Ok(Value::err(problem_text(&problem))),
            }
        }
        drop(body);
        let finished = peer.value("[static]outgoing-value.finish", &value).await;
        drop(container);
        Ok(result(finished.unwrap_or_else(|problem| Err(problem_text(&problem)))))
    };
    Ok(Ok(Some(Value::Later(Later::new(stored)))))
}
