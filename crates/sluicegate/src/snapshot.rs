//! The configuration as requests see it: one immutable value in one `ArcSwap`.
//!
//! Everything a request is judged by hangs from here: the router, whose leaves are route
//! plans, and what the ingress needs before a route is known. A reload builds a whole new
//! one and swaps it in; requests that are under way keep the plan they were given.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, Uri};
use sluicegate_admission::{Admission, AdmissionPlan, SharedBuckets};
use sluicegate_body::BodyLimits;
use sluicegate_classify::{RouteEntry, RouteMatch, Router, Rules, TenantFrom};
use sluicegate_config::{
    Loaded, Problem, Rejected,
    admitted::{route_limits, shared_limits},
    document::{Document, RouteInput, WhenFrozen},
    problem_at,
};
use sluicegate_core::{Deferral, Refusal, RoutePlan, Tenant, TrustedPeers, claims::VerifyTokens};
use sluicegate_idempotency::{Fences, UpstreamPromises};
use sluicegate_intents::{Intents, IntentsSettings, RouteRules};
use sluicegate_rollout::{Declared, Pinned, Rollouts};
use sluicegate_shadow::{ShadowPlan, Shadowing, Shadows};
use sluicegate_spans::Tracer;
use sluicegate_tokens::{Tokens, Verifier};
use sluicegate_upstream::{
    Prepared, Retries, Rewrite, RouteTimeouts, UpstreamPlan, Upstreams, input::UpstreamInput,
};

use crate::{access_log::AccessLog, cors::Cors, ingress::HttpRoute, metrics::RequestMetrics};

mod leads;
mod presets;
mod rollouts;
mod shadows;

use leads::{Lead, Leads};
use rollouts::Checked;

/// One configuration, ready to serve requests.
#[derive(Debug)]
pub struct Snapshot {
    rules: Rules,
    pub(crate) trusted_peers: TrustedPeers,
    pub(crate) access_log: Option<Arc<AccessLog>>,
    /// What spans are handed to, where the document asks for them.
    pub(crate) tracer: Option<Arc<Tracer>>,
    /// Which pages may read the gateway's own answers.
    pub(crate) cors: Option<Cors>,
    pub(crate) upstreams: Prepared,
    by_name: HashMap<Box<str>, Arc<RouteEntry>>,
    pub(crate) keeping: Keeping,
    /// What routes admit: it holds when the snapshot is taken.
    pub(crate) admissions: Vec<AdmissionPlan>,
    /// The rollouts, which are told when the snapshot is taken.
    pub(crate) rollouts: Vec<Declared>,
    /// What rollouts wait for.
    pub(crate) gates: Gates,
    /// Where requests are copied to: it holds when the snapshot is taken.
    pub(crate) shadows: Vec<Arc<Shadowing>>,
    /// What verifies tokens: its keys are those in use when the snapshot is taken.
    pub(crate) tokens: Option<Arc<Verifier>>,
}

/// Of each rollout the shadows that it waits for: their routes, and where they go.
pub(crate) type Gates = HashMap<Box<str>, Vec<(Box<str>, Box<str>)>>;

/// The homes that route plans hold parts of. They outlive every snapshot.
#[derive(Clone, Debug)]
pub struct Homes {
    /// The pools of upstreams.
    pub upstreams: Arc<Upstreams>,
    /// The fences of idempotency keys.
    pub fences: Fences,
    /// The writes that are kept for later.
    pub intents: Intents,
    /// Buckets, queues and token budgets.
    pub admission: Admission,
    /// The state of rollouts.
    pub rollouts: Rollouts,
    /// What outlives a reload of shadows.
    pub shadows: Shadows,
    /// The keys that tokens are verified with.
    pub tokens: Tokens,
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
            rules: Rules { router: Router::new([]), tenant: None, lane: None, tokens: None },
            trusted_peers: TrustedPeers::default(),
            access_log: None,
            tracer: None,
            cors: None,
            upstreams: upstreams.prepare(Vec::new()),
            by_name: HashMap::new(),
            keeping: Keeping::default(),
            admissions: Vec::new(),
            rollouts: Vec::new(),
            gates: HashMap::new(),
            shadows: Vec::new(),
            tokens: None,
        }
    }

    /// The route of that name.
    pub(crate) fn route(&self, name: &str) -> Option<&Arc<RouteEntry>> {
        self.by_name.get(name)
    }

    /// Who a request with this target and these headers is for.
    pub(crate) fn tenant(&self, uri: &Uri, headers: &HeaderMap) -> Result<Option<Tenant>, Refusal> {
        self.rules.tenant(uri, headers)
    }

    /// A snapshot of `loaded` without an access log, for benches and tests of the stack: its
    /// limits hold from now on, its upstreams are not probed.
    pub fn detached(loaded: &Loaded, homes: &Homes) -> Result<Self, Rejected> {
        let snapshot = Self::build(loaded, homes, None)?;
        homes.admission.apply(&snapshot.admissions);
        homes.rollouts.apply(snapshot.rollouts.clone());
        homes.shadows.apply(&snapshot.shadows);
        homes.tokens.apply(snapshot.tokens.as_deref());
        Ok(snapshot)
    }

    /// Builds a snapshot from a checked document; asks the resolver and reads files, and
    /// changes nothing. All problems are told at once; of one route the first kind that it has.
    pub(crate) fn build(
        loaded: &Loaded,
        homes: &Homes,
        access_log: Option<Arc<AccessLog>>,
    ) -> Result<Self, Rejected> {
        let document = &*loaded.document;
        // What is wrong at the top is noted, and stands there as it would by default until the rest
        // has been looked at too.
        let (settings, mut problems) = shadows::upstream_settings(loaded);
        let prepared = homes.upstreams.prepare(settings);
        let mut header = |path: &str, name: Option<&str>| {
            header_name(loaded, path, name).map_err(|problem| problems.push(problem)).ok().flatten()
        };
        let lane = header("lanes.from.header", document.lanes.as_ref().and_then(|lanes| lanes.header()));
        let mut noted = |faults: Faults| problems.extend(located(loaded, faults));
        let tenant = tenant_from(document).map_err(&mut noted).unwrap_or_default();
        let tokens = verifier(loaded, homes).map_err(&mut noted).unwrap_or_default();
        let shared = shared_limits(document).map_err(&mut noted).unwrap_or_default();
        let shared = homes.admission.shared(&shared);
        let retries = retries(document).map_err(&mut noted).unwrap_or(Retries::OFF);
        let intents = intents(loaded, tenant_header(tenant.as_ref())).map_err(&mut noted).unwrap_or_default();
        let mut keeping = Keeping { settings: intents, routes: Vec::new() };
        let (rollouts, wrong) = rollouts::check(loaded, &prepared);
        problems.extend(wrong);
        let mut making = Making {
            loaded,
            document,
            homes,
            upstreams: &prepared,
            rollouts: &rollouts,
            keeping: &mut keeping,
            shared,
            retries,
        };
        let (mut routes, mut by_name, mut admissions) = (Vec::new(), HashMap::new(), Vec::new());
        let mut shadows = Vec::new();
        for (at, route) in document.routes.iter().enumerate() {
            match making.route(at) {
                Ok(entry) => {
                    admissions.extend(entry.1.plan.part::<AdmissionPlan>().cloned());
                    shadows
                        .extend(entry.1.plan.part::<ShadowPlan>().iter().flat_map(|it| it.0.iter().cloned()));
                    by_name.insert(route.name.as_str().into(), entry.1.clone());
                    routes.push(entry);
                }
                Err(faults) => problems.extend(located(loaded, faults)),
            }
        }
        if !problems.is_empty() {
            return Err(Rejected { problems });
        }
        Ok(Self {
            rules: Rules {
                router: Router::new(routes),
                tenant,
                lane,
                tokens: tokens.clone().map(|tokens| tokens as Arc<dyn VerifyTokens>),
            },
            trusted_peers: document.trusted_peers(),
            access_log,
            tracer: None,
            cors: document.cors.as_ref().map(Cors::new),
            upstreams: prepared,
            by_name,
            keeping,
            admissions,
            rollouts: rollouts.into_iter().map(|rollout| rollout.declared).collect(),
            gates: rollouts::gates(document),
            shadows,
            tokens,
        })
    }
}

fn intents(loaded: &Loaded, tenant: Option<&HeaderName>) -> Result<Arc<IntentsSettings>, Faults> {
    let resolve = |path: &Path| loaded.source.resolve(path);
    let read = loaded.document.intents.with_files(&resolve);
    let settings = read.and_then(|intents| intents.check()).map_err(|faults| below("intents", faults))?;
    Ok(Arc::new(match tenant {
        Some(header) => settings.keeping(header.clone()),
        None => settings,
    }))
}

/// Findings of a part of the document, by their paths in the whole.
fn below(part: &str, faults: impl IntoIterator<Item = (String, String)>) -> Faults {
    faults.into_iter().map(|(path, message)| (format!("{part}.{path}"), message)).collect()
}

/// Findings by their paths, with their places in the text.
fn located(loaded: &Loaded, faults: Faults) -> impl Iterator<Item = Problem> {
    faults.into_iter().map(|(path, message)| problem_at(loaded, &path, message))
}

fn retries(document: &Document) -> Result<Retries, Faults> {
    let Some(input) = &document.retries else { return Ok(Retries::OFF) };
    Retries::check(input)
        .map_err(|errors| below("retries", errors.into_iter().map(|error| (error.path, error.message))))
}

/// The header that a tenant stands in as it is, which intents keep.
fn tenant_header(tenant: Option<&TenantFrom>) -> Option<&HeaderName> {
    match tenant? {
        TenantFrom::Header(name) => Some(name),
        TenantFrom::Query(_) | TenantFrom::ApiKey(_) | TenantFrom::Claim(_) => None,
    }
}

/// Where the tenant stands.
fn tenant_from(document: &Document) -> Result<Option<TenantFrom>, Faults> {
    let tenant = document.tenants.as_ref().map(|tenants| tenants.from.check()).transpose();
    tenant.map_err(|(key, message)| below("tenants.from", [(key.to_owned(), message)]))
}

/// What verifies tokens where anything goes by a claim.
fn verifier(loaded: &Loaded, homes: &Homes) -> Result<Option<Arc<Verifier>>, Faults> {
    let document = &*loaded.document;
    let Some(jwt) = document.jwt.as_ref().filter(|_| !document.claims().is_empty()) else { return Ok(None) };
    let settings = jwt.check().map_err(|faults| below("jwt", faults))?;
    let resolve = |path: &Path| loaded.source.resolve(path);
    let verifier = homes.tokens.verifier(settings, &resolve).map_err(|fault| below("jwt", [fault]))?;
    Ok(Some(Arc::new(verifier)))
}

fn header_name(loaded: &Loaded, path: &str, name: Option<&str>) -> Result<Option<HeaderName>, Problem> {
    let Some(name) = name else { return Ok(None) };
    HeaderName::from_bytes(name.as_bytes()).map(Some).map_err(|_| {
        problem_at(loaded, path, format!("`{name}` is not a header name; write one such as x-tenant-id"))
    })
}

type Entry = (RouteMatch, Arc<RouteEntry>);
/// Paths and what is wrong there.
type Faults = Vec<(String, String)>;

/// What all routes of a document are made from.
struct Making<'a> {
    loaded: &'a Loaded,
    document: &'a Document,
    homes: &'a Homes,
    upstreams: &'a Prepared,
    rollouts: &'a [Checked],
    keeping: &'a mut Keeping,
    shared: SharedBuckets,
    retries: Retries,
}

impl Making<'_> {
    /// The route at this place of the document.
    fn route(&mut self, at: usize) -> Result<Entry, Faults> {
        let (document, homes) = (self.document, self.homes);
        let Some(input) = document.routes.get(at) else { return Err(Faults::new()) };
        let wrong = |key: &str, message: String| vec![(format!("routes[{at}].{key}"), message)];
        let inside = |faults: Faults, below: &str| -> Faults {
            faults.into_iter().map(|(key, message)| (format!("routes[{at}].{below}{key}"), message)).collect()
        };
        let matching = input.r#match.check().map_err(|faults| inside(faults, "match."))?;
        let resolve = |path: &Path| self.loaded.source.resolve(path);
        let rewrite = input.rewrite(Some(&resolve)).map_err(|faults| inside(faults, ""))?.map(Arc::new);
        let leads = Leads::of(document, self.upstreams, input)
            .map_err(|fault| fault.map(|(key, message)| wrong(key, message)).unwrap_or_default())?;
        let plan = RoutePlan::new(input.name.as_str(), leads.first.name)
            .with(self.proxy(input, &leads, rewrite.as_ref()))
            .with(body_limits(document, input, leads.first.settings))
            .with(homes.metrics.route(&input.name));
        let plan = match leads.second {
            Some((second, reference)) => {
                let plan = plan.or(second.name);
                match rollouts::part(homes, self.rollouts, reference) {
                    Some(part) => plan.with(part),
                    None => plan,
                }
            }
            None if leads.first.pool.pins().is_empty() => plan,
            None => plan.with(Pinned { pins: leads.first.pool.pins().clone() }),
        };
        let plan = fenced(plan, input, &leads.promises(), homes, self.keeping)
            .map_err(|(path, message)| wrong(&path, message))?;
        let (limits, cost) = route_limits(document, at)?;
        let capped: Vec<_> = leads.each().map(|lead| (lead.name, lead.settings.concurrent)).collect();
        let admission = homes
            .admission
            .plan(&input.name, &capped, &limits, &self.shared)
            .map_err(|error| wrong("limits", format!("with the classes of tenants: {error}")))?;
        let plan = match admission {
            Some(admission) => plan.with(admission),
            None => plan,
        };
        let shadows = shadows::part(homes, self.loaded, self.upstreams, input, (&leads, rewrite.as_ref()))
            .map_err(|faults| inside(faults, ""))?;
        let plan = match shadows {
            Some(shadows) => plan.with(shadows),
            None => plan,
        };
        let plan = match document.telemetry.otlp {
            Some(_) => plan.with(HttpRoute(input.r#match.path.as_str().into())),
            None => plan,
        };
        let preset = presets::of(document, input).map_err(|message| wrong("preset", message))?;
        let entry = RouteEntry {
            access: input.access,
            lane: input.lane,
            cost,
            deadline: Some(deadline(document, input)),
            rpc: presets::rpc_form(input, preset.as_deref()),
            preset,
            peek: usize::try_from(input.peek.0).unwrap_or(usize::MAX),
            allow_method_override: input.allow_method_override,
            claims: document.goes_by_claims(input),
            ..RouteEntry::new(Arc::new(plan))
        };
        Ok((matching, Arc::new(entry)))
    }

    fn proxy(&self, route: &RouteInput, leads: &Leads<'_>, rewrite: Option<&Arc<Rewrite>>) -> UpstreamPlan {
        let to = |lead| UpstreamPlan { rewrite: rewrite.cloned(), ..self.proxy_to(route, lead) };
        let second = leads.second.map(|(lead, _)| Box::new(to(lead)));
        UpstreamPlan { second, ..to(leads.first) }
    }

    fn proxy_to(&self, route: &RouteInput, to: Lead<'_>) -> UpstreamPlan {
        let (top, own, its) = (&self.document.timeouts, &route.timeouts, &to.settings.timeouts);
        let timeouts = RouteTimeouts {
            connect: its.connect.unwrap_or(top.connect).0,
            per_try: own.per_try.or(its.per_try).or(top.per_try).map(|limit| limit.0),
            deadline: deadline(self.document, route),
            stream_idle: own.stream_idle.or(its.stream_idle).unwrap_or(top.stream_idle).0,
        };
        let (upstream, retries) = (to.pool.clone(), self.retries);
        UpstreamPlan {
            upstream,
            timeouts,
            retries,
            preserve_host: route.preserve_host,
            rewrite: None,
            whole: false,
            second: None,
        }
    }
}

fn deadline(document: &Document, route: &RouteInput) -> Duration {
    route.limits.deadline.unwrap_or(document.limits.deadline).0
}

/// Adds what a route needs for its keys, and for keeping its writes.
fn fenced(
    plan: RoutePlan,
    input: &RouteInput,
    promises: &UpstreamPromises,
    homes: &Homes,
    keeping: &mut Keeping,
) -> Result<RoutePlan, (String, String)> {
    let Some(keys) = &input.idempotency else { return Ok(plan) };
    let settings = keys.check().map_err(|faults| {
        let (path, message) = faults.into_iter().next().unwrap_or_default();
        (format!("idempotency.{path}"), message)
    })?;
    let fences = homes.fences.plan(&input.name, &settings, promises);
    let plan = match input.when_frozen {
        WhenFrozen::Refuse => plan,
        WhenFrozen::Queue => {
            let rules = RouteRules {
                honours_keys: promises.honours_keys,
                not_applied: promises.not_applied.clone(),
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

fn body_limits(document: &Document, route: &RouteInput, upstream: &UpstreamInput) -> BodyLimits {
    let idle: Duration =
        route.timeouts.body_idle.or(upstream.timeouts.body_idle).unwrap_or(document.timeouts.body_idle).0;
    BodyLimits { max: route.limits.max_body.or(document.limits.max_body).map(|size| size.0), idle }
}
