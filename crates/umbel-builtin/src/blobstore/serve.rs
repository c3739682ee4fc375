//! The functions of `wasi:blobstore`, as its WIT names them.

use super::error::BlobError;
use super::incoming::Incoming;
use super::opened::{Lists, Opened, Opens};
use super::outgoing::{Outgoing, Target};
use super::store::ObjectId;
use futures::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use umbel_core::code::guest;
use umbel_core::{Coded, Problem};
use umbel_wit::serve::Args;
use umbel_wit::value::{Input, Output};
use umbel_wit::{Call, Resource, Serve, Value};

/// Serves the contract from whatever finds a link's space.
pub(crate) struct Server<O> {
    blobs: Arc<O>,
}

impl<O: Opens> Server<O> {
    pub(crate) fn new(blobs: Arc<O>) -> Server<O> {
        Server { blobs }
    }
}

impl<O: Opens> Serve for Server<O> {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let blobs = self.blobs.clone();
        Box::pin(async move {
            let mut args = Args::new(&call.function, call.args);
            let interface = call.interface.strip_prefix("wasi:blobstore/").unwrap_or_default();
            let opened = || blobs.open(&call.link);
            let value = match (interface, &*call.function) {
                ("blobstore", "create-container") => create_container(opened().await, args.string()?).await,
                ("blobstore", "get-container") => get_container(opened().await, args.string()?).await,
                ("blobstore", "delete-container") => delete_container(opened().await, args.string()?).await,
                ("blobstore", "container-exists") => container_exists(opened().await, args.string()?).await,
                ("blobstore", "copy-object") => copy(opened().await, id(&mut args)?, id(&mut args)?).await,
                ("blobstore", "move-object") => rename(opened().await, id(&mut args)?, id(&mut args)?).await,
                ("container", function) => match function.strip_prefix("[method]container.") {
                    Some(method) => container(method, args).await?,
                    None => names(function, args).await?,
                },
                ("types", "[static]outgoing-value.new-outgoing-value") => {
                    let opened = opened().await.map_err(|error| Problem::from(&error))?;
                    Some(Value::Own(Resource::new(Outgoing::new(opened))))
                }
                ("types", function) => values(function, args).await?,
                _ => None,
            };
            let unknown =
                || format!("the blobstore has no function `{}` of `{}`", call.function, call.interface);
            value.map(Some).ok_or_else(|| Problem::new(guest::UNSUPPORTED_CALL, unknown()))
        })
    }
}

/// The answer of one function; nothing if there is no such function.
type Answer = Option<Value>;

/// A container by its name; that it is there is looked at again with each call.
struct Container {
    opened: Opened,
    name: String,
}

/// `stream-object-names`.
struct NameStream {
    names: tokio::sync::Mutex<Box<dyn Lists>>,
    /// Counts as one of the space's open files.
    _permit: OwnedSemaphorePermit,
}

/// What the functions of `result<T, error>` answer: the error is a text.
fn told(result: Result<Option<Value>, BlobError>) -> Answer {
    Some(match result {
        Ok(value) => Value::Result(Ok(value.map(Box::new))),
        Err(error) => Value::err(text(&error).into()),
    })
}

fn text(error: &BlobError) -> String {
    match error {
        BlobError::StoreFailed(source) => {
            tracing::error!(error = %source, "the blobstore failed");
            format!("{}: {error}: {source}", error.code())
        }
        BlobError::ServerFailed(source) => {
            tracing::error!(error = %source, "the server of a blobstore failed");
            format!("{}: {error}", error.code())
        }
        _ => format!("{}: {error}", error.code()),
    }
}

fn container_value(opened: Opened, name: String) -> Option<Value> {
    Some(Value::Own(Resource::new(Container { opened, name })))
}

async fn create_container(opened: Result<Opened, BlobError>, name: String) -> Answer {
    let create = async || {
        let opened = opened?;
        opened.space.create_container(&name).await?;
        Ok(container_value(opened, name))
    };
    told(create().await)
}

async fn get_container(opened: Result<Opened, BlobError>, name: String) -> Answer {
    let get = async || {
        let opened = opened?;
        match opened.space.container_exists(&name).await? {
            true => Ok(container_value(opened, name)),
            false => Err(BlobError::ContainerNotFound { container: name }),
        }
    };
    told(get().await)
}

async fn delete_container(opened: Result<Opened, BlobError>, name: String) -> Answer {
    let delete = async || opened?.space.delete_container(&name).await;
    told(delete().await.map(|()| None))
}

async fn container_exists(opened: Result<Opened, BlobError>, name: String) -> Answer {
    let exists = async || opened?.space.container_exists(&name).await;
    told(exists().await.map(|exists| Some(exists.into())))
}

async fn copy(opened: Result<Opened, BlobError>, from: ObjectId, to: ObjectId) -> Answer {
    let copy = async || opened?.space.copy(&from, &to).await;
    told(copy().await.map(|()| None))
}

async fn rename(opened: Result<Opened, BlobError>, from: ObjectId, to: ObjectId) -> Answer {
    let rename = async || opened?.space.rename(&from, &to).await;
    told(rename().await.map(|()| None))
}

fn id(args: &mut Args) -> Result<ObjectId, Problem> {
    let mut fields = args.record()?;
    Ok(ObjectId { container: fields.string()?, object: fields.string()? })
}

async fn container(method: &str, mut args: Args) -> Result<Answer, Problem> {
    let container: Arc<Container> = args.resource()?;
    let result = match method {
        "name" => Ok(Some(container.name.clone().into())),
        "info" => container.info().await,
        "get-data" => container.get_data(args.string()?, args.u64()?, args.u64()?).await,
        "write-data" => container.write_data(args.string()?, args.resource()?).await,
        "list-objects" => container.list().await,
        "delete-object" => container.delete(vec![args.string()?]).await,
        "delete-objects" => container.delete(args.strings()?).await,
        "has-object" => container.has(args.string()?).await,
        "object-info" => container.object_info(args.string()?).await,
        "clear" => container.clear().await,
        _ => return Ok(None),
    };
    Ok(told(result))
}

impl Container {
    fn id(&self, object: String) -> ObjectId {
        ObjectId { container: self.name.clone(), object }
    }

    async fn info(&self) -> Result<Option<Value>, BlobError> {
        let created_at = self.opened.space.container_created_at(&self.name).await?;
        Ok(Some(Value::Record(vec![self.name.clone().into(), created_at.into()])))
    }

    async fn get_data(&self, object: String, start: u64, end: u64) -> Result<Option<Value>, BlobError> {
        if start > end {
            return Err(BlobError::BadRange { start, end });
        }
        let permit = self.opened.permit()?;
        let id = self.id(object);
        let range = self.opened.space.open(&id, start, end).await?;
        Ok(Some(Value::Own(Resource::new(Incoming::new(range, permit)))))
    }

    async fn write_data(&self, object: String, value: Arc<Outgoing>) -> Result<Option<Value>, BlobError> {
        let id = self.id(object);
        // Better told now than after all its bytes were written.
        self.opened.space.check(&id).await?;
        value.write_data(Target { space: self.opened.space.clone(), id }).await?;
        Ok(None)
    }

    async fn list(&self) -> Result<Option<Value>, BlobError> {
        let permit = self.opened.permit()?;
        let names = self.opened.space.list(&self.name).await?;
        let stream = NameStream { names: names.into(), _permit: permit };
        Ok(Some(Value::Own(Resource::new(stream))))
    }

    async fn delete(&self, objects: Vec<String>) -> Result<Option<Value>, BlobError> {
        self.opened.space.delete(&self.name, objects).await?;
        Ok(None)
    }

    async fn has(&self, object: String) -> Result<Option<Value>, BlobError> {
        let id = self.id(object);
        let has = self.opened.space.has(&id).await?;
        Ok(Some(has.into()))
    }

    async fn object_info(&self, object: String) -> Result<Option<Value>, BlobError> {
        let id = self.id(object.clone());
        let found = self.opened.space.info(&id).await?;
        let fields = [object.into(), self.name.clone().into(), found.created_at.into(), found.size.into()];
        Ok(Some(Value::Record(fields.into())))
    }

    async fn clear(&self) -> Result<Option<Value>, BlobError> {
        self.opened.space.clear(&self.name).await?;
        Ok(None)
    }
}

async fn names(function: &str, mut args: Args) -> Result<Answer, Problem> {
    let Some(method) = function.strip_prefix("[method]stream-object-names.") else { return Ok(None) };
    let stream: Arc<NameStream> = args.resource()?;
    let result = match method {
        "read-stream-object-names" => {
            let count = args.u64()?;
            let read = stream.names.lock().await.read(count).await;
            read.map(|(names, end)| (Value::List(names.into_iter().map(Value::String).collect()), end))
        }
        "skip-stream-object-names" => {
            let count = args.u64()?;
            let skipped = stream.names.lock().await.skip(count).await;
            skipped.map(|(skipped, end)| (skipped.into(), end))
        }
        _ => return Ok(None),
    };
    Ok(told(result.map(|(value, end)| Some(Value::Tuple(vec![value, end.into()])))))
}

async fn values(function: &str, mut args: Args) -> Result<Answer, Problem> {
    Ok(match function {
        "[method]outgoing-value.outgoing-value-write-body" => {
            let value: Arc<Outgoing> = args.resource()?;
            // The type has no room for a reason.
            Some(match value.write_body().await {
                Ok(sender) => Value::ok(Value::Output(Output(sender))),
                Err(error) => {
                    tracing::warn!(error = text(&error), "an outgoing-value has no stream");
                    Value::Result(Err(None))
                }
            })
        }
        "[static]outgoing-value.finish" => {
            let value: Arc<Outgoing> = args.resource()?;
            told(value.finish().await.map(|()| None))
        }
        "[static]incoming-value.incoming-value-consume-sync" => {
            let value: Arc<Incoming> = args.resource()?;
            told(value.all().await.map(|bytes| Some(Value::Bytes(bytes))))
        }
        "[static]incoming-value.incoming-value-consume-async" => {
            let value: Arc<Incoming> = args.resource()?;
            told(value.stream().await.map(|stream| Some(Value::Input(Input::new(stream)))))
        }
        "[method]incoming-value.size" => {
            let value: Arc<Incoming> = args.resource()?;
            Some(value.size().into())
        }
        _ => None,
    })
}
