//! The nightly report of `examples/report`: a component that the clock calls, and what it leaves for another one to show.

use crate::{ask, running, up};
use std::collections::BTreeMap;
use std::path::Path;
use umbel_testkit::Platform;
use umbel_testkit::wait::block_until;

/// Its nights come every second.
fn with_short_nights() -> Platform {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/report");
    let manifest = std::fs::read_to_string(folder.join("umbel.yaml")).unwrap();
    let manifest = manifest
        .replace("image: ./", &format!("image: {}/", folder.display()))
        .replace("schedule: \"0 3 * * *\"", "schedule: '@every 1s'");
    assert!(manifest.contains("@every 1s"), "{manifest}");
    let platform = up();
    platform.deploy(&manifest).unwrap();
    platform
}

/// Sells one; how many were sold.
fn sell(platform: &Platform, item: &str) -> u64 {
    let answer = ask(platform, "report", "POST", "/sales", Some(item.as_bytes()));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().trim().parse().unwrap()
}

fn text(platform: &Platform, path: &str) -> String {
    let answer = platform.get("report", path).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.text()
}

fn reports(platform: &Platform) -> Vec<String> {
    text(platform, "/").lines().map(str::to_owned).collect()
}

/// What all reports together say was sold.
fn reported(platform: &Platform) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for name in reports(platform) {
        let report = text(platform, &format!("/{name}"));
        assert!(report.starts_with("Sales, 20") && report.ends_with("  sales\n"), "{report}");
        let sales = report.lines().filter_map(|line| line.strip_suffix(" in all)")?.trim().split_once("  "));
        for (since, item) in sales {
            let item = item.rsplit_once(" (").unwrap().0;
            *all.entry(item.to_owned()).or_default() += since.parse::<u64>().unwrap();
        }
    }
    all
}

#[test]
fn every_sale_is_in_one_report() {
    let mut platform = with_short_nights();
    assert_eq!(reports(&platform), [""; 0], "without sales there is none");
    assert_eq!([sell(&platform, "tea"), sell(&platform, " tea\n"), sell(&platform, "é (a) 🦀")], [1, 2, 1]);
    block_until("the first report", || !reports(&platform).is_empty());

    // Sold while reports are written.
    std::thread::scope(|scope| {
        for item in ["tea", "tea", "coffee"] {
            let platform = &platform;
            scope.spawn(move || {
                for _ in 0..300 {
                    sell(platform, item);
                }
            });
        }
    });
    let expected =
        BTreeMap::from([("tea".to_owned(), 602), ("coffee".to_owned(), 300), ("é (a) 🦀".to_owned(), 1)]);
    block_until("all is reported", || reported(&platform) == expected);

    platform.signal("KILL").unwrap();
    block_until("it is gone", || !platform.is_alive());
    platform.start().unwrap();
    block_until("it answers", || platform.get("report", "/").unwrap().status == 200);
    assert_eq!(reported(&platform), expected);
    let before = reports(&platform);
    assert_eq!(sell(&platform, "coffee"), 301);
    block_until("cron goes on", || reports(&platform).len() > before.len());
    assert_eq!(reported(&platform)["coffee"], 301, "and repeats nothing");
    assert!(reports(&platform).starts_with(&before), "reports stay, and new ones come last");
}

#[test]
fn by_day_there_are_sales_and_no_reports() {
    let platform = running("report");
    assert_eq!(sell(&platform, "tea"), 1);
    for item in [&b""[..], b" \n", b"a\nb", b"a\0b", b"\xff", &[b'n'; 101]] {
        assert_eq!(ask(&platform, "report", "POST", "/sales", Some(item)).status, 400);
    }
    for path in ["/nope", "/..%2f..%2fetc%2fpasswd", "/sales", "/%00"] {
        assert_eq!(platform.get("report", path).unwrap().status, 404, "{path}");
    }
    assert_eq!(ask(&platform, "report", "DELETE", "/sales", None).status, 405);
}
