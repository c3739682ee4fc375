//! Resources and streams: what a value refers to and does not contain.
//!
//! Reading and writing a guest's memory sees indices only; what they stand for is in the store's table. So a value passes through in
//! two steps, with a [`Handle`] in the place of the thing between them.

use super::stream::{self, Reader};
use crate::ctx::Ctx;
use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::poll_fn;
use std::mem::MaybeUninit;
use umbel_core::Problem;
use umbel_core::code::guest::{NOT_CARRIED, SERVER_FAILED};
use umbel_wit::value::{Input, Output};
use umbel_wit::{ByteStream, Value};
use wasmtime::component::__internal::{InterfaceType, LiftContext, LowerContext};
use wasmtime::component::{Lift, Lower, Resource, ResourceAny, ResourceTable, ResourceType, StreamReader};
use wasmtime::{Result, StoreContextMut, ValRaw, bail, format_err};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError};

/// A resource that somebody else made, in the table of the instance that has it.
pub(crate) struct Carried(pub(super) umbel_wit::Resource);

/// What stands for a resource between memory and table.
#[derive(Clone)]
pub(super) enum Handle {
    Carried(u32),
    Input(u32),
    Output(u32),
    /// One that the guest itself defines.
    Guest(ResourceAny),
    /// `stream<u8>`.
    Stream(Reader),
}

impl Handle {
    pub(super) fn lift(cx: &mut LiftContext<'_>, ty: InterfaceType, raw: &ValRaw) -> Result<Handle> {
        if let InterfaceType::Stream(_) = ty {
            // Of bytes: links with any other are refused when they are made.
            return Ok(Handle::Stream(Reader::new(StreamReader::<u8>::linear_lift_from_flat(cx, ty, raw)?)));
        }
        let (InterfaceType::Own(table) | InterfaceType::Borrow(table)) = ty else {
            bail!("it is not a resource")
        };
        let kind = cx.resource_type(table);
        if kind == ResourceType::host::<Carried>() {
            Ok(Handle::Carried(Resource::<Carried>::linear_lift_from_flat(cx, ty, raw)?.rep()))
        } else if kind == ResourceType::host::<DynInputStream>() {
            Ok(Handle::Input(Resource::<DynInputStream>::linear_lift_from_flat(cx, ty, raw)?.rep()))
        } else if kind == ResourceType::host::<DynOutputStream>() {
            Ok(Handle::Output(Resource::<DynOutputStream>::linear_lift_from_flat(cx, ty, raw)?.rep()))
        } else {
            Ok(Handle::Guest(ResourceAny::linear_lift_from_flat(cx, ty, raw)?))
        }
    }

    pub(super) fn lower<T>(
        self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<ValRaw>,
    ) -> Result<()> {
        // What an index means is a matter of its type: one of another would be an index of something else.
        let kind = match &self {
            Handle::Carried(_) => ResourceType::host::<Carried>(),
            Handle::Input(_) => ResourceType::host::<DynInputStream>(),
            Handle::Output(_) => ResourceType::host::<DynOutputStream>(),
            Handle::Guest(any) => any.ty(),
            Handle::Stream(reader) => return reader.take()?.linear_lower_to_flat(cx, ty, dst),
        };
        let is_borrowed = match ty {
            InterfaceType::Own(i) if cx.resource_type(i) == kind => false,
            InterfaceType::Borrow(i) if cx.resource_type(i) == kind => true,
            _ => return Err(not_carried("a resource of another kind was given than the contract has there")),
        };
        match self {
            Handle::Carried(rep) if is_borrowed => {
                Resource::<Carried>::new_borrow(rep).linear_lower_to_flat(cx, ty, dst)
            }
            Handle::Carried(rep) => Resource::<Carried>::new_own(rep).linear_lower_to_flat(cx, ty, dst),
            Handle::Input(rep) => Resource::<DynInputStream>::new_own(rep).linear_lower_to_flat(cx, ty, dst),
            Handle::Output(rep) => {
                Resource::<DynOutputStream>::new_own(rep).linear_lower_to_flat(cx, ty, dst)
            }
            Handle::Guest(any) => any.linear_lower_to_flat(cx, ty, dst),
            Handle::Stream(reader) => reader.take()?.linear_lower_to_flat(cx, ty, dst),
        }
    }

    pub(super) fn into_value(self, own: bool) -> Value {
        let resource = umbel_wit::Resource::new(self);
        if own { Value::Own(resource) } else { Value::Borrow(resource) }
    }

    /// The handle that a value was made to hold by the steps below.
    pub(super) fn of(value: &Value) -> Result<Handle> {
        let resource = match value {
            Value::Own(resource) | Value::Borrow(resource) => resource,
            _ => bail!("a resource belongs where something else was given"),
        };
        resource
            .get::<Handle>()
            .map(|handle| Handle::clone(&handle))
            .ok_or_else(|| format_err!("a foreign resource"))
    }
}

/// Calls `change` for every value that is a handle or a stream.
pub(super) fn each(value: &mut Value, change: &mut dyn FnMut(&mut Value) -> Result<()>) -> Result<()> {
    match value {
        Value::Own(_) | Value::Borrow(_) | Value::Input(_) | Value::Output(_) | Value::Stream(_) => {
            change(value)
        }
        Value::List(values) | Value::Tuple(values) | Value::Record(values) => {
            values.iter_mut().try_for_each(|value| each(value, change))
        }
        Value::Map(entries) => entries.iter_mut().try_for_each(|(key, value)| {
            each(key, change)?;
            each(value, change)
        }),
        Value::Variant(_, Some(value))
        | Value::Option(Some(value))
        | Value::Result(Ok(Some(value)) | Err(Some(value))) => each(value, change),
        _ => Ok(()),
    }
}

/// Arguments of an importer's call, from indices to things.
pub(crate) fn out_of_importer(mut store: StoreContextMut<'_, Ctx>, args: &mut [Value]) -> Result<()> {
    args.iter_mut().try_for_each(|arg| {
        each(arg, &mut |value| {
            let ctx = store.data_mut();
            *value = match (&*value, Handle::of(value)?) {
                (Value::Own(_), Handle::Carried(rep)) => {
                    Value::Own(ctx.table.delete(Resource::<Carried>::new_own(rep))?.0)
                }
                (_, Handle::Carried(rep)) => {
                    Value::Borrow(ctx.table.get(&Resource::<Carried>::new_borrow(rep))?.0.clone())
                }
                (Value::Own(_), Handle::Input(rep)) => take_input(&mut ctx.table, rep)?,
                (_, Handle::Stream(reader)) => {
                    Value::Stream(Input::new(stream::take(&mut store, &reader, None)?))
                }
                _ => return Err(not_carried("a resource that only its own instance can use")),
            };
            Ok(())
        })
    })
}

/// The result of an importer's call, from things to indices.
pub(crate) fn into_importer(mut store: StoreContextMut<'_, Ctx>, result: &mut Value) -> Result<()> {
    each(result, &mut |value| {
        let ctx = store.data_mut();
        let handle = match std::mem::replace(value, Value::Bool(false)) {
            Value::Own(resource) => Handle::Carried(ctx.table.push(Carried(resource))?.rep()),
            Value::Input(input) => put_input(&mut ctx.table, input.into_stream())?,
            Value::Stream(input) => Handle::Stream(stream::put(&mut store, input.into_stream())?),
            Value::Output(Output(sender)) => {
                let writing: DynOutputStream = Box::new(Writing { sender });
                Handle::Output(ctx.table.push(writing)?.rep())
            }
            _ => return Err(not_carried("the server lent a resource, which it cannot")),
        };
        *value = handle.into_value(true);
        Ok(())
    })
}

/// Drops the importer's entry of a carried resource.
pub(crate) fn dropped(ctx: &mut Ctx, rep: u32) -> Result<()> {
    ctx.table.delete(Resource::<Carried>::new_own(rep))?;
    Ok(())
}

/// What only one end of a link can do something with.
pub(super) fn not_carried(what: &str) -> wasmtime::Error {
    let problem = Box::new(Problem::new(NOT_CARRIED, what));
    wasmtime::Error::new(crate::error::CallError::Link { problem })
}

pub(super) fn take_input(table: &mut ResourceTable, rep: u32) -> Result<Value> {
    let stream = table.delete(Resource::<DynInputStream>::new_own(rep))?;
    Ok(Value::Input(Input::new(read_all(stream))))
}

pub(super) fn put_input(table: &mut ResourceTable, stream: ByteStream) -> Result<Handle> {
    let reading: DynInputStream = Box::new(Reading { stream, next: None });
    Ok(Handle::Input(table.push(reading)?.rep()))
}

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// A guest's stream as bytes for the other side.
fn read_all(stream: DynInputStream) -> ByteStream {
    let pieces = futures::stream::unfold(Some(stream), |stream| async move {
        let mut stream = stream?;
        loop {
            stream.ready().await;
            match stream.read(PIECE) {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Some((Ok(bytes), Some(stream))),
                Err(StreamError::Closed) => return None,
                Err(error) => {
                    let problem =
                        Problem::new(SERVER_FAILED, "a stream ended early").with_cause(error.to_string());
                    return Some((Err(problem), None));
                }
            }
        }
    });
    pieces.boxed()
}

/// Bytes of the other side as a guest's stream.
struct Reading {
    stream: ByteStream,
    /// What came and was not read yet; the end once it came.
    next: Option<Option<Result<Bytes, String>>>,
}

#[async_trait]
impl Pollable for Reading {
    async fn ready(&mut self) {
        while self.next.is_none() {
            let piece = self.stream.next().await.map(|piece| piece.map_err(|problem| problem.to_string()));
            if piece
                .as_ref()
                .is_none_or(|piece| piece.as_ref().is_ok_and(|bytes| !bytes.is_empty()) || piece.is_err())
            {
                self.next = Some(piece);
            }
        }
    }
}

impl InputStream for Reading {
    fn read(&mut self, size: usize) -> Result<Bytes, StreamError> {
        match self.next.take() {
            None => Ok(Bytes::new()),
            Some(None) => {
                self.next = Some(None);
                Err(StreamError::Closed)
            }
            Some(Some(Err(error))) => {
                self.next = Some(None);
                Err(StreamError::LastOperationFailed(format_err!("{error}")))
            }
            Some(Some(Ok(mut bytes))) => {
                let piece = bytes.split_to(size.min(bytes.len()));
                if !bytes.is_empty() {
                    self.next = Some(Some(Ok(bytes)));
                }
                Ok(piece)
            }
        }
    }
}

/// A place to write to, which the other side reads.
struct Writing {
    sender: mpsc::Sender<Bytes>,
}

#[async_trait]
impl Pollable for Writing {
    async fn ready(&mut self) {
        // Closed counts as ready: the write then says so.
        let _ = poll_fn(|cx| self.sender.poll_ready(cx)).await;
    }
}

impl OutputStream for Writing {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.sender.try_send(bytes).map_err(|error| {
            if error.is_full() { StreamError::trap("written without a permit") } else { StreamError::Closed }
        })
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match self.sender.poll_ready(&mut cx) {
            std::task::Poll::Ready(Ok(())) => Ok(PIECE),
            std::task::Poll::Ready(Err(_)) => Err(StreamError::Closed),
            std::task::Poll::Pending => Ok(0),
        }
    }
}
