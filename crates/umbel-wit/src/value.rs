//! Values of WIT, as they travel between the two ends of a link.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use sync_wrapper::SyncWrapper;
use umbel_core::Problem;

/// Bytes that come piece by piece. It ends with `None`, or early with a problem; dropping it tells the producer that nobody reads on.
pub type ByteStream = BoxStream<'static, Result<Bytes, Problem>>;

/// One value. Fields, cases and flags go by their place in the type and not by name; the types of both ends are the same.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names are those of WIT")]
pub enum Value {
    Bool(bool),
    S8(i8),
    U8(u8),
    S16(i16),
    U16(u16),
    S32(i32),
    U32(u32),
    S64(i64),
    U64(u64),
    F32(f32),
    F64(f64),
    Char(char),
    String(String),
    /// `list<u8>`, and nothing else.
    Bytes(Bytes),
    /// Every other list, also one of a fixed length.
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Tuple(Vec<Value>),
    Record(Vec<Value>),
    /// The place of the case, and its payload.
    Variant(u32, Option<Box<Value>>),
    Enum(u32),
    Option(Option<Box<Value>>),
    Result(Result<Option<Box<Value>>, Option<Box<Value>>>),
    /// The flags that are set, 32 to a word, the first in the lowest bit.
    Flags(Vec<u32>),
    /// A resource that changes hands.
    Own(Resource),
    /// A resource for the time of the call.
    Borrow(Resource),
    /// `own<input-stream>` of `wasi:io`: bytes to read.
    Input(Input),
    /// `stream<u8>`.
    Stream(Input),
    /// `stream<T>` of anything but bytes.
    Items(Items),
    /// `own<output-stream>` of `wasi:io`: a place to write bytes to.
    Output(Output),
    /// `future<T>`: a plain value that comes later.
    Later(Later),
}

/// Something that only its server understands: a bucket, a cursor, an object in another component. Dropping the last clone drops it there.
#[derive(Clone)]
pub struct Resource(Arc<dyn Any + Send + Sync>);

impl Resource {
    /// Wraps what the server keeps.
    pub fn new(kept: impl Any + Send + Sync) -> Resource {
        Resource(Arc::new(kept))
    }

    /// What the server keeps, if it is of that kind.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.clone().downcast().ok()
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resource")
    }
}

/// Bytes to read.
pub struct Input(SyncWrapper<ByteStream>);

impl Input {
    /// The bytes that the stream gives.
    pub fn new(stream: ByteStream) -> Input {
        Input(SyncWrapper::new(stream))
    }

    /// The stream.
    pub fn into_stream(self) -> ByteStream {
        self.0.into_inner()
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Input")
    }
}

/// Plain values that come one after another. Dropping it tells the producer that nobody takes more.
pub struct Items(SyncWrapper<BoxStream<'static, Result<Value, Problem>>>);

impl Items {
    /// The values that the stream gives. It ends with `None`, or early with a problem.
    pub fn new(stream: BoxStream<'static, Result<Value, Problem>>) -> Items {
        Items(SyncWrapper::new(stream))
    }

    /// The stream.
    pub fn into_stream(self) -> BoxStream<'static, Result<Value, Problem>> {
        self.0.into_inner()
    }
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Items")
    }
}

/// A value that comes later. Dropping it tells its producer that nobody waits for it.
pub struct Later(SyncWrapper<BoxFuture<'static, Result<Value, Problem>>>);

impl Later {
    /// The value that the future ends with.
    pub fn new(value: impl Future<Output = Result<Value, Problem>> + Send + 'static) -> Later {
        Later(SyncWrapper::new(Box::pin(value)))
    }

    /// The future.
    pub fn into_future(self) -> BoxFuture<'static, Result<Value, Problem>> {
        self.0.into_inner()
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Later")
    }
}

/// Where bytes are written. The server reads them from the other end of the channel; it closes when this is dropped.
#[derive(Debug)]
pub struct Output(pub futures::channel::mpsc::Sender<Bytes>);

impl Value {
    /// `some` of the value.
    pub fn some(value: Value) -> Value {
        Value::Option(Some(Box::new(value)))
    }

    /// `none`.
    pub fn none() -> Value {
        Value::Option(None)
    }

    /// `ok` with a payload.
    pub fn ok(value: Value) -> Value {
        Value::Result(Ok(Some(Box::new(value))))
    }

    /// `ok` of a `result` without a payload there.
    pub fn unit() -> Value {
        Value::Result(Ok(None))
    }

    /// `err` with a payload.
    pub fn err(value: Value) -> Value {
        Value::Result(Err(Some(Box::new(value))))
    }

    /// A case of a variant with its payload.
    pub fn case(place: u32, payload: Value) -> Value {
        Value::Variant(place, Some(Box::new(payload)))
    }

    /// A `list<u8>`.
    pub fn bytes(bytes: impl Into<Bytes>) -> Value {
        Value::Bytes(bytes.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_string())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Value {
        Value::U32(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Value {
        Value::U64(value)
    }
}
