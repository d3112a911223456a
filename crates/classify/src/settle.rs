//! What a request is, from its head and the rules of one snapshot.

use http::{HeaderMap, HeaderName, Method, Uri, request::Parts};
use sluicegate_core::{Access, Classified, Code, Facts, Refusal};

use crate::{
    deadline, lane,
    path::{Flaw, canonical_target},
    rpc,
    rules::{RouteEntry, RpcForm, Rules, Table},
};

/// Headers by which a client asks for another method than the request line's. A service
/// that honours one runs a write that the gateway took for a read.
const METHOD_OVERRIDES: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];

/// What the head alone settles.
pub(crate) struct Settled {
    pub(crate) classified: Classified,
    /// Set where the body may hold a JSON-RPC request whose id is wanted.
    pub(crate) rpc: Option<RpcForm>,
}

/// Settles a request by its head, and brings that into the form in which it is forwarded.
///
/// `length` is the body's, where it is known.
pub(crate) fn settle(
    table: &impl Table,
    parts: &mut Parts,
    length: Option<u64>,
    facts: &Facts,
) -> Result<Settled, Refusal> {
    if let Some(target) = canonical_target(&parts.method, &parts.uri)? {
        let mut uri = std::mem::take(&mut parts.uri).into_parts();
        uri.path_and_query = Some(target);
        // Cannot fail: scheme and authority stood in a URI with a path before.
        parts.uri = Uri::from_parts(uri).map_err(|_| Flaw::NoPath)?;
    }
    table.with(|rules| by_rules(rules, parts, length, facts))
}

fn by_rules(
    rules: &Rules,
    parts: &mut Parts,
    length: Option<u64>,
    facts: &Facts,
) -> Result<Settled, Refusal> {
    let path = parts.uri.path();
    let route = rules.router.find(&parts.method, path).ok_or_else(|| no_route(&parts.method, path))?;
    let tenant = rules.tenant(&parts.headers)?;
    let allowance = deadline::allowance(route.deadline, &parts.headers)?;
    let classified = Classified {
        access: access(route, &parts.method, &mut parts.headers),
        route: route.plan.clone(),
        tenant,
        lane: lane::lane(route.lane, rules.lane.as_ref(), &parts.headers)?,
        cost: route.cost.of(&parts.headers, length)?,
        // A time past the clock's end is no deadline.
        deadline: allowance.and_then(|allowance| facts.received().checked_add(allowance)),
        rpc: None,
    };
    let rpc = route.rpc.filter(|_| rpc::may_hold_request(&parts.method, &parts.headers));
    Ok(Settled { classified, rpc })
}

/// Whether the request writes; strips or heeds what asks for another method.
fn access(route: &RouteEntry, method: &Method, headers: &mut HeaderMap) -> Access {
    let overridden = if route.allow_method_override {
        METHOD_OVERRIDES.iter().any(|name| headers.contains_key(name))
    } else {
        for name in &METHOD_OVERRIDES {
            headers.remove(name);
        }
        false
    };
    // What the service will make of an override is its own affair; it may be a write.
    let by_method = if overridden { Access::Write } else { Access::of_method(method) };
    route.access.unwrap_or(by_method)
}

/// At most so many characters of what the client sent are said back.
const MAX_ECHO: usize = 200;

fn no_route(method: &Method, path: &str) -> Refusal {
    let asked = [method.as_str(), " ", path].into_iter().flat_map(str::chars);
    let asked: String = asked.filter(|c| matches!(c, ' '..='~')).take(MAX_ECHO).collect();
    Refusal::new(
        Code::NoRoute,
        format!("no route takes {asked}; check the method, and the path's case and slashes"),
    )
}
