//! State files that cannot be used: a coded error, and the file as it was.
