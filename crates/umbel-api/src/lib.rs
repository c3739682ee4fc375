//! The public HTTP API, its OpenAPI document, the event stream and the client.
