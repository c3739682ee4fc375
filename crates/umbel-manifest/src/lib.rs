//! The application manifest: parse, validate with spans, resolve.
