//! OTP supervision for tasks, threads and OS processes.
