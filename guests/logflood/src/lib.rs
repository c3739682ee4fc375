//! Writes as much log as the query asks for: `?lines=N&size=BYTES` by `wasi:logging`, standard output and standard error,
//! each line with terminal escapes that a careless reader's terminal would obey.

wit_bindgen::generate!({
    inline: "
        package umbel:logflood;
        world needs { import wasi:logging/logging@0.1.0-draft; }
        package wasi:logging@0.1.0-draft {
            interface logging {
                enum level { trace, debug, info, warn, error, critical }
                log: func(level: level, context: string, message: string);
            }
        }
    ",
    world: "umbel:logflood/needs",
    generate_all,
});

use wasi::logging::logging::{log, Level};
use wasip2::io::streams::OutputStream;

fn answer(request: &guest::IncomingRequest) -> String {
    let lines = guest::number(request, "lines", 10);
    let size = guest::number(request, "size", 80) as usize;
    let out = wasip2::cli::stdout::get_stdout();
    let err = wasip2::cli::stderr::get_stderr();
    for number in 0..lines {
        let mut line = format!("\u{1b}[2J\u{1b}]0;owned\u{7}line {number} \u{1b}[31m");
        while line.len() < size {
            line.push('x');
        }
        log(Level::Warn, "flood", &line);
        line.push('\n');
        write(&out, line.as_bytes());
        write(&err, line.as_bytes());
    }
    format!("{lines} lines\n")
}

fn write(to: &OutputStream, text: &[u8]) {
    for piece in text.chunks(4096) {
        let _ = to.blocking_write_and_flush(piece);
    }
}

guest::serve!(answer);
