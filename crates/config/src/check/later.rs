//! Keys that are known and not served yet.

use sluicegate_classify::input::TenantSource;

use super::Findings;
use crate::{
    Document,
    document::{LimitsInput, RouteLimitsInput, UpstreamRef},
};

pub(super) fn check(document: &Document, found: &mut Findings) {
    let mut later = |path: String, is_used: bool| {
        if is_used {
            let key = path.rsplit_once('.').map_or(path.as_str(), |(_, key)| key);
            let message =
                format!("`{key}` is not available yet: this version does not do it; remove the key");
            found.fault_at_key(path, message);
        }
    };
    for (name, upstream) in &document.upstreams {
        let path = |key| format!("upstreams.{name}.{key}");
        later(path("pins"), upstream.pins.is_some());
        later(path("manifest"), upstream.manifest.is_some());
    }
    if let Some(tenants) = &document.tenants {
        later("tenants.from.query".into(), matches!(tenants.from, TenantSource::Query(_)));
        later("tenants.from.api_key".into(), matches!(tenants.from, TenantSource::ApiKey(_)));
        later("tenants.from.claim".into(), matches!(tenants.from, TenantSource::Claim(_)));
        later("tenants.classes".into(), tenants.classes.is_some());
    }
    for (key, is_used) in top_limits(&document.limits) {
        later(format!("limits.{key}"), is_used);
    }
    later("retries".into(), document.retries.is_some());
    for (at, route) in document.routes.iter().enumerate() {
        let path = |key| format!("routes[{at}].{key}");
        later(path("upstream.rollout"), matches!(route.upstream, UpstreamRef::Rollout(_)));
        for (key, is_used) in route_limits(&route.limits) {
            later(format!("routes[{at}].limits.{key}"), is_used);
        }
        later(path("shadow"), route.shadow.is_some());
        later(path("preset"), route.preset.is_some());
        later(path("read_tools"), route.read_tools.is_some());
    }
    later("rollouts".into(), document.rollouts.is_some());
}

fn top_limits(limits: &LimitsInput) -> [(&'static str, bool); 9] {
    [
        ("rps", limits.rps.is_some()),
        ("burst", limits.burst.is_some()),
        ("concurrent", limits.concurrent.is_some()),
        ("queue", limits.queue.is_some()),
        ("per", limits.per.is_some()),
        ("enforce", limits.enforce.is_some()),
        ("cost", limits.cost.is_some()),
        ("shed", limits.shed.is_some()),
        ("budget", limits.budget.is_some()),
    ]
}

fn route_limits(limits: &RouteLimitsInput) -> [(&'static str, bool); 9] {
    [
        ("rps", limits.rps.is_some()),
        ("burst", limits.burst.is_some()),
        ("concurrent", limits.concurrent.is_some()),
        ("queue", limits.queue.is_some()),
        ("per", limits.per.is_some()),
        ("enforce", limits.enforce.is_some()),
        ("cost", limits.cost.is_some()),
        ("shed", limits.shed.is_some()),
        ("budget", limits.budget.is_some()),
    ]
}
