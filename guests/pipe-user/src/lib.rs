//! Reads and writes streams of another component: `/give?bytes=`, `/take?bytes=`, `/echo?bytes=`, `/break-off?bytes=`, `/drop?bytes=` (reads a
//! little and no more). The answer is how many bytes came through, and whether they were the right ones.

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wit_bindgen::{StreamReader, StreamResult};
use wasip3::{wit_future, wit_stream};

mod pipe {
    wit_bindgen::generate!({
        inline: "
            package umbel:test@0.1.0;

            interface pipe {
                give: async func(bytes: u64) -> stream<u8>;
                take: async func(data: stream<u8>) -> u64;
                echo: async func(data: stream<u8>) -> stream<u8>;
                break-off: async func(bytes: u64) -> stream<u8>;
            }

            world user {
                import pipe;
            }
        ",
        world: "umbel:test/user",
        runtime_path: "wit_bindgen::rt",
        generate_all,
    });
}

use pipe::umbel::test::pipe as server;

const PIECE: usize = 64 << 10;

struct Component;

wasip3::http::service::export!(Component);

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let bytes = path.split_once("bytes=").and_then(|(_, n)| n.parse().ok()).unwrap_or(1u64 << 20);
        let text = match path.split('?').next().unwrap_or_default() {
            "/give" => count(server::give(bytes).await, u64::MAX).await,
            "/break-off" => count(server::break_off(bytes).await, u64::MAX).await,
            "/drop" => count(server::give(bytes).await, 1).await,
            "/take" => format!("{} bytes", server::take(written(bytes)).await),
            "/echo" => count(server::echo(written(bytes)).await, u64::MAX).await,
            _ => "no such thing".into(),
        };
        Ok(answer(text))
    }
}

/// Reads the stream to its end, or until it has read so much.
async fn count(mut data: StreamReader<u8>, most: u64) -> String {
    let (mut count, mut wrong) = (0u64, 0u64);
    let mut buffer = Vec::with_capacity(PIECE);
    loop {
        buffer.clear();
        let (result, read) = data.read(buffer).await;
        wrong += read.iter().zip(count..).filter(|(byte, at)| **byte != *at as u8).count() as u64;
        count += read.len() as u64;
        buffer = read;
        if count >= most || !matches!(result, StreamResult::Complete(_)) {
            return format!("{count} bytes, {wrong} of them wrong");
        }
    }
}

fn written(bytes: u64) -> StreamReader<u8> {
    let (mut writer, reader) = pipe::wit_stream::new();
    wit_bindgen::spawn_local(async move {
        let mut left = bytes;
        while left > 0 {
            let length = left.min(PIECE as u64) as usize;
            left -= length as u64;
            if !writer.write_all((0..length).map(|at| at as u8).collect()).await.is_empty() {
                return;
            }
        }
    });
    reader
}

fn answer(text: String) -> Response {
    let (mut body, reader) = wit_stream::new();
    let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(reader), trailers_reader);
    drop(trailers);
    wit_bindgen::spawn_local(async move {
        let _ = body.write_all(text.into_bytes()).await;
    });
    response
}
