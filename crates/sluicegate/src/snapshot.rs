//! The configuration as requests see it: one immutable value in one `ArcSwap`.
//!
//! Everything a request is judged by hangs from here: the router, whose leaves are route
//! plans, and what the ingress needs before a route is known. A reload builds a whole new
//! one and swaps it in; requests that are under way keep the plan they were given.

use std::{path::Path, sync::Arc, time::Duration};

use http::HeaderName;
use sluicegate_body::BodyLimits;
use sluicegate_classify::{Pattern, RouteEntry, RouteMatch, Router, RpcForm, Rules, input::TenantSource};
use sluicegate_config::{
    Loaded, Problem, Rejected,
    document::{Document, RefusalForm, RouteInput, UpstreamRef},
    problem_at,
};
use sluicegate_core::RoutePlan;
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
        }
    }

    /// A snapshot of `loaded` without an access log, for benches and tests of the stack: its
    /// upstreams are not probed.
    pub fn detached(
        loaded: &Loaded,
        upstreams: &Upstreams,
        metrics: &RequestMetrics,
    ) -> Result<Self, Rejected> {
        Self::build(loaded, upstreams, metrics, None)
    }

    /// Builds a snapshot from a checked document; asks the resolver and reads files, and
    /// changes nothing. All problems are told at once.
    pub(crate) fn build(
        loaded: &Loaded,
        upstreams: &Upstreams,
        metrics: &RequestMetrics,
        access_log: Option<Arc<AccessLog>>,
    ) -> Result<Self, Rejected> {
        let document = &*loaded.document;
        let prepared = upstreams.prepare(upstream_settings(loaded)?);
        let mut problems = Vec::new();
        let mut routes = Vec::new();
        for (at, route) in document.routes.iter().enumerate() {
            match self::route(document, route, &prepared, metrics) {
                Ok(entry) => routes.push(entry),
                Err((path, message)) => {
                    problems.push(problem_at(loaded, &format!("routes[{at}].{path}"), message));
                }
            }
        }
        let tenant = tenant_header(loaded).map_err(|problem| problems.push(problem)).ok().flatten();
        if !problems.is_empty() {
            return Err(Rejected { problems });
        }
        Ok(Self {
            rules: Rules { router: Router::new(routes), tenant },
            trusted_peers: TrustedPeers::new(document.trusted_peers.iter().map(|peer| peer.0).collect()),
            access_log,
            upstreams: prepared,
        })
    }
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
    metrics: &RequestMetrics,
) -> Result<Entry, (&'static str, String)> {
    let mut matching = RouteMatch::path(Pattern::new(&input.r#match.path));
    if let Some(methods) = &input.r#match.methods {
        matching = matching.methods(methods.iter().map(|method| method.0.clone()));
    }
    let UpstreamRef::Named(name) = &input.upstream else {
        return Err(("upstream", "rollouts are not available yet".to_owned()));
    };
    let (Some(upstream), Some(settings)) = (upstreams.get(name), document.upstreams.get(name)) else {
        return Err(("upstream", format!("there is no upstream `{name}`")));
    };
    let plan = RoutePlan::new(input.name.as_str(), name.as_str())
        .with(proxy(document, input, settings, upstream))
        .with(body_limits(document, input, settings))
        .with(metrics.route(&input.name));
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
