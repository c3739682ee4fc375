//! Sleeps `?ms=N` before it answers.

fn answer(request: &guest::IncomingRequest) -> String {
    let ms = guest::number(request, "ms", 100);
    wasip2::clocks::monotonic_clock::subscribe_duration(ms * 1_000_000).block();
    format!("slept {ms} ms\n")
}

guest::serve!(answer);
