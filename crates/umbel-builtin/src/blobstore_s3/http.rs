//! The client of the server, over the connections that components' requests use too: the same TLS, pool and limits.

use super::config::{Place, Settings};
use crate::blobstore::error::BlobError;
use crate::http_client::{self, ClientError};
use async_trait::async_trait;
use futures::TryStreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{BackoffConfig, RetryConfig};
use std::sync::Arc;
use std::time::Duration;
use sync_wrapper::SyncStream;
use umbel_provider::http::{Body, OutgoingOptions};
use umbel_supervisor::scope::Spawner;

/// The client of one bucket. Nothing is connected before the first request.
pub(super) fn server(place: &Place, settings: &Settings, tasks: Spawner) -> Result<AmazonS3, BlobError> {
    let http = http_client::Settings {
        ca_file: settings.ca_file.clone(),
        connect_timeout: place.timeout,
        first_byte_timeout: place.timeout,
        ..http_client::Settings::default()
    };
    let client =
        http_client::Client::new(http, tasks).map_err(|error| BlobError::ServerFailed(Box::new(error)))?;
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        ..BackoffConfig::default()
    };
    let retry = RetryConfig { backoff, max_retries: 5, retry_timeout: place.timeout };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&place.bucket)
        .with_region(&place.region)
        .with_virtual_hosted_style_request(place.virtual_hosted)
        .with_allow_http(true)
        .with_retry(retry)
        .with_http_connector(Connector { client: Arc::new(client) });
    if let Some(endpoint) = &place.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder = match &place.key {
        Some(key) => builder.with_access_key_id(key.id()).with_secret_access_key(key.expose()),
        None => builder.with_skip_signature(true),
    };
    builder.build().map_err(|error| BlobError::ServerFailed(Box::new(error)))
}

#[derive(Clone)]
struct Connector {
    client: Arc<http_client::Client>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let request = request.map(|body| Body::new(body.map_err(Into::into)));
        let response = self.client.send(request, OutgoingOptions::default()).await.map_err(failed)?;
        Ok(response.map(|body| {
            let interrupted = |error| HttpError::new(HttpErrorKind::Interrupted, Told(error));
            let pieces = body.into_data_stream().map_ok(Frame::data).map_err(interrupted);
            HttpResponseBody::new(StreamBody::new(SyncStream::new(pieces)))
        }))
    }
}

/// What a failure means for trying again.
fn failed(error: ClientError) -> HttpError {
    let kind = match &error {
        ClientError::Dns { .. }
        | ClientError::Connect { .. }
        | ClientError::ConnectTimeout { .. }
        | ClientError::Connections { .. } => HttpErrorKind::Connect,
        ClientError::FirstByteTimeout { .. } => HttpErrorKind::Timeout,
        ClientError::Tls { .. } | ClientError::Uri { .. } | ClientError::AddressDenied { .. } => {
            HttpErrorKind::Unknown
        }
        _ => HttpErrorKind::Interrupted,
    };
    HttpError::new(kind, error)
}

/// An error without a type of its own.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Told(umbel_provider::http::BodyError);
