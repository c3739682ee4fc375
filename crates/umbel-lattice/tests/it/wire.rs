//! Payloads recorded from wasmCloud 1.9.2 and wadm 0.21.1.
