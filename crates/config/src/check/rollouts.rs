//! Rollouts: their pairs of upstreams, and the routes that lead to them.

use sluicegate_core::KeyInput;

use super::{Findings, name_fault, unknown};
use crate::{Document, document::UpstreamRef};

pub(super) fn check(document: &Document, found: &mut Findings) {
    let upstreams: Vec<&str> = document.upstreams.keys().map(String::as_str).collect();
    let rollouts: Vec<&str> = document.rollouts.keys().map(String::as_str).collect();
    for (name, rollout) in &document.rollouts {
        let path = format!("rollouts.{name}");
        if let Some(message) = name_fault(name) {
            found.fault_at_key(&path, message);
        }
        for (key, upstream) in [("active", &rollout.active), ("candidate", &rollout.candidate)] {
            if !upstreams.contains(&upstream.as_str()) {
                found.fault(format!("{path}.{key}"), unknown("upstream", upstream, &upstreams));
            }
        }
        if let Err(faults) = rollout.check() {
            for (key, message) in faults {
                found.fault(format!("{path}.{key}"), message);
            }
        }
        if matches!(rollout.sticky, Some(KeyInput::Tenant(true))) && document.tenants.is_none() {
            let message = "requests have no tenant unless `tenants.from` says where it stands; add it, or choose another key";
            found.fault(format!("{path}.sticky.tenant"), message);
        }
        let leads_here =
            |route: &UpstreamRef| matches!(route, UpstreamRef::Rollout(it) if it.rollout == *name);
        if !document.routes.iter().any(|route| leads_here(&route.upstream)) {
            let message = format!("no route leads to it; write `upstream: {{ rollout: {name} }}` on one");
            found.warn(path, message);
        }
    }
    for (at, route) in document.routes.iter().enumerate() {
        if let UpstreamRef::Rollout(it) = &route.upstream
            && !rollouts.contains(&it.rollout.as_str())
        {
            let message = unknown("rollout", &it.rollout, &rollouts);
            found.fault(format!("routes[{at}].upstream.rollout"), message);
        }
    }
}
