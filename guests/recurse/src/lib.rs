//! Recurses without end.

#[expect(unconditional_recursion, reason = "that is what it is for")]
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    let next = core::hint::black_box(depth + 1);
    core::hint::black_box(deeper(next)) + 1
}

fn answer(_: &guest::IncomingRequest) -> String {
    format!("{}\n", deeper(0))
}

guest::serve!(answer);
