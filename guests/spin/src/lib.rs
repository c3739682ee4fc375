//! Never ends a request, except with `?quick=1`.

fn answer(request: &guest::IncomingRequest) -> String {
    if guest::number(request, "quick", 0) == 1 {
        return "quick\n".to_owned();
    }
    let mut turns = 0u64;
    loop {
        turns = core::hint::black_box(turns.wrapping_add(1));
    }
}

guest::serve!(answer);
