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
    assert_eq!(counts, Counts { passed: 5, failed: 2, ignored: 1 });
}
