//! What a request is, from its head and the rules of one snapshot.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, Method, Uri, header, request::Parts};
use sluicegate_core::{Access, Classified, Code, Doubt, Facts, Refusal};
use tokio::time::Instant;

use crate::{
    content, deadline, lane,
    path::{Flaw, canonical_target},
    preset::{ByPreset, Told},
    router::Asked,
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
    /// Why the request is refused though a route took it: the refusal is told under that route, and
    /// in its form.
    pub(crate) refusal: Option<Refusal>,
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

/// Settles a request by its head, and brings that into the form in which it is forwarded. Refused
/// here is what no route takes.
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
    let told = access(route, &parts.method, parts.uri.path(), &mut parts.headers);
    let mut classified = Classified {
        // Where the body is to tell, a write until it has.
        access: if let Told::Is(access) = told { access } else { Access::Write },
        route: route.plan.clone(),
        tenant: None,
        lane: route.lane.unwrap_or_default(),
        cost: 1,
        deadline: ends(facts, route.deadline),
        rpc: None,
    };
    let refusal = by_head(&mut classified, rules, route, (parts, length), facts).err();
    let id = wanted_id(route, parts);
    let access = if refusal.is_none() { wanted_access(route, told, parts, facts) } else { None };
    let wanted = (id.is_some() || access.is_some()).then_some(Wanted { id, access, cap: route.peek });
    Ok(Settled { classified, wanted, refusal })
}

/// Settles what may be refused: the token, and what the head says of tenant, deadline, lane and cost.
/// What was settled before a refusal stays.
fn by_head(
    classified: &mut Classified,
    rules: &Rules,
    route: &RouteEntry,
    (parts, length): (&Parts, Option<u64>),
    facts: &Facts,
) -> Result<(), Refusal> {
    let claims = rules.claims(route.claims, &parts.headers)?;
    classified.tenant = rules.tenant_of(&parts.uri, &parts.headers, claims.as_deref())?;
    if let Some(claims) = claims {
        facts.set_claims(claims);
    }
    classified.deadline = ends(facts, deadline::allowance(route.deadline, &parts.headers)?);
    classified.lane = lane::lane(route.lane, rules.lane.as_ref(), &parts.headers)?;
    classified.cost = route.cost.of(&parts.headers, length)?;
    Ok(())
}

/// When an allowance is used up. A time past the clock's end is no deadline.
fn ends(facts: &Facts, allowance: Option<Duration>) -> Option<Instant> {
    allowance.and_then(|allowance| facts.received().checked_add(allowance))
}

/// The id of a JSON-RPC request, if the head says that the body could hold one.
fn wanted_id(route: &RouteEntry, parts: &Parts) -> Option<RpcForm> {
    route.rpc.filter(|_| parts.method == Method::POST && content::says_json(&parts.headers))
}

/// Whether the request writes, if the body is to tell and the head says that it could.
fn wanted_access(route: &RouteEntry, told: Told, parts: &Parts, facts: &Facts) -> Option<Telling> {
    let (Some(by), Told::ByBody { kept }) = (&route.preset, told) else { return None };
    if !content::says_json(&parts.headers) {
        facts.set_doubt(Doubt::Form);
        return None;
    }
    Some(Telling { by: by.clone(), kept })
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
