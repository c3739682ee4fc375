use super::*;

#[test]
fn the_median_is_in_the_middle() {
    assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
}

#[test]
fn wrk_is_read() {
    let text = "Running 4s test @ http://127.0.0.1:1/\n  1 threads and 32 connections\n  116994 requests in 2.10s, 15.51MB read\n\
                Requests/sec:  55714.29\nTransfer/sec:      7.39MB\n";
    assert_eq!(wrk::parse(text).unwrap(), wrk::Counted { requests: 116_994.0, per_second: 55_714.29 });
    for failure in ["  Non-2xx or 3xx responses: 7", "  Socket errors: connect 0, read 3, write 0, timeout 0"]
    {
        assert!(wrk::parse(&format!("{text}{failure}\n")).is_err());
    }
}

#[test]
fn processes_are_read() {
    let line = "42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 20 30 20 0 9 0 100 200 300";
    assert_eq!(cpu::parse(line).unwrap(), cpu::Stat { pid: 42, parent: 7, cpu: 2.5 });
    assert!(cpu::resident_bytes(std::process::id()).unwrap() > 0);
}

#[test]
fn a_report_says_what_is_missed() {
    let mut report = Report::default();
    report.at_most("fast", 2.0, 3.0, " ×");
    report.at_most("slow", 123.4, 3.0, " ms");
    report.state("size", "20 MiB".to_owned());
    assert_eq!(report.missed(), 1);
    let rows = [
        "| fast | 2.00 × | ≤ 3.00 × | reached |",
        "| slow | 123 ms | ≤ 3.00 ms | MISSED |",
        "| size | 20 MiB |  |  |",
    ];
    for row in rows {
        assert!(report.markdown().contains(row), "{}", report.markdown());
    }
}
