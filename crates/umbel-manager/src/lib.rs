//! Desired state to plan (pure) to execute (idempotent).
