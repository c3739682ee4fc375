//! The providers that ship in the binary.
