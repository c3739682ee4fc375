//! An allocator that serves small needs from memory that the component has anyway.
//!
//! The standard allocator asks for a new page of memory on its first use. In a fresh instance per request that is a system
//! call when the page is added and one when the host takes it away again, which costs more than saying hello. This one hands
//! out a static block first, starts over when nothing of it is in use, and passes what does not fit to the standard one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;

const SIZE: usize = 16 << 10;

#[repr(align(16))]
struct Block(UnsafeCell<[u8; SIZE]>);

struct Use {
    end: usize,
    live: usize,
}

pub struct Arena {
    block: Block,
    used: UnsafeCell<Use>,
}

// SAFETY: a component instance has one thread.
unsafe impl Sync for Arena {}

impl Arena {
    pub const fn new() -> Arena {
        Arena { block: Block(UnsafeCell::new([0; SIZE])), used: UnsafeCell::new(Use { end: 0, live: 0 }) }
    }

    fn holds(&self, at: *mut u8) -> bool {
        (at as usize).wrapping_sub(self.block.0.get() as usize) < SIZE
    }
}

// SAFETY: pieces never overlap, because `end` only moves up while any piece is live; a piece that came from the system
// allocator goes back there, because it does not lie within the block.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = &mut *self.used.get();
        let start = used.end.next_multiple_of(layout.align());
        if layout.align() > 16 || layout.size() > SIZE || start > SIZE - layout.size() {
            return System.alloc(layout);
        }
        used.end = start + layout.size();
        used.live += 1;
        (self.block.0.get() as *mut u8).add(start)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if !self.holds(at) {
            return System.dealloc(at, layout);
        }
        let used = &mut *self.used.get();
        used.live -= 1;
        if used.live == 0 {
            used.end = 0;
        }
    }
}
