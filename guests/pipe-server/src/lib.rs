//! Gives and takes streams of bytes: what it gives counts up from 0 at every 256 bytes.

use wit_bindgen::{StreamReader, StreamResult};

wit_bindgen::generate!({
    inline: "
        package umbel:test@0.1.0;

        interface pipe {
            give: async func(bytes: u64) -> stream<u8>;
            take: async func(data: stream<u8>) -> u64;
            echo: async func(data: stream<u8>) -> stream<u8>;
            break-off: async func(bytes: u64) -> stream<u8>;
        }

        world server {
            export pipe;
        }
    ",
    world: "umbel:test/server",
    runtime_path: "wit_bindgen::rt",
    generate_all,
});

use exports::umbel::test::pipe::Guest;

const PIECE: usize = 64 << 10;

struct Component;

export!(Component);

fn given(bytes: u64, breaks_off: bool) -> StreamReader<u8> {
    let (mut writer, reader) = wit_stream::new();
    wit_bindgen::spawn_local(async move {
        let mut left = bytes;
        let mut piece: Vec<u8> = (0..PIECE).map(|at| at as u8).collect();
        while left > 0 {
            piece.truncate(left.min(PIECE as u64) as usize);
            left -= piece.len() as u64;
            let rest = writer.write_all(piece).await;
            if !rest.is_empty() {
                return;
            }
            piece = (0..PIECE).map(|at| at as u8).collect();
        }
        assert!(!breaks_off, "it was to break off");
    });
    reader
}

impl Guest for Component {
    async fn give(bytes: u64) -> StreamReader<u8> {
        given(bytes, false)
    }

    async fn take(mut data: StreamReader<u8>) -> u64 {
        let mut count = 0;
        let mut buffer = Vec::with_capacity(PIECE);
        loop {
            buffer.clear();
            let (result, read) = data.read(buffer).await;
            count += read.len() as u64;
            buffer = read;
            if !matches!(result, StreamResult::Complete(_)) {
                return count;
            }
        }
    }

    async fn echo(mut data: StreamReader<u8>) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            loop {
                let (result, read) = data.read(Vec::with_capacity(PIECE)).await;
                if !read.is_empty() && !writer.write_all(read).await.is_empty() {
                    return;
                }
                if !matches!(result, StreamResult::Complete(_)) {
                    return;
                }
            }
        });
        reader
    }

    async fn break_off(bytes: u64) -> StreamReader<u8> {
        given(bytes, true)
    }
}
