use std::{sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use sluicegate_core::Chance;
use tokio::time::advance;

use super::{Endpoint, Trial};
use crate::{breaker::Rule, input::Protocol, metrics::UpstreamMetrics, settings::EndpointSettings};

pub(crate) const RULE: Rule = Rule {
    consecutive: 3,
    ratio: None,
    minimum: 20,
    base: Duration::from_secs(10),
    max: Duration::from_secs(30),
    probes: 1,
};

/// An endpoint of which nothing is known yet.
pub(crate) fn endpoint() -> Arc<Endpoint> {
    endpoint_at("http://127.0.0.1:1")
}

/// The same, as it stands in a document.
pub(crate) fn endpoint_at(text: &str) -> Arc<Endpoint> {
    let metrics = UpstreamMetrics::register(&mut Registry::default());
    let settings = EndpointSettings {
        text: text.into(),
        host: "127.0.0.1".into(),
        port: 1,
        authority: "127.0.0.1:1".parse().unwrap(),
        host_header: http::HeaderValue::from_static("127.0.0.1:1"),
        addresses: vec![([127, 0, 0, 1], 1).into(), ([127, 0, 0, 2], 1).into()],
        receive_buffer: None,
        tls: None,
    };
    Arc::new(Endpoint::new(&settings, Protocol::Auto, metrics.handles("u")))
}

/// Fails requests until it is left out.
pub(crate) fn fail(endpoint: &Arc<Endpoint>) {
    for _ in 0..3 {
        Trial::begin(endpoint, &RULE).unwrap().failed(&RULE, &Chance::seeded(1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_it_is_told_as_and_what_is_counted() {
    let endpoint = endpoint();
    assert_eq!(endpoint.state(), "healthy");
    fail(&endpoint);
    assert_eq!((endpoint.state(), endpoint.is_available()), ("open", false));
    let wait = Trial::begin(&endpoint, &RULE).unwrap_err();
    advance(wait).await;
    assert_eq!((endpoint.state(), endpoint.is_available()), ("half_open", false));
    let mut probe = Trial::begin(&endpoint, &RULE).unwrap();
    assert!(Trial::begin(&endpoint, &RULE).is_err());
    probe.succeeded(&RULE);
    assert_eq!((endpoint.state(), endpoint.is_available()), ("healthy", true));
    let counted =
        endpoint.metrics.transitions.each_ref().map(prometheus_client::metrics::counter::Counter::get);
    assert_eq!(counted, [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_try_that_is_dropped_gives_the_place_of_its_probe_back() {
    let endpoint = endpoint();
    fail(&endpoint);
    advance(Trial::begin(&endpoint, &RULE).unwrap_err()).await;
    for _ in 0..10 {
        drop(Trial::begin(&endpoint, &RULE).unwrap());
    }
    assert_eq!(endpoint.state(), "half_open", "it says nothing of the endpoint");
}

#[tokio::test]
async fn probes_are_told_apart_from_news() {
    let endpoint = endpoint();
    endpoint.entrust(1, true);
    assert!(!endpoint.probed(1, true));
    assert!(endpoint.probed(1, false));
    assert!(!endpoint.probed(1, false));
    assert_eq!(endpoint.state(), "unhealthy");
    assert!(endpoint.probed(1, true));
}

#[tokio::test]
async fn only_the_present_prober_is_heard() {
    let endpoint = endpoint();
    endpoint.entrust(1, true);
    assert!(endpoint.probed(1, false));
    endpoint.entrust(2, true);
    assert!(!endpoint.probed(1, true));
    assert_eq!(endpoint.state(), "unhealthy", "what is known stays known");
    endpoint.entrust(3, false);
    assert!(!endpoint.probed(2, false));
    assert_eq!(endpoint.state(), "healthy", "nobody probes it any more");
}

#[tokio::test]
async fn addresses_take_turns() {
    let endpoint = endpoint();
    let first: Vec<_> = (0..4).map(|_| endpoint.addresses()[0]).collect();
    assert_eq!(first[0], first[2]);
    assert_ne!(first[0], first[1]);
}

#[test]
fn it_has_moved_when_an_address_is_gone() {
    let endpoint = endpoint();
    let at = |ends: &[u8]| ends.iter().map(|end| ([127, 0, 0, *end], 1).into()).collect::<Vec<_>>();
    endpoint.set_addresses(at(&[2, 1]));
    endpoint.set_addresses(at(&[1, 2, 3]));
    endpoint.set_addresses(Vec::new());
    assert_eq!(endpoint.moved(), 0, "none was lost");
    endpoint.set_addresses(at(&[2, 3]));
    assert_eq!(endpoint.moved(), 1);
    let mut addresses = endpoint.addresses();
    addresses.sort_unstable();
    assert_eq!(addresses, at(&[2, 3]));
}
