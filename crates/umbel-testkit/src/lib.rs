//! What tests share: fixtures, temp state folders, wait_for.
