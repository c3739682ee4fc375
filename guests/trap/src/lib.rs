//! Traps on every request.

fn answer(_: &guest::IncomingRequest) -> String {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    unreachable!();
}

guest::serve!(answer);
