use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use prometheus_client::registry::Registry;
use sluicegate_core::{Access, Chance, Classified, Facts, Lane, RoutePlan};
use tokio::{task::LocalSet, time::Instant};

use super::{Exchange, Pools};
use crate::{
    Retries, RouteTimeouts, UpstreamMetrics, UpstreamPlan, UpstreamSettings, Upstreams, input::UpstreamInput,
};

/// The future of a request sits in its connection's slot: with all the layers around it, it must
/// stay under 2 KiB.
#[tokio::test]
async fn the_future_of_an_exchange_is_small() {
    let input: UpstreamInput = serde_json::from_str(r#"{ "endpoints": ["http://127.0.0.1:1"] }"#).unwrap();
    let settings = UpstreamSettings::check("main", &input, &std::path::Path::to_owned).unwrap();
    let metrics = UpstreamMetrics::register(&mut Registry::default());
    let prepared = Upstreams::new(metrics, tokio::runtime::Handle::current()).prepare(vec![settings]);
    let second = Duration::from_secs(1);
    let plan = UpstreamPlan {
        upstream: prepared.get("main").unwrap().clone(),
        timeouts: RouteTimeouts { connect: second, per_try: None, deadline: second, stream_idle: second },
        retries: Retries { tries: 3, base: second, cap: second, budget: 0.2 },
        preserve_host: false,
        second: None,
    };
    let client = Some(Ipv4Addr::LOCALHOST.into());
    let facts = Facts::new(HeaderValue::from_static("id"), client, Instant::now(), false);
    facts.classify(Classified {
        route: Arc::new(RoutePlan::new("all", "main").with(plan)),
        access: Access::Read,
        tenant: None,
        lane: Lane::Interactive,
        cost: 1,
        deadline: None,
        rpc: None,
    });
    let mut request = Request::builder().method(Method::GET).uri("/").body(Full::<Bytes>::default()).unwrap();
    request.extensions_mut().insert(facts);
    LocalSet::new()
        .run_until(async {
            let exchange = Exchange::begin(Pools::new(Chance::seeded(1)), request).unwrap();
            let size = size_of_val(&exchange.run());
            // What is left is for the layers around it and for a larger body type.
            assert!(size <= 1792, "{size} bytes");
        })
        .await;
}
