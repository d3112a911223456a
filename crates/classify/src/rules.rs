//! The rules of one snapshot, and where they are taken from.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, Uri};
use sluicegate_core::{Access, Claims, Lane, Refusal, RoutePlan, Tenant, claims::VerifyTokens};

use crate::{cost::Cost, peek, preset::ByPreset, router::Router, tenant::TenantFrom};

/// What a request is judged by: the routes, and where its tenant stands.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The routes, in the operator's order.
    pub router: Router<RouteEntry>,
    /// What names the tenant; `None` where there are no tenants.
    pub tenant: Option<TenantFrom>,
    /// The header that names the lane; `None` where the route alone tells.
    pub lane: Option<HeaderName>,
    /// What verifies tokens; `None` where nothing goes by a claim.
    pub tokens: Option<Arc<dyn VerifyTokens>>,
}

impl Rules {
    /// Who a request with this target and these headers is for. Naming two tenants, one that
    /// cannot be read, or none by a token that does not hold, is refused.
    pub fn tenant(&self, uri: &Uri, headers: &HeaderMap) -> Result<Option<Tenant>, Refusal> {
        let claims = self.claims(false, headers)?;
        self.tenant_of(uri, headers, claims.as_deref())
    }

    pub(crate) fn tenant_of(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        claims: Option<&Claims>,
    ) -> Result<Option<Tenant>, Refusal> {
        match &self.tenant {
            Some(from) => from.find(uri, headers, claims),
            None => Ok(None),
        }
    }

    /// The claims of a request's token, where the tenant or its route goes by one.
    pub(crate) fn claims(&self, wanted: bool, headers: &HeaderMap) -> Result<Option<Arc<Claims>>, Refusal> {
        match &self.tokens {
            Some(tokens) if wanted || matches!(self.tenant, Some(TenantFrom::Claim(_))) => {
                tokens.claims(headers)
            }
            _ => Ok(None),
        }
    }
}

/// What a route settles about its requests.
#[derive(Clone, Debug)]
pub struct RouteEntry {
    /// What the guards are to do.
    pub plan: Arc<RoutePlan>,
    /// Whether its requests read or write; `None` leaves it to the preset, and without one to the
    /// method.
    pub access: Option<Access>,
    /// The lane of its requests, whatever they say; `None` leaves it to them.
    pub lane: Option<Lane>,
    /// What its requests take from their buckets.
    pub cost: Cost,
    /// How long the response head may take, counted from when the request's head was read.
    pub deadline: Option<Duration>,
    /// Set where the route speaks JSON-RPC: refusals are then worded for it.
    pub rpc: Option<RpcForm>,
    /// The known API behind it.
    pub preset: Option<Arc<ByPreset>>,
    /// How many bytes of a body are read, where the body tells something.
    pub peek: usize,
    /// Whether method-override headers reach the upstream.
    pub allow_method_override: bool,
    /// Whether a guard of the route goes by a claim of its requests' tokens.
    pub claims: bool,
}

impl RouteEntry {
    /// A route that goes by the method, without deadline, preset, JSON-RPC or method override.
    #[must_use]
    pub const fn new(plan: Arc<RoutePlan>) -> Self {
        Self {
            plan,
            access: None,
            lane: None,
            cost: Cost::ONE,
            deadline: None,
            rpc: None,
            preset: None,
            peek: peek::CAP,
            allow_method_override: false,
            claims: false,
        }
    }
}

/// How a route words refusals of JSON-RPC requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RpcForm {
    /// Answer 200 for clients that cannot bear another status.
    pub always_ok: bool,
}

/// Where a request's rules come from: a table that never changes, or the present snapshot.
///
/// The table is read once per request and inside one call, so that no request is judged by
/// two snapshots and none is held across an await.
pub trait Table: Clone {
    /// Shows the present rules to `read`.
    fn with<R>(&self, read: impl FnOnce(&Rules) -> R) -> R;
}

impl Table for Arc<Rules> {
    fn with<R>(&self, read: impl FnOnce(&Rules) -> R) -> R {
        read(self)
    }
}

impl<T: AsRef<Rules>> Table for Arc<ArcSwap<T>> {
    fn with<R>(&self, read: impl FnOnce(&Rules) -> R) -> R {
        read((**self.load()).as_ref())
    }
}

impl AsRef<Self> for Rules {
    fn as_ref(&self) -> &Self {
        self
    }
}
