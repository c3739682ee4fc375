use super::Settings;
use crate::cron::CatchUp;
use std::time::Duration;
use umbel_core::Coded;
use umbel_core::code::cron as code;
use umbel_core::link::Values;

const NOW: Duration = Duration::from_secs(1_763_731_200);

fn values(items: &[(&str, &str)]) -> Values {
    items.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect()
}

#[test]
fn the_links_values_override_the_providers() {
    let provider = values(&[("timezone", "Europe/Berlin"), ("run_timeout_ms", "1000"), ("overlap", "allow")]);
    let link =
        values(&[("schedule", " 0 3 * * * "), ("overlap", "skip"), ("catch_up", "once"), ("payload", "{ }")]);
    let settings = Settings::read(&provider, &link, "nightly", NOW).expect("valid");
    let job = &settings.jobs[0];
    assert_eq!(
        (job.name.as_str(), job.schedule.text(), &job.payload[..]),
        ("nightly", "0 3 * * *", &b"{ }"[..])
    );
    assert_eq!((settings.at_once_max, settings.catch_up), (1, CatchUp::Once));
    assert_eq!(settings.run_timeout, Duration::from_secs(1));
    // 2025-11-21 13:20 UTC; 3 o'clock in Berlin is 2 in UTC.
    assert_eq!(job.schedule.next(NOW, NOW), Some(Duration::from_secs(1_763_776_800)));
}

#[test]
fn the_jobs_of_a_wasmcloud_manifest_are_read_as_there() {
    let lines = "daily=0 0 0 * * ?:{\"type\":\"report\"}\n\n  often = 0/10 * * * * * *\n";
    let settings =
        Settings::read(&Values::new(), &values(&[("cronjobs", lines)]), "default", NOW).expect("valid");
    let jobs: Vec<_> = settings.jobs.iter().map(|job| (job.name.as_str(), &job.payload[..])).collect();
    assert_eq!(jobs, [("daily", &b"{\"type\":\"report\"}"[..]), ("often", &b"{}"[..])]);
    assert_eq!(settings.jobs[1].schedule.next(NOW, NOW), Some(NOW + Duration::from_secs(10)));
}

#[test]
fn slips_are_refused() {
    let long = "x".repeat(70_000);
    for (items, expected) in [
        (&[][..], code::CRON_CONFIG),
        (&[("schedul", "@daily")], code::CRON_CONFIG),
        (&[("schedule", "@daily"), ("cronjobs", "a=@daily")], code::CRON_CONFIG),
        (&[("schedule", "@dayly")], code::CRON_SCHEDULE),
        (&[("schedule", "0 0 30 2 *")], code::CRON_NEVER),
        (&[("schedule", "@daily"), ("timezone", "Mars/Olympus")], code::CRON_TIMEZONE),
        (&[("schedule", "@daily"), ("timezone", "../../etc/passwd")], code::CRON_TIMEZONE),
        (&[("schedule", "@daily"), ("overlap", "yes")], code::CRON_CONFIG),
        (&[("schedule", "@daily"), ("catch_up", "all")], code::CRON_CONFIG),
        (&[("schedule", "@daily"), ("run_timeout_ms", "0")], code::CRON_CONFIG),
        (&[("schedule", "@daily"), ("path", "nightly")], code::CRON_CONFIG),
        (&[("schedule", "@daily"), ("path", "/a b")], code::CRON_CONFIG),
        (&[("schedule", "@daily"), ("payload", &long)], code::CRON_CONFIG),
        (&[("cronjobs", "")], code::CRON_CONFIG),
        (&[("cronjobs", "@daily")], code::CRON_CONFIG),
        (&[("cronjobs", "=@daily")], code::CRON_CONFIG),
        (&[("cronjobs", "a=@daily\na=@hourly")], code::CRON_CONFIG),
        (&[("cronjobs", "a=* * *:x")], code::CRON_SCHEDULE),
    ] {
        let error = Settings::read(&Values::new(), &values(items), "default", NOW).expect_err("refused");
        assert_eq!(error.code(), expected, "{items:?}: {error}");
    }
    let many: Vec<String> = (0..101).map(|n| format!("job{n}=@daily")).collect();
    assert!(Settings::read(&Values::new(), &values(&[("cronjobs", &many.join("\n"))]), "d", NOW).is_err());
}
