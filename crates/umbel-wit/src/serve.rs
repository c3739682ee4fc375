//! What serves a contract, and one call of it.

use crate::value::{Resource, Value};
use bytes::Bytes;
use futures::future::BoxFuture;
use semver::Version;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_core::link::Values;

/// The link that a call comes over.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// The importer: a component or provider id.
    pub source_id: String,
    /// The link's name; `default` unless there are several to one contract.
    pub name: String,
    /// The importer's application, if it belongs to one.
    pub application: Option<String>,
    /// The link's config for the server, merged, with secrets that are text under their names.
    pub values: Values,
}

/// The keys of the values alone: there may be secrets among them.
impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("source_id", &self.source_id)
            .field("name", &self.name)
            .field("application", &self.application)
            .field("values", &self.values.keys())
            .finish()
    }
}

/// One call of a function of a contract.
#[derive(Debug)]
pub struct Call {
    /// The link it comes over.
    pub link: Arc<Link>,
    /// The interface without its version: `wasi:keyvalue/store`.
    pub interface: Arc<str>,
    /// The version that the importer has, if it names one.
    pub version: Option<Version>,
    /// The function as WIT names it: `open`, `[method]bucket.get`.
    pub function: Arc<str>,
    /// Its arguments in their order.
    pub args: Vec<Value>,
    /// How long the caller will wait.
    pub patience: Option<Duration>,
}

/// Something that serves contracts: a provider, a component, or the way to one.
pub trait Serve: Send + Sync + 'static {
    /// Carries out one call. What a function's own `result` can say is a value; a [`Problem`] is everything else, and the caller is told it
    /// as well as its types allow. Dropping the future ends the call.
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>>;
}

/// Takes arguments out of a call one after another; what does not fit is told as the mismatch that it is.
#[derive(Debug)]
pub struct Args {
    what: Arc<str>,
    rest: std::vec::IntoIter<Value>,
}

impl Args {
    /// The arguments of a call of `function`.
    pub fn new(function: &Arc<str>, args: Vec<Value>) -> Args {
        Args { what: function.clone(), rest: args.into_iter() }
    }

    /// The next one, whatever it is.
    pub fn value(&mut self) -> Result<Value, Problem> {
        self.rest.next().ok_or_else(|| self.bad("one more argument"))
    }

    /// The next one, a string.
    pub fn string(&mut self) -> Result<String, Problem> {
        match self.value()? {
            Value::String(text) => Ok(text),
            _ => Err(self.bad("a string")),
        }
    }

    /// The next one, a `list<u8>`.
    pub fn bytes(&mut self) -> Result<Bytes, Problem> {
        match self.value()? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.bad("bytes")),
        }
    }

    /// The next one, a `u32`.
    pub fn u32(&mut self) -> Result<u32, Problem> {
        match self.value()? {
            Value::U32(number) => Ok(number),
            _ => Err(self.bad("a u32")),
        }
    }

    /// The next one, a `u64`.
    pub fn u64(&mut self) -> Result<u64, Problem> {
        match self.value()? {
            Value::U64(number) => Ok(number),
            _ => Err(self.bad("a u64")),
        }
    }

    /// The next one, an `s64`.
    pub fn s64(&mut self) -> Result<i64, Problem> {
        match self.value()? {
            Value::S64(number) => Ok(number),
            _ => Err(self.bad("an s64")),
        }
    }

    /// The next one, an option.
    pub fn option(&mut self) -> Result<Option<Value>, Problem> {
        match self.value()? {
            Value::Option(value) => Ok(value.map(|value| *value)),
            _ => Err(self.bad("an option")),
        }
    }

    /// The next one, a list of anything but bytes.
    pub fn list(&mut self) -> Result<Vec<Value>, Problem> {
        match self.value()? {
            Value::List(values) => Ok(values),
            _ => Err(self.bad("a list")),
        }
    }

    /// The next one, a list of strings.
    pub fn strings(&mut self) -> Result<Vec<String>, Problem> {
        let list = self.list()?;
        let text = |value| match value {
            Value::String(text) => Ok(text),
            _ => Err(self.bad("a list of strings")),
        };
        list.into_iter().map(text).collect()
    }

    /// The next one, a record: its fields, to be taken one after another.
    pub fn record(&mut self) -> Result<Args, Problem> {
        match self.value()? {
            Value::Record(fields) => Ok(Args::new(&self.what, fields)),
            _ => Err(self.bad("a record")),
        }
    }

    /// The next one, a resource that this server made.
    pub fn resource<T: std::any::Any + Send + Sync>(&mut self) -> Result<Arc<T>, Problem> {
        match self.value()? {
            Value::Own(resource) | Value::Borrow(resource) => {
                Resource::get(&resource).ok_or_else(|| self.bad("a resource of this server"))
            }
            _ => Err(self.bad("a resource")),
        }
    }

    fn bad(&self, wanted: &str) -> Problem {
        Problem::new(
            guest::CONTRACT_MISMATCH,
            format!("`{}` was called without {wanted} where it takes it", self.what),
        )
    }
}
