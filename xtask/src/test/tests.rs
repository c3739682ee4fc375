use super::*;

#[test]
fn results_are_summed() {
    let mut counts = Counts::default();
    for line in [
        "running 4 tests",
        "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        "test result: FAILED. 2 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
    ] {
        counts.add(line);
    }
    assert_eq!(counts, Counts { passed: 5, failed: 2, skipped: 1, said: 0 });
}

#[test]
fn a_test_that_says_it_cannot_run_has_not_passed() {
    let mut counts = Counts::default();
    for line in [
        "running 3 tests",
        "test machine::a ... ",
        "skipped: `unshare -rn` or `ip` does not work here",
        "ok",
        "test cli::skipped: ... ok",
        "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
    ] {
        counts.add(line);
    }
    assert_eq!(counts, Counts { passed: 2, failed: 0, skipped: 2, said: 0 });
    assert_eq!(counts.skipped(), ", 2 skipped");
}
