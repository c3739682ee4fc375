//! Runs wasm: compiles and caches components, pools instances, enforces budgets.
