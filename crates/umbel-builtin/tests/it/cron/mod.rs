//! Jobs by a clock that the test turns. Tokio's time flies whenever nothing else is to do, so that nothing is waited for.

mod bed;

use bed::{Bed, START, Scheduler, link, scheduler, wait_for};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use umbel_builtin::cron::JobStats;
use umbel_core::link::Contract;
use umbel_wit::Value;

fn only(bed: &Bed) -> JobStats {
    let mut stats = bed.cron.stats();
    assert_eq!(stats.len(), 1, "{stats:?}");
    stats.remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_at_its_times_with_its_payload() {
    let bed = Bed::new().await;
    let component = Scheduler::new(&bed, "app-report");
    bed.put("app-report", scheduler(), &[("schedule", "*/5 * * * *"), ("payload", "{\"kind\":\"full\"}")])
        .await;
    wait_for("its next time is known", || only(&bed).next == Some(START + Duration::from_secs(300))).await;
    for n in 1..=3 {
        bed.clock.turn(299);
        bed.settle().await;
        assert_eq!(component.calls(), n - 1, "not before its time");
        bed.clock.turn(1);
        wait_for("the job runs", || only(&bed).succeeded == n as u64).await;
    }
    assert_eq!(component.payloads(), vec!["{\"kind\":\"full\"}"; 3]);
    let stats = only(&bed);
    assert_eq!(
        (stats.job.as_str(), stats.component.as_str(), stats.schedule.as_str()),
        ("app-report", "app-report", "*/5 * * * *")
    );
    assert_eq!((stats.failed, stats.skipped, stats.missed, stats.running), (0, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_still_running_is_not_started_again_and_hurts_no_other() {
    let bed = Bed::new().await;
    let slow = Scheduler::new(&bed, "app-slow");
    slow.hold();
    let quick = Scheduler::new(&bed, "app-quick");
    bed.put("app-slow", scheduler(), &[("schedule", "* * * * * *")]).await;
    bed.put("app-quick", scheduler(), &[("schedule", "* * * * * *")]).await;
    let of = |component: &str| {
        bed.cron.stats().into_iter().find(|job| job.component == component).expect("it is a job")
    };
    for n in 1..=10 {
        bed.clock.turn(1);
        wait_for("the quick one runs", || of("app-quick").succeeded == n).await;
        wait_for("the slow one is passed over", || {
            let slow = of("app-slow");
            slow.running + slow.skipped == n
        })
        .await;
        wait_for("the slow one is called", || slow.inside.load(SeqCst) == 1).await;
    }
    assert_eq!((slow.calls(), slow.most(), of("app-slow").skipped), (1, 1, 9));
    slow.release();
    wait_for("the run ends", || of("app-slow").succeeded == 1).await;
    bed.clock.turn(1);
    wait_for("and the job runs again", || slow.calls() == 2).await;
    assert_eq!(quick.most(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_changed_job_does_not_overlap_the_run_of_the_one_before() {
    let bed = Bed::new().await;
    let component = Scheduler::new(&bed, "app-slow");
    component.hold();
    bed.put("app-slow", scheduler(), &[("schedule", "@every 1s")]).await;
    bed.clock.turn(1);
    wait_for("it runs", || component.calls() == 1).await;
    bed.put("app-slow", scheduler(), &[("schedule", "@every 2s")]).await;
    bed.clock.turn(2);
    wait_for("its time is passed over", || only(&bed).skipped == 1).await;
    component.release();
    // Until the end of the old run is noticed, times are passed over.
    let turned = || {
        bed.clock.turn(2);
        only(&bed).succeeded >= 1
    };
    wait_for("the new one runs", turned).await;
    assert_eq!(component.most(), 1);
}

#[tokio::test(start_paused = true)]
async fn overlapping_runs_can_be_allowed() {
    let bed = Bed::new().await;
    let component = Scheduler::new(&bed, "app-slow");
    component.hold();
    bed.put("app-slow", scheduler(), &[("schedule", "* * * * * *"), ("overlap", "allow")]).await;
    for n in 1..=16 {
        bed.clock.turn(1);
        wait_for("one more runs", || component.inside.load(SeqCst) == n).await;
    }
    bed.clock.turn(1);
    wait_for("there is a limit all the same", || only(&bed).skipped == 1).await;
    component.release();
    wait_for("all end", || only(&bed).succeeded == 16).await;
}

#[tokio::test(start_paused = true)]
async fn any_http_component_can_be_a_job() {
    let bed = Bed::new().await;
    let seen = bed.http("app-web", 204);
    let web = Contract::new("wasi", "http", &["incoming-handler"]);
    let config = [("schedule", "@daily"), ("payload", "hello"), ("path", "/nightly?full=1")];
    bed.put("app-web", web, &config).await;
    bed.clock.turn(86_400);
    wait_for("it runs", || only(&bed).succeeded == 1).await;
    let seen = seen.lock().expect("not poisoned")[0].clone();
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str(), seen.body.as_str()),
        ("POST", "/nightly?full=1", "hello")
    );
    assert_eq!((seen.header("x-umbel-cron"), seen.header("host")), ("app-web", "cron.localhost"));
    assert_eq!(seen.header("x-umbel-cron-time"), "2026-01-02T00:00:00.000000000Z");
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_is_counted_and_the_next_one_comes() {
    let bed = Bed::new().await;
    bed.http("app-web", 500);
    let web = Contract::new("wasi", "http", &["incoming-handler"]);
    bed.put("app-web", web, &[("schedule", "@every 10s")]).await;
    for n in 1..=2 {
        bed.clock.turn(10);
        wait_for("it fails", || only(&bed).failed == n).await;
    }
    let refuses = Scheduler::new(&bed, "app-refuses");
    refuses.answer(|| Ok(Some(Value::err("no".into()))));
    bed.put("app-refuses", scheduler(), &[("schedule", "@every 10s")]).await;
    bed.clock.turn(10);
    let refused = || bed.cron.stats().iter().any(|job| job.component == "app-refuses" && job.failed == 1);
    wait_for("it fails", refused).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_never_ends_is_cut() {
    let bed = Bed::new().await;
    let component = Scheduler::new(&bed, "app-slow");
    component.hold();
    bed.put("app-slow", scheduler(), &[("schedule", "@every 10s"), ("run_timeout_ms", "20")]).await;
    for n in 1..=2 {
        bed.clock.turn(10);
        wait_for("it is cut", || only(&bed).failed == n).await;
    }
    assert_eq!(component.inside.load(SeqCst), 0, "nothing of it is left");
}

#[tokio::test(start_paused = true)]
async fn a_command_can_be_a_job() {
    let bed = Bed::new().await;
    let component = Scheduler::with(&bed, "app-command", "wasi:cli/run");
    bed.put("app-command", Contract::new("wasi", "cli", &["run"]), &[("schedule", "@hourly")]).await;
    bed.clock.turn(3_600);
    wait_for("it runs", || only(&bed).succeeded == 1).await;
    assert_eq!(component.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_jobs_of_a_wasmcloud_manifest_run() {
    let bed = Bed::new().await;
    let component = Scheduler::new(&bed, "app-jobs");
    bed.put("app-jobs", scheduler(), &[("cronjobs", "one=0/10 * * * * *:{\"n\":1}\ntwo=0/20 * * * * *")])
        .await;
    bed.clock.turn(10);
    let succeeded = || bed.cron.stats().iter().map(|job| job.succeeded).sum::<u64>();
    wait_for("the first", || succeeded() == 1).await;
    bed.clock.turn(10);
    wait_for("both", || succeeded() == 3).await;
    let mut payloads = component.payloads();
    payloads.sort();
    assert_eq!(payloads, ["{\"n\":1}", "{\"n\":1}", "{}"]);
}

#[tokio::test(start_paused = true)]
async fn what_passed_while_the_host_was_down_is_skipped_or_run_once() {
    let mut bed = Bed::new().await;
    let component = Scheduler::new(&bed, "app-nightly");
    let config = [("schedule", "@daily"), ("catch_up", "once")];
    bed.put("app-nightly", scheduler(), &config).await;
    bed.clock.turn(86_400);
    wait_for("it runs", || component.calls() == 1).await;
    bed.provider.stop(Duration::from_secs(5)).await;
    bed.clock.turn(3 * 86_400 + 7_200);
    bed.restart().await;
    let again = Scheduler::new(&bed, "app-nightly");
    bed.put("app-nightly", scheduler(), &config).await;
    wait_for("it catches up", || only(&bed).succeeded == 1).await;
    assert_eq!((again.calls(), only(&bed).missed), (1, 2));
    // The link goes and comes: it starts anew.
    bed.provider.del_link(&link("app-nightly", scheduler(), &config).link.key()).await.expect("gone");
    bed.clock.turn(10 * 86_400);
    bed.put("app-nightly", scheduler(), &config).await;
    bed.settle().await;
    assert_eq!(again.calls(), 1);
    // Without `catch_up` nothing is made up for.
    let skips = Scheduler::new(&bed, "app-skips");
    bed.put("app-skips", scheduler(), &[("schedule", "@daily")]).await;
    bed.provider.stop(Duration::from_secs(5)).await;
    bed.clock.turn(10 * 86_400);
    bed.restart().await;
    bed.put("app-skips", scheduler(), &[("schedule", "@daily")]).await;
    bed.settle().await;
    assert_eq!(skips.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_slept_misses_what_it_slept_through() {
    let bed = Bed::new().await;
    let component = Scheduler::new(&bed, "app-nightly");
    bed.put("app-nightly", scheduler(), &[("schedule", "@daily")]).await;
    bed.clock.turn(2 * 86_400 + 7_200);
    wait_for("they are counted", || only(&bed).missed == 2).await;
    assert_eq!(component.calls(), 0);
    bed.clock.turn(86_400 - 7_200);
    wait_for("the next one runs", || component.calls() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn links_come_change_and_go() {
    let bed = Bed::new().await;
    let component = Scheduler::new(&bed, "app-job");
    let config = [("schedule", "@every 10s")];
    bed.put("app-job", scheduler(), &config).await;
    bed.clock.turn(5);
    bed.settle().await;
    bed.put("app-job", scheduler(), &config).await;
    bed.clock.turn(5);
    wait_for("putting it again does not start it anew", || only(&bed).succeeded == 1).await;
    bed.provider
        .put_link(link("app-job", scheduler(), &[("schedule", "not a line")]))
        .await
        .expect_err("wrong");
    bed.clock.turn(10);
    wait_for("a wrong change changes nothing", || only(&bed).succeeded == 2).await;
    let key = link("app-job", scheduler(), &config).link.key();
    for _ in 0..2 {
        bed.provider.del_link(&key).await.expect("gone, also a second time");
    }
    bed.clock.turn(100);
    bed.settle().await;
    assert_eq!((component.calls(), bed.cron.stats().len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn links_that_make_no_sense_are_refused() {
    let bed = Bed::new().await;
    let daily = [("schedule", "@daily")];
    for (contract, config, code) in [
        (Contract::new("wasi", "keyvalue", &["store"]), &daily[..], "UM1164"),
        (scheduler(), &[("schedule", "* * 30 * * * *")], "UM1161"),
        (scheduler(), &[("schedule", "0 25 * * *")], "UM1161"),
        (scheduler(), &[("schedule", "0 0 31 2 *")], "UM1162"),
        (scheduler(), &[("schedule", "@daily"), ("timezone", "Nowhere")], "UM1163"),
        (scheduler(), &[("schedule", "@daily"), ("nonsense", "")], "UM1160"),
        (scheduler(), &[], "UM1160"),
    ] {
        let problem = bed.provider.put_link(link("app-x", contract, config)).await.expect_err("refused");
        assert_eq!(problem.code.to_string(), code, "{problem}");
    }
    let problem = bed
        .provider
        .put_link(link("app-x", scheduler(), &[("schedule", "0 25 * * *")]))
        .await
        .expect_err("refused");
    assert!(problem.message.contains("column 3") && problem.message.contains("hour"), "{problem}");
    let mut from = link("cron", scheduler(), &daily);
    from.link.source_id = "app-x".into();
    assert_eq!(bed.provider.put_link(from).await.expect_err("refused").code.to_string(), "UM1164");
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_a_run_and_cuts_it_at_the_deadline() {
    let bed = Bed::new().await;
    let component = Scheduler::new(&bed, "app-slow");
    component.hold();
    bed.put("app-slow", scheduler(), &[("schedule", "@every 10s")]).await;
    bed.clock.turn(10);
    wait_for("it runs", || component.inside.load(SeqCst) == 1).await;
    bed.provider.stop(Duration::from_millis(50)).await;
    wait_for("it is cut", || component.inside.load(SeqCst) == 0).await;
}
