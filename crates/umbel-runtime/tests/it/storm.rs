//! Callers that come and go at any moment, on several threads: nothing is lost of pool, places or memory.

use crate::rig::{Rig, Subject, any, request};
use crate::streaming::endless;
use http_body_util::BodyExt;
use std::sync::Arc;
use umbel_core::limits::{InstanceMode, Limits};

const SLOTS: u32 = 8;

/// One caller: begins a call, and goes away after as many turns as its number says.
async fn caller(subject: Arc<Subject>, number: usize) {
    let path = if number.is_multiple_of(3) { "/?quick=1&ms=3" } else { "/?ms=3600000" };
    let body = if number.is_multiple_of(2) { endless() } else { crate::rig::empty() };
    let call = async {
        // Errors are as good as answers here: what matters is what is left behind.
        if let Ok(response) = subject.component.http(request(path, body)).await {
            let mut body = response.into_body();
            for _ in 0..number % 5 {
                drop(body.frame().await);
            }
        }
    };
    tokio::pin!(call);
    for _ in 0..number % 17 {
        if futures::poll!(&mut call).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
    if number.is_multiple_of(4) {
        drop(tokio::time::timeout(std::time::Duration::from_millis(20), call).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn callers_that_come_and_go_leave_nothing_behind() {
    let rig = Rig::new(|config| config.instances_max = SLOTS);
    let limits = Limits { call_ms_max: 30, instances_max: SLOTS, waiting_max: 40, ..Limits::default() };
    let mut subjects = Vec::new();
    for name in
        ["hello", "hello-p3", "trap", "trap-p3", "spin", "slow", "slow-p3", "echo", "noanswer", "grow"]
    {
        for mode in [InstanceMode::Fresh, InstanceMode::Reuse] {
            subjects.push(Arc::new(rig.subject(&any(name), mode, limits.clone()).await));
        }
    }
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..600 {
        callers.spawn(caller(subjects[number % subjects.len()].clone(), number));
    }
    while let Some(ended) = callers.join_next().await {
        ended.expect("no caller panics");
    }
    for subject in subjects {
        umbel_testkit::wait_for("every place is given back", || {
            (subject.usage().calls_in_flight, subject.usage().calls_waiting) == (0, 0)
        })
        .await;
        // What reuse keeps goes with the component.
        let Subject { component, .. } = Arc::into_inner(subject).expect("the callers are gone");
        drop(component);
    }
    // Every slot of the pool can be had at the same moment.
    let limits = Limits { call_ms_max: 0, ..limits };
    let last = rig.subject(&any("slow"), InstanceMode::Fresh, limits).await;
    let answers = futures::future::join_all((0..SLOTS).map(|_| last.get("/?ms=50"))).await;
    for answer in answers {
        assert_eq!(answer.expect("a slot is free"), "slept 50 ms\n");
    }
    last.at_rest().await;
}

#[tokio::test]
async fn an_answer_that_is_never_read_gives_everything_back() {
    let rig = Rig::shared();
    for name in ["hello", "hello-p3", "echo", "grow"] {
        let subject = rig.subject(&any(name), InstanceMode::Fresh, Limits::default()).await;
        let response = subject.component.http(request("/?pages=3", endless())).await.expect("it answers");
        drop(response);
        subject.at_rest().await;
    }
}
