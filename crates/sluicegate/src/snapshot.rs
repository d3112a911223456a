//! The configuration as requests see it: one immutable value in one `ArcSwap`.
//!
//! Everything a request is judged by hangs from here: the router, whose leaves are route
//! plans, and what the ingress needs before a route is known. A reload builds a whole new
//! one and swaps it in; requests that are under way keep the plan they were given.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName};
use sluicegate_body::BodyLimits;
use sluicegate_classify::{Pattern, RouteEntry, RouteMatch, Router, RpcForm, Rules, input::TenantSource};
use sluicegate_config::{
    Loaded, Problem, Rejected,
    document::{Document, RefusalForm, RouteInput, UpstreamRef, WhenFrozen},
    problem_at,
};
use sluicegate_core::{Deferral, Refusal, RoutePlan, Tenant};
use sluicegate_idempotency::{Fences, UpstreamPromises};
use sluicegate_intents::{Intents, IntentsSettings, RouteRules};
use sluicegate_upstream::{
    Prepared, RouteTimeouts, Upstream, UpstreamPlan, UpstreamSettings, Upstreams, forward::TrustedPeers,
    input::UpstreamInput,
};

use crate::{access_log::AccessLog, metrics::RequestMetrics};

/// One configuration, ready to serve requests.
#[derive(Debug)]
pub struct Snapshot {
    rules: Rules,
    pub(crate) trusted_peers: TrustedPeers,
    pub(crate) access_log: Option<Arc<AccessLog>>,
    pub(crate) upstreams: Prepared,
    by_name: HashMap<Box<str>, Arc<RouteEntry>>,
    pub(crate) keeping: Keeping,
}

/// The homes that route plans hold parts of. They outlive every snapshot.
#[derive(Clone, Debug)]
pub struct Homes {
    /// The pools of upstreams.
    pub upstreams: Arc<Upstreams>,
    /// The fences of idempotency keys.
    pub fences: Fences,
    /// The writes that are kept for later.
    pub intents: Intents,
    /// What is counted of requests.
    pub metrics: RequestMetrics,
}

/// How writes are kept for later: what the backfill is told when the snapshot is taken.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    pub(crate) settings: Arc<IntentsSettings>,
    pub(crate) routes: Vec<(String, RouteRules)>,
}

impl AsRef<Rules> for Snapshot {
    fn as_ref(&self) -> &Rules {
        &self.rules
    }
}

impl Snapshot {
    /// One that serves nothing: what stands before the first document is taken.
    pub(crate) fn empty(upstreams: &Upstreams) -> Self {
        Self {
            rules: Rules { router: Router::new([]), tenant: None },
            trusted_peers: TrustedPeers::default(),
            access_log: None,
            upstreams: upstreams.prepare(Vec::new()),
            by_name: HashMap::new(),
            keeping: Keeping::default(),
        }
    }

    /// The route of that name.
    pub(crate) fn route(&self, name: &str) -> Option<&Arc<RouteEntry>> {
        self.by_name.get(name)
    }

    /// Who a request with these headers is for.
    pub(crate) fn tenant(&self, headers: &HeaderMap) -> Result<Option<Tenant>, Refusal> {
        self.rules.tenant(headers)
    }

    /// A snapshot of `loaded` without an access log, for benches and tests of the stack: its
    /// upstreams are not probed.
    pub fn detached(loaded: &Loaded, homes: &Homes) -> Result<Self, Rejected> {
        Self::build(loaded, homes, None)
    }

    /// Builds a snapshot from a checked document; asks the resolver and reads files, and
    /// changes nothing. All problems are told at once.
    pub(crate) fn build(
        loaded: &Loaded,
        homes: &Homes,
        access_log: Option<Arc<AccessLog>>,
    ) -> Result<Self, Rejected> {
        let document = &*loaded.document;
        let prepared = homes.upstreams.prepare(upstream_settings(loaded)?);
        let mut problems = Vec::new();
        let tenant = tenant_header(loaded).map_err(|problem| problems.push(problem)).ok().flatten();
        let mut keeping = Keeping { settings: intents(loaded, tenant.as_ref())?, routes: Vec::new() };
        let (mut routes, mut by_name) = (Vec::new(), HashMap::new());
        for (at, route) in document.routes.iter().enumerate() {
            match self::route(document, route, &prepared, homes, &mut keeping) {
                Ok(entry) => {
                    by_name.insert(route.name.as_str().into(), entry.1.clone());
                    routes.push(entry);
                }
                Err((path, message)) => {
                    problems.push(problem_at(loaded, &format!("routes[{at}].{path}"), message));
                }
            }
        }
        if !problems.is_empty() {
            return Err(Rejected { problems });
        }
        Ok(Self {
            rules: Rules { router: Router::new(routes), tenant },
            trusted_peers: TrustedPeers::new(document.trusted_peers.iter().map(|peer| peer.0).collect()),
            access_log,
            upstreams: prepared,
            by_name,
            keeping,
        })
    }
}

fn intents(loaded: &Loaded, tenant: Option<&HeaderName>) -> Result<Arc<IntentsSettings>, Rejected> {
    let settings = loaded.document.intents.check().map_err(|faults| Rejected {
        problems: faults
            .into_iter()
            .map(|(path, message)| problem_at(loaded, &format!("intents.{path}"), message))
            .collect(),
    })?;
    Ok(Arc::new(match tenant {
        Some(header) => settings.keeping(header.clone()),
        None => settings,
    }))
}

fn upstream_settings(loaded: &Loaded) -> Result<Vec<UpstreamSettings>, Rejected> {
    let resolve = |path: &Path| loaded.source.resolve(path);
    let (mut settings, mut problems) = (Vec::new(), Vec::new());
    for (name, input) in &loaded.document.upstreams {
        match UpstreamSettings::check(name, input, &resolve) {
            Ok(checked) => settings.push(checked),
            Err(errors) => {
                problems.extend(errors.into_iter().map(|error| {
                    problem_at(loaded, &format!("upstreams.{name}.{}", error.path), error.message)
                }));
            }
        }
    }
    if problems.is_empty() { Ok(settings) } else { Err(Rejected { problems }) }
}

fn tenant_header(loaded: &Loaded) -> Result<Option<HeaderName>, Problem> {
    let Some(tenants) = &loaded.document.tenants else { return Ok(None) };
    let TenantSource::Header(name) = &tenants.from else { return Ok(None) };
    HeaderName::from_bytes(name.as_bytes()).map(Some).map_err(|_| {
        problem_at(
            loaded,
            "tenants.from.header",
            format!("`{name}` is not a header name; write one such as x-tenant-id"),
        )
    })
}

type Entry = (RouteMatch, Arc<RouteEntry>);

fn route(
    document: &Document,
    input: &RouteInput,
    upstreams: &Prepared,
    homes: &Homes,
    keeping: &mut Keeping,
) -> Result<Entry, (String, String)> {
    let mut matching = RouteMatch::path(Pattern::new(&input.r#match.path));
    if let Some(methods) = &input.r#match.methods {
        matching = matching.methods(methods.iter().map(|method| method.0.clone()));
    }
    let UpstreamRef::Named(name) = &input.upstream else {
        return Err(("upstream".to_owned(), "rollouts are not available yet".to_owned()));
    };
    let (Some(upstream), Some(settings)) = (upstreams.get(name), document.upstreams.get(name)) else {
        return Err(("upstream".to_owned(), format!("there is no upstream `{name}`")));
    };
    let plan = RoutePlan::new(input.name.as_str(), name.as_str())
        .with(proxy(document, input, settings, upstream))
        .with(body_limits(document, input, settings))
        .with(homes.metrics.route(&input.name));
    let plan = fenced(plan, input, settings, homes, keeping)?;
    let rpc = match input.refusal {
        RefusalForm::Http => None,
        RefusalForm::JsonRpc => Some(RpcForm { always_ok: false }),
        RefusalForm::Rpc => Some(RpcForm { always_ok: true }),
    };
    let entry = RouteEntry {
        access: input.access,
        deadline: Some(input.limits.deadline.unwrap_or(document.limits.deadline).0),
        rpc,
        allow_method_override: input.allow_method_override,
        ..RouteEntry::new(Arc::new(plan))
    };
    Ok((matching, Arc::new(entry)))
}

/// Adds what a route needs for its keys, and for keeping its writes.
fn fenced(
    plan: RoutePlan,
    input: &RouteInput,
    upstream: &UpstreamInput,
    homes: &Homes,
    keeping: &mut Keeping,
) -> Result<RoutePlan, (String, String)> {
    let Some(keys) = &input.idempotency else { return Ok(plan) };
    let settings = keys.check().map_err(|faults| {
        let (path, message) = faults.into_iter().next().unwrap_or_default();
        (format!("idempotency.{path}"), message)
    })?;
    let promises =
        UpstreamPromises { honours_keys: upstream.honours_keys, not_applied: upstream.not_applied.clone() };
    let fences = homes.fences.plan(&input.name, &settings, &promises);
    let plan = match input.when_frozen {
        WhenFrozen::Refuse => plan,
        WhenFrozen::Queue => {
            let rules = RouteRules {
                honours_keys: promises.honours_keys,
                not_applied: promises.not_applied,
                on_unknown: fences.on_unknown(),
                fence_ttl: settings.ttl,
                open_when_lost: settings.when_lost == sluicegate_idempotency::WhenLost::Open,
            };
            keeping.routes.push((input.name.clone(), rules.clone()));
            plan.with(homes.intents.plan(&input.name, keeping.settings.clone(), rules)).with(Deferral)
        }
    };
    Ok(plan.with(fences))
}

fn proxy(
    document: &Document,
    route: &RouteInput,
    upstream: &UpstreamInput,
    pool: &Arc<Upstream>,
) -> UpstreamPlan {
    let (top, own, its) = (&document.timeouts, &route.timeouts, &upstream.timeouts);
    let timeouts = RouteTimeouts {
        connect: its.connect.unwrap_or(top.connect).0,
        per_try: own.per_try.or(its.per_try).or(top.per_try).map(|limit| limit.0),
        stream_idle: own.stream_idle.or(its.stream_idle).unwrap_or(top.stream_idle).0,
    };
    UpstreamPlan { upstream: pool.clone(), timeouts, preserve_host: route.preserve_host }
}

fn body_limits(document: &Document, route: &RouteInput, upstream: &UpstreamInput) -> BodyLimits {
    let idle: Duration =
        route.timeouts.body_idle.or(upstream.timeouts.body_idle).unwrap_or(document.timeouts.body_idle).0;
    BodyLimits { max: route.limits.max_body.or(document.limits.max_body).map(|size| size.0), idle }
}
