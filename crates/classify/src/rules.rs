//! The rules of one snapshot, and where they are taken from.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName};
use sluicegate_core::{Access, Lane, Refusal, RoutePlan, Tenant};

use crate::{cost::Cost, router::Router, tenant::tenant};

/// What a request is judged by: the routes, and where its tenant stands.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The routes, in the operator's order.
    pub router: Router<RouteEntry>,
    /// The header that names the tenant; `None` where there are no tenants.
    pub tenant: Option<HeaderName>,
    /// The header that names the lane; `None` where the route alone tells.
    pub lane: Option<HeaderName>,
}

impl Rules {
    /// Who a request with these headers is for. Naming two tenants, or one that cannot be
    /// read, is refused.
    pub fn tenant(&self, headers: &HeaderMap) -> Result<Option<Tenant>, Refusal> {
        match &self.tenant {
            Some(header) => tenant(headers, header),
            None => Ok(None),
        }
    }
}

/// What a route settles about its requests.
#[derive(Clone, Debug)]
pub struct RouteEntry {
    /// What the guards are to do.
    pub plan: Arc<RoutePlan>,
    /// Whether its requests read or write; `None` leaves it to the method.
    pub access: Option<Access>,
    /// The lane of its requests, whatever they say; `None` leaves it to them.
    pub lane: Option<Lane>,
    /// What its requests take from their buckets.
    pub cost: Cost,
    /// How long the response head may take, counted from when the request's head was read.
    pub deadline: Option<Duration>,
    /// Set where the route speaks JSON-RPC: refusals are then worded for it.
    pub rpc: Option<RpcForm>,
    /// Whether method-override headers reach the upstream.
    pub allow_method_override: bool,
}

impl RouteEntry {
    /// A route that goes by the method, without deadline, JSON-RPC or method override.
    #[must_use]
    pub const fn new(plan: Arc<RoutePlan>) -> Self {
        Self {
            plan,
            access: None,
            lane: None,
            cost: Cost::ONE,
            deadline: None,
            rpc: None,
            allow_method_override: false,
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
