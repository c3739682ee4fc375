//! `kill -9` at random times: what was acknowledged is there.
