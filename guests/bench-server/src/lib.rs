//! Serves the smallest of contracts, so that what is measured is the call.

wit_bindgen::generate!({
    inline: "
        package umbel:bench@0.1.0;

        interface ops {
            record point { x: u32, y: u32 }
            turn: func(p: point) -> point;
            length: func(bytes: list<u8>) -> u32;
        }

        world server { export ops; }
    ",
    world: "umbel:bench/server",
});

use exports::umbel::bench::ops::{Guest, Point};

struct Server;

impl Guest for Server {
    fn turn(p: Point) -> Point {
        Point { x: p.y, y: p.x }
    }

    fn length(bytes: Vec<u8>) -> u32 {
        bytes.len() as u32
    }
}

export!(Server);
