//! Routes: their names, where they lead, and whether each can be reached.

use super::{Findings, name_fault, unknown, values::positive};
use crate::{
    Document,
    document::{RouteInput, UpstreamRef},
    yaml::shortened,
};

/// Each route is compared with those before it, and a request with each until one matches.
const MOST_ROUTES: usize = 4096;

pub(super) fn check(document: &Document, found: &mut Findings) {
    if document.routes.len() > MOST_ROUTES {
        let count = document.routes.len();
        return found.fault("routes", format!("there are {count} routes; {MOST_ROUTES} is the most"));
    }
    if document.routes.is_empty() {
        let message = "at least one route is needed, such as `- { name: all, match: { path: \"/{*rest}\" }, upstream: stable }`";
        found.fault("routes", message);
    }
    let upstreams: Vec<&str> = document.upstreams.keys().map(String::as_str).collect();
    for (at, route) in document.routes.iter().enumerate() {
        let (path, before) = (format!("routes[{at}]"), &document.routes[..at]);
        if let Some(message) = name_fault(&route.name) {
            found.fault(format!("{path}.name"), message);
        } else if let Some(first) = before.iter().position(|other| other.name == route.name) {
            let message =
                format!("`{}` is already the name of routes[{first}]; give each route its own", route.name);
            found.fault(format!("{path}.name"), message);
        }
        if let UpstreamRef::Named(name) = &route.upstream
            && !upstreams.contains(&name.as_str())
        {
            found.fault(format!("{path}.upstream"), unknown("upstream", name, &upstreams));
        }
        methods(&path, route, found);
        reachable(&path, route, before, found);
        let timeouts = &route.timeouts;
        let spans = [
            ("timeouts.body_idle", timeouts.body_idle),
            ("timeouts.per_try", timeouts.per_try),
            ("timeouts.stream_idle", timeouts.stream_idle),
            ("limits.deadline", route.limits.deadline),
        ];
        for (key, span) in spans.into_iter().filter_map(|(key, span)| Some((key, span?))) {
            positive(found, &format!("{path}.{key}"), span);
        }
    }
}

/// What is wrong with the name of a header.
pub(super) fn header_fault(name: &str, such_as: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let good = !name.is_empty() && name.bytes().all(fits);
    (!good).then(|| format!("`{}` is not the name of a header; write one such as {such_as}", shortened(name)))
}

fn methods(path: &str, route: &RouteInput, found: &mut Findings) {
    let Some(methods) = &route.r#match.methods else { return };
    if methods.is_empty() {
        let message = "no method is let through; name one, or remove the key to take all";
        found.fault(format!("{path}.match.methods"), message);
    }
    for (at, method) in methods.iter().enumerate() {
        if methods[..at].contains(method) {
            found.fault(
                format!("{path}.match.methods[{at}]"),
                format!("`{method}` is given twice; remove one"),
            );
        }
        if method.0 == http::Method::CONNECT {
            found.fault(format!("{path}.match.methods[{at}]"), "CONNECT is never passed on; remove it");
        }
    }
}

/// A route that an earlier one leaves nothing to is a slip in the order.
fn reachable(path: &str, route: &RouteInput, before: &[RouteInput], found: &mut Findings) {
    let Some((first, earlier)) =
        before.iter().enumerate().find(|(_, other)| other.r#match.covers(&route.r#match))
    else {
        return;
    };
    let message = format!(
        "route `{}` can never match: everything it takes goes to `{}`, routes[{first}], before it; put it first, or remove it",
        shortened(&route.name),
        shortened(&earlier.name)
    );
    found.fault(format!("{path}.match"), message);
}
