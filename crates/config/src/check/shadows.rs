//! Shadows: where copies go, and whether they say anything.

use std::{collections::BTreeMap, path::Path};

use sluicegate_core::{Access, KeyInput};
use sluicegate_shadow::{MOST_SHADOWS, ShadowInput, ShadowsInput};

use super::{Findings, unknown};
use crate::{
    Document,
    document::{RouteInput, UpstreamRef},
};

pub(super) fn check(document: &Document, found: &mut Findings) {
    let upstreams: Vec<&str> = document.upstreams.keys().map(String::as_str).collect();
    // Where the differing pairs of all shadows are written.
    let mut logs = BTreeMap::new();
    gates(document, found);
    for (at, route) in document.routes.iter().enumerate() {
        for (key, message) in route.answers.check() {
            found.fault(format!("routes[{at}].answers.{key}"), message);
        }
        let Some(shadows) = &route.shadow else {
            if !route.answers.is_empty() {
                let message = "nothing reads it: the route has no `shadow` that compares";
                found.warn(format!("routes[{at}].answers"), message);
            }
            continue;
        };
        let path = format!("routes[{at}].shadow");
        if let ShadowsInput::Several(several) = shadows
            && !(1..=MOST_SHADOWS).contains(&several.len())
        {
            let message =
                format!("has {} shadows; write 1 to {MOST_SHADOWS}, or remove the key", several.len());
            found.fault(&path, message);
        }
        let mut before: Vec<&str> = Vec::new();
        for (inside, shadow) in shadows.each() {
            let path = format!("{path}{inside}");
            leads(document, route, shadow, (&path, &upstreams), found);
            if before.contains(&&*shadow.to) {
                let message = format!("`{}` gets copies of this route already; remove one", shadow.to);
                found.fault(format!("{path}.to"), message);
            }
            before.push(&shadow.to);
            if let Err(faults) = shadow.check(&route.answers, &Path::to_path_buf) {
                // What is wrong with `answers` has been told there.
                for (key, message) in
                    faults.into_iter().filter(|(key, _)| !key.starts_with("compare.answers."))
                {
                    found.fault(format!("{path}.{key}"), message);
                }
            }
            let log = shadow.compare.as_ref().and_then(|compare| compare.log.as_ref());
            if let Some(log) = log
                && let Some(first) = logs.insert(log.path.clone(), path.clone())
            {
                let message = format!("`{}` is the log of {first} already; two would overwrite it", log.path);
                found.fault(format!("{path}.compare.log.path"), message);
            }
        }
    }
}

/// The shadows that rollouts wait for.
fn gates(document: &Document, found: &mut Findings) {
    let routes: Vec<&str> = document.routes.iter().map(|route| route.name.as_str()).collect();
    for (name, rollout) in &document.rollouts {
        for (at, gate) in rollout.shadows.iter().enumerate() {
            let path = format!("rollouts.{name}.shadows[{at}]");
            let Some(route) = document.routes.iter().find(|route| route.name == gate.route) else {
                found.fault(format!("{path}.route"), unknown("route", &gate.route, &routes));
                continue;
            };
            let to = gate.to(rollout);
            let shadow = route.shadow.iter().flat_map(ShadowsInput::each).find(|(_, shadow)| shadow.to == to);
            let message = match shadow {
                Some((_, shadow)) if shadow.compare.is_some() => continue,
                Some(_) => format!(
                    "the shadow of `{}` to `{to}` does not compare; add `compare: {{}}` there",
                    route.name
                ),
                None => format!(
                    "`{}` has no shadow to `{to}`; add one, or name where its copies go by `to`",
                    route.name
                ),
            };
            found.fault(path, message);
        }
    }
}

/// Where the copies of one shadow go, and whether there are any.
fn leads(
    document: &Document,
    route: &RouteInput,
    shadow: &ShadowInput,
    (path, upstreams): (&str, &[&str]),
    found: &mut Findings,
) {
    if !upstreams.contains(&shadow.to.as_str()) {
        found.fault(format!("{path}.to"), unknown("upstream", &shadow.to, upstreams));
    }
    if matches!(&route.upstream, UpstreamRef::Named(name) if *name == shadow.to) {
        let message =
            "is the route's own upstream; name another one (`noise` says how many copies go to its own)";
        found.fault(format!("{path}.to"), message);
    }
    if matches!(shadow.sample_by, Some(KeyInput::Tenant(true))) && document.tenants.is_none() {
        let message = "requests have no tenant unless `tenants.from` says where it stands; add it, or choose another key";
        found.fault(format!("{path}.sample_by.tenant"), message);
    }
    if route.access == Some(Access::Write) && !shadow.writes {
        let message = "copies nothing: the route's requests are writes; for a test copy that may be written to say `writes: true`";
        found.warn(path, message);
    }
}
