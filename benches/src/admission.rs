//! Admission on a stand: buckets, permits, and the layer around a service that answers at once.
//!
//! Nothing is refused and nobody waits here: what is looked at is what a request costs that is
//! let in at once.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use prometheus_client::registry::Registry;
use sluicegate_admission::{
    Admission, AdmissionLayer, AdmissionOptions, AdmissionPlan, Admit, Per, RouteLimits, SharedLimits,
    TenantClasses,
    buckets::{Ask, BucketSet, Buckets, Charged, Class, Classes, Rate, SetOptions},
    queue::{Cap, Entry, Limits, Line, Permit, Queues, ShedLimits, Ticket, Verdict},
};
use sluicegate_body::{Budget, Gathered};
use sluicegate_core::{Access, Chance, Classified, Facts, Lane, RoutePlan, Tenant};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Failure, stand::Immediate};

/// The tenants there are.
pub const TENANTS: usize = 10_000;

/// More places than are ever taken.
const PLACES: u32 = 1024;

/// A request as the layer takes it.
pub type Asked = Request<Gathered<Full<Bytes>>>;

/// A rate and a burst that no bench can use up.
fn plenty() -> Result<Rate, Failure> {
    Ok(Rate::new(1e6, u32::MAX)?)
}

/// The names of the tenants.
#[must_use]
pub fn tenants() -> Vec<String> {
    (0..TENANTS).map(|n| format!("tenant-{n}")).collect()
}

/// The buckets and caps of one route.
#[derive(Debug)]
pub struct Guards {
    buckets: BucketSet,
    class: Class,
    line: Arc<Line>,
    upstream: Option<Arc<Cap>>,
}

impl Guards {
    /// Every bucket there can be, and every cap: of the tenant, the route and the upstream.
    pub fn all() -> Result<Self, Failure> {
        Self::new(true)
    }

    /// Only what each tenant has for itself.
    pub fn of_tenants() -> Result<Self, Failure> {
        Self::new(false)
    }

    fn new(shared: bool) -> Result<Self, Failure> {
        let registry = &mut Registry::default();
        let (home, rate) = (Buckets::new(Instant::now(), registry), plenty()?);
        let classes = Classes::new([("premium", 2.0)])?;
        let class = classes.named("premium").unwrap_or_default();
        let buckets = home.set(SetOptions {
            tenant: Some(home.per_tenant("ask", rate, 100_000)),
            route: shared.then(|| home.route("ask", rate)),
            interactive: shared.then(|| home.lane(Lane::Interactive, rate)),
            batch: shared.then(|| home.lane(Lane::Batch, rate)),
            global: shared.then(|| home.global(rate)),
            classes,
            enforce: true,
        })?;
        let queues = Queues::new(Arc::new(Chance::seeded(1)), registry);
        let concurrent = shared.then_some(PLACES);
        let limits = Limits { concurrent, per_tenant: Some(PLACES), ..Limits::default() };
        let upstream = shared.then(|| queues.upstream("model", Some(PLACES)));
        Ok(Self { buckets, class, line: queues.line("ask", limits), upstream })
    }

    /// Takes from the buckets.
    pub fn charge(&self, tenant: &str, now: Instant) -> Charged {
        let ask = Ask { cost: 1, tenant: Some(tenant), class: self.class, lane: Lane::Interactive };
        let Ok(charged) = self.buckets.charge(&ask, now) else { unreachable!("there is plenty") };
        charged
    }

    /// Takes a place under each cap.
    pub fn enter(&self, tenant: &str, now: Instant) -> Permit {
        let ticket = Ticket { tenant: Some(tenant), upstream: self.upstream.as_ref(), ..Ticket::default() };
        let Entry::Settled(Verdict::Admitted(permit, _)) = self.line.enter(&ticket, now) else {
            unreachable!("there are places")
        };
        permit
    }

    /// Both, as one request does.
    pub fn admit(&self, tenant: &str, now: Instant) -> (Charged, Permit) {
        (self.charge(tenant, now), self.enter(tenant, now))
    }
}

/// The layer over a service that answers at once, and the requests for it.
pub struct Layered {
    service: Admit<Immediate>,
    route: Arc<RoutePlan>,
    tenant: Tenant,
}

impl Layered {
    /// With buckets of the tenant, its lane and the gateway, and caps of the tenant and the
    /// upstream.
    pub fn limited() -> Result<Self, Failure> {
        Self::new(|admission| {
            let rate = Some(plenty()?);
            let limits = RouteLimits {
                rate,
                per: Per::Tenant,
                concurrent: Some(PLACES),
                queue: 256,
                shed: Some(ShedLimits::default()),
                enforce: true,
                budget: None,
            };
            let classes = TenantClasses::new([("premium", 2.0, vec!["tenant-0"])])?;
            let shared =
                SharedLimits { global: rate, interactive: rate, batch: rate, tenants: Arc::new(classes) };
            let shared = admission.shared(&shared);
            let plan = admission.plan("ask", &[("model", Some(PLACES))], &limits, &shared)?;
            admission.apply(plan.as_slice());
            Ok(plan)
        })
    }

    /// A route that limits nothing.
    pub fn unlimited() -> Result<Self, Failure> {
        Self::new(|_| Ok(None))
    }

    fn new(plan: impl FnOnce(&Admission) -> Result<Option<AdmissionPlan>, Failure>) -> Result<Self, Failure> {
        let options = AdmissionOptions { bodies: Budget::new(1 << 20), chance: Chance::seeded(1) };
        let admission = Admission::open(options, &mut Registry::default());
        let mut route = RoutePlan::new("ask", "model");
        if let Some(plan) = plan(&admission)? {
            route = route.with(plan);
        }
        let service = AdmissionLayer::new(admission).layer(Immediate);
        let name = HeaderValue::from_static("tenant-0");
        let tenant = Tenant::from_header(&name).ok_or("no tenant has that name")?;
        Ok(Self { service, route: Arc::new(route), tenant })
    }

    /// A request as classify hands it on.
    #[must_use]
    pub fn request(&self) -> Asked {
        let facts = Facts::new(HeaderValue::from_static("a"), None, Instant::now(), false);
        facts.classify(Classified {
            route: self.route.clone(),
            access: Access::Read,
            tenant: Some(self.tenant.clone()),
            lane: Lane::Interactive,
            cost: 1,
            deadline: Some(Instant::now() + Duration::from_secs(60)),
            rpc: None,
        });
        let mut request = Request::new(Gathered::untouched(Full::default()));
        request.extensions_mut().insert(facts);
        request
    }

    /// From a request to the end of its answer, through the layer.
    #[must_use]
    pub fn through(&self, request: Asked) -> Option<StatusCode> {
        answered(self.service.clone().call(request))
    }
}

/// The service alone.
#[must_use]
pub fn alone(request: Asked) -> Option<StatusCode> {
    answered(Immediate.call(request))
}

/// The answer of a service that does not wait; none where it does, or fails.
fn answered<B, E>(call: impl Future<Output = Result<http::Response<B>, E>>) -> Option<StatusCode> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => Some(response.status()),
        Poll::Ready(Err(_)) | Poll::Pending => None,
    }
}
