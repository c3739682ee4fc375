//! The program as its users run it: real processes, real files, real sockets. All of it is in `tests/it`; there is no library.
//!
//! It must not know anything of the program but its command line, its files and its ports.
