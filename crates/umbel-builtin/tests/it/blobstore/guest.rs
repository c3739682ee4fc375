//! `wasi:blobstore` as a guest has it: its functions, over anything that serves them.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use std::sync::Arc;
use umbel_core::Problem;
use umbel_wit::value::Output;
use umbel_wit::{ByteStream, Call, Link, Resource, Serve, Value};

/// The text of `error` in the WIT.
pub(crate) type Told<T> = Result<T, String>;

/// A component that has a link.
#[derive(Clone)]
pub(crate) struct Guest {
    serve: Arc<dyn Serve>,
    link: Arc<Link>,
}

/// A `container`.
#[derive(Clone)]
pub(crate) struct Container {
    guest: Guest,
    handle: Resource,
}

/// An `outgoing-value`.
pub(crate) struct Outgoing {
    guest: Guest,
    handle: Resource,
}

/// An `incoming-value`.
pub(crate) struct Incoming {
    guest: Guest,
    handle: Resource,
}

/// A `stream-object-names`.
pub(crate) struct Names {
    guest: Guest,
    handle: Resource,
}

/// An `output-stream`. Dropping it ends it.
pub(crate) struct Stream(Output);

impl Guest {
    pub(crate) fn new(serve: Arc<dyn Serve>, link: Link) -> Guest {
        Guest { serve, link: Arc::new(link) }
    }

    pub(crate) async fn try_call(
        &self,
        interface: &str,
        function: &str,
        args: Vec<Value>,
    ) -> Result<Option<Value>, Problem> {
        let call = Call {
            link: self.link.clone(),
            interface: format!("wasi:blobstore/{interface}").into(),
            version: Some("0.2.0-draft".parse().expect("a version")),
            function: function.into(),
            args,
            patience: None,
        };
        self.serve.call(call).await
    }

    async fn call(&self, interface: &str, function: &str, args: Vec<Value>) -> Value {
        let answer = self.try_call(interface, function, args).await;
        answer.unwrap_or_else(|problem| panic!("{function}: {problem}")).expect("all functions have a result")
    }

    async fn told(&self, interface: &str, function: &str, args: Vec<Value>) -> Told<Option<Value>> {
        match self.call(interface, function, args).await {
            Value::Result(Ok(value)) => Ok(value.map(|value| *value)),
            Value::Result(Err(Some(error))) => match *error {
                Value::String(error) => Err(error),
                other => panic!("{function}: {other:?} is not an error"),
            },
            other => panic!("{function}: {other:?} is not a result"),
        }
    }

    async fn container(&self, function: &str, name: &str) -> Told<Container> {
        let handle = own(self.told("blobstore", function, vec![name.into()]).await?);
        Ok(Container { guest: self.clone(), handle })
    }

    pub(crate) async fn create_container(&self, name: &str) -> Told<Container> {
        self.container("create-container", name).await
    }

    pub(crate) async fn get_container(&self, name: &str) -> Told<Container> {
        self.container("get-container", name).await
    }

    pub(crate) async fn delete_container(&self, name: &str) -> Told<()> {
        self.told("blobstore", "delete-container", vec![name.into()]).await.map(nothing)
    }

    pub(crate) async fn container_exists(&self, name: &str) -> Told<bool> {
        self.told("blobstore", "container-exists", vec![name.into()]).await.map(boolean)
    }

    pub(crate) async fn copy_object(&self, from: (&str, &str), to: (&str, &str)) -> Told<()> {
        self.told("blobstore", "copy-object", vec![id(from), id(to)]).await.map(nothing)
    }

    pub(crate) async fn move_object(&self, from: (&str, &str), to: (&str, &str)) -> Told<()> {
        self.told("blobstore", "move-object", vec![id(from), id(to)]).await.map(nothing)
    }

    pub(crate) async fn outgoing(&self) -> Outgoing {
        let value = self.call("types", "[static]outgoing-value.new-outgoing-value", vec![]).await;
        Outgoing { guest: self.clone(), handle: own(Some(value)) }
    }
}

impl Container {
    async fn told(&self, method: &str, args: Vec<Value>) -> Told<Option<Value>> {
        let args = std::iter::once(Value::Borrow(self.handle.clone())).chain(args).collect();
        self.guest.told("container", &format!("[method]container.{method}"), args).await
    }

    pub(crate) async fn name(&self) -> Told<String> {
        self.told("name", vec![]).await.map(string)
    }

    /// Name and creation.
    pub(crate) async fn info(&self) -> Told<(String, u64)> {
        let mut fields = record(self.told("info", vec![]).await?).into_iter();
        Ok((string(fields.next()), number(fields.next())))
    }

    pub(crate) async fn get_data(&self, name: &str, start: u64, end: u64) -> Told<Incoming> {
        let handle = own(self.told("get-data", vec![name.into(), start.into(), end.into()]).await?);
        Ok(Incoming { guest: self.guest.clone(), handle })
    }

    pub(crate) async fn write_data(&self, name: &str, value: &Outgoing) -> Told<()> {
        self.told("write-data", vec![name.into(), Value::Borrow(value.handle.clone())]).await.map(nothing)
    }

    pub(crate) async fn list_objects(&self) -> Told<Names> {
        let handle = own(self.told("list-objects", vec![]).await?);
        Ok(Names { guest: self.guest.clone(), handle })
    }

    pub(crate) async fn delete_object(&self, name: &str) -> Told<()> {
        self.told("delete-object", vec![name.into()]).await.map(nothing)
    }

    pub(crate) async fn delete_objects(&self, names: &[&str]) -> Told<()> {
        let names = names.iter().map(|name| (*name).into()).collect();
        self.told("delete-objects", vec![Value::List(names)]).await.map(nothing)
    }

    pub(crate) async fn has_object(&self, name: &str) -> Told<bool> {
        self.told("has-object", vec![name.into()]).await.map(boolean)
    }

    /// Name, container, creation and size.
    pub(crate) async fn object_info(&self, name: &str) -> Told<(String, String, u64, u64)> {
        let mut fields = record(self.told("object-info", vec![name.into()]).await?).into_iter();
        let mut next = || fields.next();
        Ok((string(next()), string(next()), number(next()), number(next())))
    }

    pub(crate) async fn clear(&self) -> Told<()> {
        self.told("clear", vec![]).await.map(nothing)
    }

    /// Stores an object as most components do.
    pub(crate) async fn put(&self, name: &str, bytes: &[u8]) -> Told<()> {
        let value = self.guest.outgoing().await;
        let mut stream = value.write_body().await?;
        self.write_data(name, &value).await?;
        stream.write(bytes).await;
        drop(stream);
        value.finish().await
    }

    /// All bytes of an object.
    pub(crate) async fn get(&self, name: &str) -> Told<Vec<u8>> {
        self.get_data(name, 0, u64::MAX).await?.sync().await
    }

    /// The names of all objects, in the order of the alphabet.
    pub(crate) async fn all_names(&self) -> Vec<String> {
        let names = self.list_objects().await.expect("the container is there");
        let mut all = Vec::new();
        loop {
            let (some, end) = names.read(100).await.expect("names");
            all.extend(some);
            if end {
                all.sort();
                return all;
            }
        }
    }
}

impl Outgoing {
    /// The error has no text in the WIT.
    pub(crate) async fn write_body(&self) -> Told<Stream> {
        let function = "[method]outgoing-value.outgoing-value-write-body";
        match self.guest.call("types", function, vec![Value::Borrow(self.handle.clone())]).await {
            Value::Result(Ok(Some(value))) => match *value {
                Value::Output(output) => Ok(Stream(output)),
                other => panic!("{other:?} is not an output-stream"),
            },
            Value::Result(Err(None)) => Err(String::new()),
            other => panic!("{other:?} is not a result<output-stream>"),
        }
    }

    pub(crate) async fn finish(self) -> Told<()> {
        self.guest
            .told("types", "[static]outgoing-value.finish", vec![Value::Own(self.handle)])
            .await
            .map(nothing)
    }
}

impl Stream {
    /// Writes; once the other end is gone, nowhere.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.send(Bytes::copy_from_slice(bytes)).await;
    }

    /// Whether it was taken.
    pub(crate) async fn send(&mut self, bytes: Bytes) -> bool {
        self.0.0.send(bytes).await.is_ok()
    }
}

impl Incoming {
    pub(crate) async fn size(&self) -> u64 {
        let args = vec![Value::Borrow(self.handle.clone())];
        number(Some(self.guest.call("types", "[method]incoming-value.size", args).await))
    }

    pub(crate) async fn sync(self) -> Told<Vec<u8>> {
        let args = vec![Value::Own(self.handle)];
        match self.guest.told("types", "[static]incoming-value.incoming-value-consume-sync", args).await? {
            Some(Value::Bytes(bytes)) => Ok(bytes.into()),
            other => panic!("{other:?} is not bytes"),
        }
    }

    pub(crate) async fn stream(self) -> Told<ByteStream> {
        let args = vec![Value::Own(self.handle)];
        match self.guest.told("types", "[static]incoming-value.incoming-value-consume-async", args).await? {
            Some(Value::Input(input)) => Ok(input.into_stream()),
            other => panic!("{other:?} is not an input-stream"),
        }
    }
}

impl Names {
    async fn told(&self, function: &str, count: u64) -> Told<(Value, bool)> {
        let function = format!("[method]stream-object-names.{function}");
        let args = vec![Value::Borrow(self.handle.clone()), count.into()];
        match self.guest.told("container", &function, args).await? {
            Some(Value::Tuple(items)) => {
                let mut items = items.into_iter();
                Ok((items.next().expect("two items"), boolean(items.next())))
            }
            other => panic!("{other:?} is not a tuple"),
        }
    }

    pub(crate) async fn read(&self, count: u64) -> Told<(Vec<String>, bool)> {
        match self.told("read-stream-object-names", count).await? {
            (Value::List(names), end) => {
                Ok((names.into_iter().map(|name| string(Some(name))).collect(), end))
            }
            (other, _) => panic!("{other:?} is not a list"),
        }
    }

    pub(crate) async fn skip(&self, count: u64) -> Told<(u64, bool)> {
        let (skipped, end) = self.told("skip-stream-object-names", count).await?;
        Ok((number(Some(skipped)), end))
    }
}

/// All bytes of a stream.
pub(crate) async fn collect(mut stream: ByteStream) -> Result<Vec<u8>, Problem> {
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

fn id((container, object): (&str, &str)) -> Value {
    Value::Record(vec![container.into(), object.into()])
}

fn own(value: Option<Value>) -> Resource {
    match value {
        Some(Value::Own(resource)) => resource,
        other => panic!("{other:?} is not a resource"),
    }
}

fn nothing(value: Option<Value>) {
    assert!(value.is_none(), "{value:?} where nothing was to be");
}

fn boolean(value: Option<Value>) -> bool {
    match value {
        Some(Value::Bool(value)) => value,
        other => panic!("{other:?} is not a bool"),
    }
}

fn number(value: Option<Value>) -> u64 {
    match value {
        Some(Value::U64(value)) => value,
        other => panic!("{other:?} is not a u64"),
    }
}

fn string(value: Option<Value>) -> String {
    match value {
        Some(Value::String(value)) => value,
        other => panic!("{other:?} is not a string"),
    }
}

fn record(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Record(fields)) => fields,
        other => panic!("{other:?} is not a record"),
    }
}
