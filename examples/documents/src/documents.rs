//! The documents: objects of one container.

use crate::wasi::blobstore::blobstore;
use crate::wasi::blobstore::container::{Container, StreamObjectNames};
use crate::wasi::blobstore::types::{Error, IncomingValue, ObjectId, OutgoingValue};
use std::vec;
use wasip2::io::streams::{InputStream, OutputStream};

const CONTAINER: &str = "documents";

/// Names that are asked for at once.
const NAMES: u64 = 100;

pub struct Documents {
    container: Container,
}

/// A part of a document, opened.
pub struct Document {
    pub length: u64,
    pub stream: InputStream,
}

/// A document on its way in. Dropped before it is finished, it is nothing.
pub struct Upload {
    // In this order: the stream is the value's child.
    stream: OutputStream,
    value: OutgoingValue,
}

impl Documents {
    pub fn open() -> Result<Documents, Error> {
        Ok(Documents { container: blobstore::create_container(CONTAINER)? })
    }

    pub fn has(&self, name: &str) -> Result<bool, Error> {
        self.container.has_object(name)
    }

    pub fn size(&self, name: &str) -> Result<u64, Error> {
        Ok(self.container.object_info(name)?.size)
    }

    /// The bytes from `start` to `end`, both inclusive.
    pub fn open_range(&self, name: &str, start: u64, end: u64) -> Result<Document, Error> {
        let value = self.container.get_data(name, start, end)?;
        let length = value.size();
        Ok(Document { length, stream: IncomingValue::incoming_value_consume_async(value)? })
    }

    pub fn upload(&self, name: &str) -> Result<Upload, Error> {
        let value = OutgoingValue::new_outgoing_value();
        self.container.write_data(name, &value)?;
        let stream =
            value.outgoing_value_write_body().map_err(|()| "the store cannot take it now".to_owned())?;
        Ok(Upload { stream, value })
    }

    pub fn delete(&self, name: &str) -> Result<(), Error> {
        self.container.delete_object(name)
    }

    pub fn copy(&self, from: &str, to: &str) -> Result<(), Error> {
        blobstore::copy_object(&id(from), &id(to))
    }

    pub fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        blobstore::move_object(&id(from), &id(to))
    }

    pub fn names(&self) -> Result<Names, Error> {
        Ok(Names { stream: self.container.list_objects()?, batch: Vec::new().into_iter(), end: Ok(false) })
    }
}

fn id(name: &str) -> ObjectId {
    ObjectId { container: CONTAINER.to_owned(), object: name.to_owned() }
}

impl Upload {
    pub fn stream(&self) -> &OutputStream {
        &self.stream
    }

    /// The document is there when this has returned.
    pub fn finish(self) -> Result<(), Error> {
        drop(self.stream);
        OutgoingValue::finish(self.value)
    }
}

/// The names of all documents.
pub struct Names {
    stream: StreamObjectNames,
    batch: vec::IntoIter<String>,
    end: Result<bool, Error>,
}

impl Names {
    /// Whether the store has told all of them.
    pub fn is_complete(&self) -> bool {
        self.end == Ok(true)
    }
}

impl Iterator for Names {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            if let Some(name) = self.batch.next() {
                return Some(name);
            }
            if self.end != Ok(false) {
                return None;
            }
            match self.stream.read_stream_object_names(NAMES) {
                Ok((names, end)) => (self.batch, self.end) = (names.into_iter(), Ok(end)),
                Err(error) => self.end = Err(error),
            }
        }
    }
}
