//! What a request is, from its head and the rules of one snapshot.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method, Uri, header, request::Parts};
use sluicegate_core::{Access, Classified, Code, Doubt, Facts, Refusal};

use crate::{
    content, deadline, lane,
    path::{Flaw, canonical_target},
    preset::{ByPreset, Told},
    router::Asked,
    rpc,
    rules::{RouteEntry, RpcForm, Rules, Table},
};

/// Headers by which a client asks for another method than the request line's. A service
/// that honours one runs a write that the gateway took for a read.
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// Whether a header asks for another method. Servers that hand headers on as variables (CGI, WSGI)
/// do not tell `_` from `-`.
fn overrides_method(name: &HeaderName) -> bool {
    METHOD_OVERRIDES.iter().any(|known| {
        let mut pairs = name.as_str().bytes().zip(known.bytes());
        name.as_str().len() == known.len()
            && pairs.all(|(its, known)| its == known || (its, known) == (b'_', b'-'))
    })
}

/// What the head alone settles.
pub(crate) struct Settled {
    pub(crate) classified: Classified,
    /// Set where the body is to tell the rest.
    pub(crate) wanted: Option<Wanted>,
}

/// What is wanted of a body.
pub(crate) struct Wanted {
    /// The id of a JSON-RPC request, to word refusals in this form.
    pub(crate) id: Option<RpcForm>,
    /// Whether the request writes.
    pub(crate) access: Option<Telling>,
    /// How many bytes may be read for it.
    pub(crate) cap: usize,
}

/// By which rule a body tells.
pub(crate) struct Telling {
    /// That of this preset.
    pub(crate) by: Arc<ByPreset>,
    /// Whether the product keeps the answer unless the body says otherwise.
    pub(crate) kept: bool,
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
    let asked = Asked::of(parts);
    let route = rules.router.find(&asked).ok_or_else(|| no_route(asked.method, asked.path))?;
    let claims = rules.claims(route.claims, &parts.headers)?;
    let tenant = rules.tenant_of(&parts.uri, &parts.headers, claims.as_deref())?;
    if let Some(claims) = claims {
        facts.set_claims(claims);
    }
    let allowance = deadline::allowance(route.deadline, &parts.headers)?;
    let told = access(route, &parts.method, parts.uri.path(), &mut parts.headers);
    let classified = Classified {
        // Where the body is to tell, a write until it has.
        access: if let Told::Is(access) = told { access } else { Access::Write },
        route: route.plan.clone(),
        tenant,
        lane: lane::lane(route.lane, rules.lane.as_ref(), &parts.headers)?,
        cost: route.cost.of(&parts.headers, length)?,
        // A time past the clock's end is no deadline.
        deadline: allowance.and_then(|allowance| facts.received().checked_add(allowance)),
        rpc: None,
    };
    Ok(Settled { classified, wanted: wanted(route, told, parts, facts) })
}

/// What is wanted of the body, if the head says that it could tell.
fn wanted(route: &RouteEntry, told: Told, parts: &Parts, facts: &Facts) -> Option<Wanted> {
    let id = route.rpc.filter(|_| rpc::may_hold_request(&parts.method, &parts.headers));
    let access = match (&route.preset, told) {
        (Some(by), Told::ByBody { kept }) => Some(Telling { by: by.clone(), kept }),
        _ => None,
    };
    let access = access.filter(|_| {
        let says_json = content::says_json(&parts.headers);
        if !says_json {
            facts.set_doubt(Doubt::Form);
        }
        says_json
    });
    if id.is_none() && access.is_none() {
        return None;
    }
    Some(Wanted { id, access, cap: route.peek })
}

/// Whether the request writes, as far as its head tells; strips or heeds what asks for another
/// method.
fn access(route: &RouteEntry, method: &Method, path: &str, headers: &mut HeaderMap) -> Told {
    let asks = |headers: &HeaderMap| headers.keys().find(|name| overrides_method(name)).cloned();
    let mut overridden = false;
    if route.allow_method_override {
        overridden = asks(headers).is_some();
    } else {
        while let Some(name) = asks(headers) {
            headers.remove(name);
        }
    }
    match (route.access, &route.preset) {
        (Some(access), _) => Told::Is(access),
        // What the service will make of an override is its own affair; it may be a write.
        (None, _) if overridden => Told::Is(Access::Write),
        // What passes through a tunnel is not seen, and no preset knows of it.
        (None, Some(_)) if asks_for_websocket(headers) => Told::Is(Access::Write),
        (None, Some(by)) => by.settle(method, path),
        (None, None) => Told::Is(Access::of_method(method)),
    }
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    const NAME: &[u8] = b"websocket";
    let names_it = |value: &[u8]| value.windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME));
    headers.get_all(header::UPGRADE).iter().any(|value| names_it(value.as_bytes()))
}

/// At most so many characters of what the client sent are said back.
const MAX_ECHO: usize = 200;

fn no_route(method: &Method, path: &str) -> Refusal {
    let asked = [method.as_str(), " ", path].into_iter().flat_map(str::chars);
    let asked: String = asked.filter(|c| matches!(c, ' '..='~')).take(MAX_ECHO).collect();
    Refusal::new(
        Code::NoRoute,
        format!("no route takes {asked}; check the method, the path's case and slashes, and the host"),
    )
}
