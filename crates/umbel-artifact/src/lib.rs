//! Fetches, verifies and caches artifacts by digest.
