//! Limits, lanes and tenant classes.

use std::collections::BTreeSet;

use super::{Findings, routes::header_fault};
use crate::{
    Document,
    admitted::{route_limits, shared_limits},
};

pub(super) fn check(document: &Document, found: &mut Findings) {
    let mut told = BTreeSet::new();
    let mut tell = |found: &mut Findings, faults: Vec<(String, String)>| {
        for (path, message) in faults {
            // What a route takes from the top level is told once.
            if told.insert((path.clone(), message.clone())) {
                found.fault(path, message);
            }
        }
    };
    let shared = shared_limits(document);
    for at in 0..document.routes.len() {
        if let Err(faults) = route_limits(document, at) {
            tell(found, faults);
        }
    }
    if let Err(faults) = shared {
        tell(found, faults);
    }
    if let Some(header) = document.lanes.as_ref().and_then(|lanes| lanes.header())
        && let Some(message) = header_fault(header, "x-lane")
    {
        found.fault("lanes.from.header", message);
    }
    for (at, route) in document.routes.iter().enumerate() {
        warn(document, at, route.upstream_name().unwrap_or_default(), found);
    }
}

/// What does nothing, though somebody took the trouble to write it.
fn warn(document: &Document, at: usize, upstream: &str, found: &mut Findings) {
    let (own, top) = (&document.routes[at].limits, &document.limits);
    let capped = own.concurrent.or(top.concurrent).is_some()
        || document.upstreams.get(upstream).is_some_and(|upstream| upstream.concurrent.is_some());
    if own.queue.is_some() && !capped {
        let message = "nothing waits where nothing is capped: set `concurrent` here, at the top level, or on the upstream";
        found.warn(format!("routes[{at}].limits.queue"), message);
    }
    if document.tenants.is_none() && own.per == Some(sluicegate_admission::Per::Tenant) {
        let message =
            "requests have no tenant unless `tenants.from` says where it stands: all share one bucket";
        found.warn(format!("routes[{at}].limits.per"), message);
    }
}
