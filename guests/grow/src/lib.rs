//! Grows its memory as far as it is let, and says how far. With `?touch=1` it also writes to every page.

const PAGE: usize = 64 << 10;

fn answer(request: &guest::IncomingRequest) -> String {
    let touch = guest::number(request, "touch", 0) == 1;
    let most = guest::number(request, "pages", u64::MAX);
    let mut grown = 0;
    while grown < most {
        let page = core::arch::wasm32::memory_grow::<0>(1);
        if page == usize::MAX {
            break;
        }
        if touch {
            // SAFETY: the page has just been added and belongs to nobody else.
            unsafe { core::ptr::write_volatile((page * PAGE) as *mut u8, 1) };
        }
        grown += 1;
    }
    // Without a free page left, making a string of the answer must not need one.
    format!("{grown} pages\n")
}

guest::serve!(answer);
