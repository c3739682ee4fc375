//! Who talks to whom: messages, queue groups and durable key-value with watches.
