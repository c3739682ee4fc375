use super::*;
use std::collections::BTreeSet;

#[test]
fn every_route_is_documented_and_every_documented_route_exists() {
    let routes: BTreeSet<String> =
        listed().iter().map(|(method, path)| format!("{} {path}", method.as_str().to_lowercase())).collect();
    let mut documented = BTreeSet::new();
    for (path, operations) in crate::openapi::document()["paths"].as_object().unwrap() {
        documented.extend(operations.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
    }
    assert_eq!(routes, documented);
}

/// Time is the test's here: what sleeps is over at once, in the order of its deadlines.
#[tokio::test(start_paused = true)]
async fn looking_into_a_component_may_take_longer_than_anything_else() {
    use axum::body::Body;
    use hyper::service::Service as _;
    use std::time::Duration;

    // Compiling takes up to three minutes, after another compilation perhaps.
    let slow = || async { tokio::time::sleep(Duration::from_secs(360)).await };
    let router = Router::new()
        .route("/v1/inspect", axum::routing::get(slow))
        .route("/v1/hosts", axum::routing::get(slow))
        .layer(axum::middleware::from_fn(in_time));
    let router = hyper_util::service::TowerToHyperService::new(router);
    for (path, expect) in [("/v1/inspect", 200), ("/v1/hosts", 504)] {
        let request = http::Request::get(path).body(Body::empty()).unwrap();
        let response = router.call(request).await.unwrap();
        assert_eq!(response.status(), expect, "{path}");
    }
}
