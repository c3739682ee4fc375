//! `wasi:blobstore` for a component here, by calls of `wrpc:blobstore`: containers are names, and values are streams of calls that are
//! under way.

use super::outgoing::Outgoing;
use super::{BLOBSTORE, Peer, Told, misfit, own, result, unknown};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use std::sync::Arc;
use tokio::sync::Mutex;
use umbel_core::Problem;
use umbel_core::code::blobstore as code;
use umbel_core::code::{Code, wire};
use umbel_lattice::Spawn;
use umbel_wit::serve::Args;
use umbel_wit::value::{Input, Items, Later, Output};
use umbel_wit::{ByteStream, Call, Resource, Value};

const INTERFACE: &str = "wrpc:blobstore/blobstore";

/// Bytes that are given in one list.
const AT_ONCE_BYTES_MAX: u64 = 64 << 20;

/// A container: nothing but its name, which every call has.
struct Container(String);

/// `stream-object-names`.
struct Names(Mutex<BoxStream<'static, Result<Value, Problem>>>);

/// `incoming-value`: the range of an object whose bytes have been asked for, and the way to ask again for whoever wants them twice.
struct Incoming {
    range: Range,
    begun: Mutex<Option<ByteStream>>,
}

#[derive(Clone)]
struct Range {
    peer: Peer,
    id: ObjectId,
    start: u64,
    end: u64,
}

/// An object's container and name.
#[derive(Clone)]
pub(super) struct ObjectId {
    container: String,
    object: String,
}

impl ObjectId {
    pub(super) fn value(&self) -> Value {
        Value::Record(vec![self.container.as_str().into(), self.object.as_str().into()])
    }
}

/// Whether the resource is one of those that are made here.
pub(super) fn is_ours(resource: &Resource) -> bool {
    resource.get::<Container>().is_some()
        || resource.get::<Names>().is_some()
        || resource.get::<Incoming>().is_some()
        || resource.get::<Outgoing>().is_some()
}

/// What a function says in its `string` error.
pub(super) fn refused(code: Code, why: &str) -> Value {
    format!("{code}: {why}").into()
}

/// Carries out a call of `wasi:blobstore`.
pub(super) async fn speak(peer: Peer, spawn: Spawn, call: Call) -> Result<Value, Problem> {
    let interface = call.interface.strip_prefix("wasi:blobstore/").unwrap_or_default();
    let mut args = Args::new(&call.function, call.args);
    let args = &mut args;
    let container = call.function.strip_prefix("[method]container.");
    let told = match (interface, &*call.function) {
        ("blobstore", "create-container") => {
            let name = args.string()?;
            let made = peer.flat("create-container", vec![name.as_str().into()]).await?;
            made.map(|_| Some(own(Container(name))))
        }
        ("blobstore", "get-container") => get_container(&peer, args.string()?).await?,
        ("blobstore", function @ ("delete-container" | "container-exists")) => {
            peer.flat(function, vec![args.string()?.into()]).await?
        }
        ("blobstore", function @ ("copy-object" | "move-object")) => {
            let ids = vec![id(args)?.value(), id(args)?.value()];
            peer.flat(function, ids).await?
        }
        ("container", function) => match container {
            Some(method) => match in_container(&peer, method, args).await? {
                Some(told) => told,
                None => return Err(misnamed(interface, function)),
            },
            None => names(function, args).await?.ok_or_else(|| misnamed(interface, function))?,
        },
        ("types", "[static]outgoing-value.new-outgoing-value") => {
            return Ok(own(Outgoing::new(peer, spawn)));
        }
        ("types", "[method]incoming-value.size") => {
            return args.resource::<Incoming>()?.size().await.map(Value::U64);
        }
        ("types", "[method]outgoing-value.outgoing-value-write-body") => {
            // The type has no room for a reason.
            return Ok(match args.resource::<Outgoing>()?.write_body().await {
                Some(sender) => Value::ok(Value::Output(Output(sender))),
                None => Value::Result(Err(None)),
            });
        }
        ("types", function) => values(function, args).await?.ok_or_else(|| misnamed(interface, function))?,
        _ => return Err(misnamed(interface, &call.function)),
    };
    Ok(result(told))
}

fn misnamed(interface: &str, function: &str) -> Problem {
    unknown(&format!("wasi:blobstore/{interface}"), function)
}

impl Peer {
    /// Calls a function of `wrpc:blobstore`.
    pub(super) async fn flat(&self, function: &str, args: Vec<Value>) -> Result<Told, Problem> {
        self.told(INTERFACE, &BLOBSTORE, function, args).await
    }
}

fn id(args: &mut Args) -> Result<ObjectId, Problem> {
    let mut fields = args.record()?;
    Ok(ObjectId { container: fields.string()?, object: fields.string()? })
}

async fn get_container(peer: &Peer, name: String) -> Result<Told, Problem> {
    Ok(match peer.flat("container-exists", vec![name.as_str().into()]).await? {
        Ok(Some(Value::Bool(true))) => Ok(Some(own(Container(name)))),
        Ok(Some(Value::Bool(false))) => {
            let why = format!("there is no container `{}`", name.escape_debug());
            Err(refused(code::CONTAINER_NOT_FOUND, &why))
        }
        Ok(_) => return Err(misfit("container-exists")),
        Err(error) => Err(error),
    })
}

async fn in_container(peer: &Peer, method: &str, args: &mut Args) -> Result<Option<Told>, Problem> {
    let container: Arc<Container> = args.resource()?;
    let name = || Value::from(container.0.as_str());
    let of = |object: String| ObjectId { container: container.0.clone(), object };
    Ok(Some(match method {
        "name" => Ok(Some(name())),
        "info" => match peer.flat("get-container-info", vec![name()]).await? {
            Ok(Some(Value::Record(fields))) => Ok(Some(together(vec![name()], fields))),
            Ok(_) => return Err(misfit("get-container-info")),
            Err(error) => Err(error),
        },
        "get-data" => {
            let (id, start, end) = (of(args.string()?), args.u64()?, args.u64()?);
            let range = Range { peer: peer.clone(), id, start, end };
            match range.open().await? {
                Ok(bytes) => Ok(Some(own(Incoming { range, begun: Mutex::new(Some(bytes)) }))),
                Err(error) => Err(error),
            }
        }
        "write-data" => {
            let id = of(args.string()?);
            args.resource::<Outgoing>()?.write_data(id).await
        }
        "list-objects" => {
            let all = vec![name(), Value::none(), Value::none()];
            match peer.flat("list-container-objects", all).await? {
                Ok(Some(Value::Tuple(parts))) => {
                    let [Value::Items(names), Value::Later(end)] =
                        <[Value; 2]>::try_from(parts).map_err(|_| misfit("list-container-objects"))?
                    else {
                        return Err(misfit("list-container-objects"));
                    };
                    Ok(Some(own(Names(Mutex::new(to_the_end(names, end))))))
                }
                Ok(_) => return Err(misfit("list-container-objects")),
                Err(error) => Err(error),
            }
        }
        "delete-object" => peer.flat("delete-object", vec![of(args.string()?).value()]).await?,
        "delete-objects" => peer.flat("delete-objects", vec![name(), args.value()?]).await?,
        "has-object" => peer.flat("has-object", vec![of(args.string()?).value()]).await?,
        "object-info" => {
            let object = args.string()?;
            match peer.flat("get-object-info", vec![of(object.clone()).value()]).await? {
                Ok(Some(Value::Record(fields))) => Ok(Some(together(vec![object.into(), name()], fields))),
                Ok(_) => return Err(misfit("get-object-info")),
                Err(error) => Err(error),
            }
        }
        "clear" => peer.flat("clear-container", vec![name()]).await?,
        _ => return Ok(None),
    }))
}

/// A record with the names that its caller has, and what is known of them.
fn together(names: Vec<Value>, known: Vec<Value>) -> Value {
    Value::Record(names.into_iter().chain(known).collect())
}

/// Names as they come, and at their end whether they were all.
fn to_the_end(names: Items, end: Later) -> BoxStream<'static, Result<Value, Problem>> {
    let last = futures::stream::once(end.into_future()).filter_map(|end| async { ended(end).err().map(Err) });
    names.into_stream().chain(last).boxed()
}

/// Bytes as they come, and at their end whether they were all.
fn whole(bytes: Input, end: Later) -> ByteStream {
    let last = futures::stream::once(end.into_future()).filter_map(|end| async { ended(end).err().map(Err) });
    bytes.into_stream().chain(last).boxed()
}

/// So many bytes, and no more.
fn cut(bytes: ByteStream, count: u64) -> ByteStream {
    let step = |(mut bytes, left): (ByteStream, u64)| async move {
        match bytes.next().await? {
            // Beyond the end: nobody waits for what else there is.
            Ok(_) if left == 0 => None,
            Ok(mut piece) => {
                piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - piece.len() as u64;
                Some((Ok(piece), (bytes, left)))
            }
            failed => Some((failed, (bytes, left))),
        }
    };
    futures::stream::unfold((bytes, count), step).boxed()
}

/// What the future beside a stream says of it.
pub(super) fn ended(end: Result<Value, Problem>) -> Result<(), Problem> {
    match end? {
        Value::Result(Ok(_)) => Ok(()),
        Value::Result(Err(why)) => {
            let why = match why.map(|why| *why) {
                Some(Value::String(why)) => why,
                _ => "no reason is given".into(),
            };
            Err(Problem::new(wire::STREAM_BROKEN, format!("the server ended the stream: {why}")))
        }
        _ => Err(misfit("the future of a stream")),
    }
}

fn told(problem: &Problem) -> Value {
    refused(problem.code, &problem.message)
}

async fn names(function: &str, args: &mut Args) -> Result<Option<Told>, Problem> {
    let Some(method) = function.strip_prefix("[method]stream-object-names.") else { return Ok(None) };
    let stream = args.resource::<Names>()?;
    let count = args.u64()?;
    let mut stream = stream.0.lock().await;
    let (mut names, mut passed, mut is_end) = (Vec::new(), 0, false);
    while passed < count {
        match stream.next().await {
            Some(Ok(name)) => {
                passed += 1;
                if method == "read-stream-object-names" {
                    names.push(name);
                }
            }
            Some(Err(problem)) => return Ok(Some(Err(told(&problem)))),
            None => {
                is_end = true;
                break;
            }
        }
    }
    let first = match method {
        "read-stream-object-names" => Value::List(names),
        "skip-stream-object-names" => passed.into(),
        _ => return Ok(None),
    };
    Ok(Some(Ok(Some(Value::Tuple(vec![first, is_end.into()])))))
}

async fn values(function: &str, args: &mut Args) -> Result<Option<Told>, Problem> {
    Ok(Some(match function {
        "[static]outgoing-value.finish" => args.resource::<Outgoing>()?.finish().await,
        "[static]incoming-value.incoming-value-consume-sync" => {
            args.resource::<Incoming>()?.all().await?.map(|bytes| Some(Value::Bytes(bytes)))
        }
        "[static]incoming-value.incoming-value-consume-async" => {
            let stream = args.resource::<Incoming>()?.stream().await?;
            stream.map(|stream| Some(Value::Input(Input::new(stream))))
        }
        _ => return Ok(None),
    }))
}

impl Range {
    /// Asks for the bytes. Providers of wasmCloud 1.x do not agree on whether the one at the end is among them (that of files gives it to
    /// nobody), so one more is asked for, and cut off where it comes.
    async fn open(&self) -> Result<Result<ByteStream, Value>, Problem> {
        if self.start > self.end {
            let why = format!("the range begins at {} and ends at {}", self.start, self.end);
            return Ok(Err(refused(code::BAD_RANGE, &why)));
        }
        let args = vec![self.id.value(), self.start.into(), self.end.saturating_add(1).into()];
        let parts = match self.peer.flat("get-container-data", args).await? {
            Ok(Some(Value::Tuple(parts))) => <[Value; 2]>::try_from(parts).ok(),
            Ok(_) => None,
            Err(error) => return Ok(Err(error)),
        };
        match parts {
            Some([Value::Stream(bytes), Value::Later(end)]) => {
                Ok(Ok(cut(whole(bytes, end), (self.end - self.start).saturating_add(1))))
            }
            _ => Err(misfit("get-container-data")),
        }
    }
}

impl Incoming {
    /// How many bytes it has. That is not among what the server says with them.
    async fn size(&self) -> Result<u64, Problem> {
        let Range { peer, id, start, end } = &self.range;
        match peer.flat("get-object-info", vec![id.value()]).await? {
            Ok(Some(Value::Record(fields))) => match fields.into_iter().nth(1) {
                Some(Value::U64(size)) => Ok(size.min(end.saturating_add(1)).saturating_sub(*start)),
                _ => Err(misfit("get-object-info")),
            },
            Err(Value::String(why)) => Err(Problem::new(code::OBJECT_NOT_FOUND, why)),
            _ => Err(misfit("get-object-info")),
        }
    }

    async fn stream(&self) -> Result<Result<ByteStream, Value>, Problem> {
        match self.begun.lock().await.take() {
            Some(begun) => Ok(Ok(begun)),
            None => self.range.open().await,
        }
    }

    async fn all(&self) -> Result<Result<Bytes, Value>, Problem> {
        let mut stream = match self.stream().await? {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(error)),
        };
        let mut all = BytesMut::new();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => all.extend_from_slice(&piece),
                Err(problem) => return Ok(Err(told(&problem))),
            }
            if all.len() as u64 > AT_ONCE_BYTES_MAX {
                let why = format!("more than {AT_ONCE_BYTES_MAX} bytes in one list");
                return Ok(Err(refused(code::TOO_LARGE_AT_ONCE, &why)));
            }
        }
        Ok(Ok(all.freeze()))
    }
}
