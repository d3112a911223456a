//! A route's part: its settings with all that is worked out beforehand.

use std::sync::Arc;

use http::StatusCode;
use sluicegate_store::fence::OnUnknown;

use crate::{input::IdempotencySettings, metrics::RouteMetrics};

/// What an upstream promises about its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamPromises {
    /// It dedupes by `Idempotency-Key` itself, so that to send a write twice does no harm.
    pub honours_keys: bool,
    /// Statuses by which it promises that nothing was done.
    pub not_applied: Vec<u16>,
}

impl UpstreamPromises {
    /// Statuses that mean "not done" unless the upstream says otherwise. 503 is not among
    /// them, since proxies answer it also after the bytes went out.
    pub const DEFAULT_NOT_APPLIED: [u16; 7] = [401, 403, 408, 421, 423, 425, 429];
}

impl Default for UpstreamPromises {
    fn default() -> Self {
        Self { honours_keys: false, not_applied: Self::DEFAULT_NOT_APPLIED.to_vec() }
    }
}

/// The part of a route whose keyed writes are fenced. Made by
/// [`Fences::plan`](crate::Fences::plan); clones share it.
#[derive(Clone, Debug)]
pub struct IdempotencyPlan(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: IdempotencySettings,
    on_unknown: OnUnknown,
    not_applied: Vec<u16>,
    metrics: RouteMetrics,
}

impl IdempotencyPlan {
    pub(crate) fn new(
        settings: IdempotencySettings,
        promises: &UpstreamPromises,
        metrics: RouteMetrics,
    ) -> Self {
        let by_promise = if promises.honours_keys { OnUnknown::Retry } else { OnUnknown::Refuse };
        let on_unknown = settings.on_unknown.unwrap_or(by_promise);
        Self(Arc::new(Inner { settings, on_unknown, not_applied: promises.not_applied.clone(), metrics }))
    }

    /// The route's settings.
    #[must_use]
    pub fn settings(&self) -> &IdempotencySettings {
        &self.0.settings
    }

    /// What happens where a fate is unknown.
    #[must_use]
    pub fn on_unknown(&self) -> OnUnknown {
        self.0.on_unknown
    }

    /// Whether this status promises that nothing was done.
    pub(crate) fn is_not_applied(&self, status: StatusCode) -> bool {
        self.0.not_applied.contains(&status.as_u16())
    }

    pub(crate) fn metrics(&self) -> &RouteMetrics {
        &self.0.metrics
    }
}
