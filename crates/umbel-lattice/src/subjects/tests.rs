use super::*;
use crate::subject;
use umbel_core::id::{ComponentId, HostId};

#[test]
fn patterns_cover_what_is_said_under_them() {
    let l = LatticeName::new("default").expect("a name");
    let h = HostId::new("NBRZMDCRF4QWAACNVAYFE7E2OUHYWLNBV7PWGIVVAXD5QDZXJGQQIA67").expect("an id");
    let c = ComponentId::new("hello-http.component").expect("an id");
    let covered = [
        (ctl::host_any(&l, &h), vec![ctl::host_get(&l, &h), ctl::host_stop(&l, &h)]),
        (ctl::component_any(&l, &h), vec![ctl::component_scale(&l, &h), ctl::component_update(&l, &h)]),
        (ctl::provider_any(&l, &h), vec![ctl::provider_start(&l, &h), ctl::provider_stop(&l, &h)]),
        (ctl::label_any(&l, &h), vec![ctl::label_put(&l, &h), ctl::label_del(&l, &h)]),
        (ctl::link_any(&l), vec![ctl::link_put(&l), ctl::link_get(&l), ctl::link_del(&l)]),
        (
            ctl::config_any(&l),
            vec![ctl::config_put(&l, "a"), ctl::config_get(&l, "a.b"), ctl::config_del(&l, "a")],
        ),
        (evt::any(&l), vec![evt::event(&l, "host_started")]),
        (
            wadm::any(&l),
            vec![
                wadm::put(&l),
                wadm::list(&l),
                wadm::get_all(&l),
                wadm::get(&l, "a"),
                wadm::del(&l, "a"),
                wadm::versions(&l, "a"),
                wadm::deploy(&l, "a"),
                wadm::undeploy(&l, "a"),
                wadm::status(&l, "a"),
            ],
        ),
        (
            umbel::host_any(&l, &h),
            vec![
                umbel::tree(&l, &h),
                umbel::drain(&l, &h),
                umbel::artifact_pin(&l, &h),
                umbel::inspect(&l, &h),
                umbel::logs(&l, &h),
                umbel::host_events(&l, &h),
            ],
        ),
        (umbel::log_any(&l), vec![umbel::log(&l, &c)]),
        (umbel::event_any(&l), vec![umbel::event(&l, "provider_swapped")]),
    ];
    for (pattern, subjects) in covered {
        subject::check_pattern(&pattern).expect("a pattern");
        for said in subjects {
            subject::check(&said).expect("a subject");
            assert!(subject::matches(&pattern, &said), "{pattern} does not cover {said}");
        }
    }
}

#[test]
fn the_words_are_those_of_wasmcloud() {
    let l = LatticeName::new("default").expect("a name");
    let h = HostId::new("NXYZ").expect("an id");
    for (ours, theirs) in [
        (ctl::host_ping(&l), "wasmbus.ctl.v1.default.host.ping"),
        (ctl::host_get(&l, &h), "wasmbus.ctl.v1.default.host.get.NXYZ"),
        (ctl::component_scale(&l, &h), "wasmbus.ctl.v1.default.component.scale.NXYZ"),
        (ctl::component_auction(&l), "wasmbus.ctl.v1.default.component.auction"),
        (ctl::provider_auction(&l), "wasmbus.ctl.v1.default.provider.auction"),
        (ctl::provider_start(&l, &h), "wasmbus.ctl.v1.default.provider.start.NXYZ"),
        (ctl::label_put(&l, &h), "wasmbus.ctl.v1.default.label.put.NXYZ"),
        (ctl::link_put(&l), "wasmbus.ctl.v1.default.link.put"),
        (ctl::claims_get(&l), "wasmbus.ctl.v1.default.claims.get"),
        (ctl::config_put(&l, "http"), "wasmbus.ctl.v1.default.config.put.http"),
        (ctl::registry_put(&l), "wasmbus.ctl.v1.default.registry.put"),
        (cfg::request(&l), "wasmbus.cfg.default.req"),
        (ctl::config_group(&l), "wasmbus.ctl.v1.default.config"),
        (evt::event(&l, "config_set"), "wasmbus.evt.default.config_set"),
        (wadm::put(&l), "wadm.api.default.model.put"),
        (wadm::status(&l, "rust-hello-world"), "wadm.api.default.model.status.rust-hello-world"),
    ] {
        assert_eq!(ours, theirs);
    }
}
