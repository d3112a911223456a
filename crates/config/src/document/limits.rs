//! `limits` and `timeouts`: at the top level, and what a route may say instead.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_admission::{
    Per,
    input::{BudgetInput, RateInput, ShedInput},
};
use sluicegate_classify::input::{CostInput, LaneSource};
use sluicegate_core::units::{Size, Span};

/// What a route takes where it says nothing itself.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsInput {
    /// Until the response head has come, queue and tries included; it never cuts a body.
    pub deadline: Span,
    /// The largest request body; without it there is no limit, since bodies are not gathered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<Size>,
    /// The largest request head, request line included; heads of answers over HTTP/1.1 may be as large, and 64 KiB at least.
    pub max_headers: Size,
    /// Requests per second; with `burst`, the numbers of a bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rps: Option<f64>,
    /// Requests that may come at once; without it as many as in one second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Requests that run at one time; further ones wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
    /// Requests that wait for a place; without it 256, and 0 refuses at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// Whose `rps`, `burst` and `concurrent` are: the route's, or each tenant's on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<Per>,
    /// Whether `rps` and `budget` refuse, or only count what they would have refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforce: Option<bool>,
    /// What a request takes from its buckets: a number, or a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostInput>,
    /// When the lowest lane is refused, so that the other is served; without it never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shed: Option<ShedInput>,
    /// LLM tokens of each tenant on the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetInput>,
    /// The bucket of all requests of the gateway together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global: Option<RateInput>,
}

impl Default for LimitsInput {
    fn default() -> Self {
        Self {
            deadline: Span::secs(60),
            max_body: None,
            max_headers: Size::kib(64),
            rps: None,
            burst: None,
            concurrent: None,
            queue: None,
            per: None,
            enforce: None,
            cost: None,
            shed: None,
            budget: None,
            global: None,
        }
    }
}

/// A route's own limits; what is left out comes from the top level.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteLimitsInput {
    /// Until the response head has come, queue and tries included; it never cuts a body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// The largest request body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<Size>,
    /// Requests per second; with `burst`, the numbers of a bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rps: Option<f64>,
    /// Requests that may come at once; without it as many as in one second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Requests that run at one time; further ones wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
    /// Requests that wait for a place; without it 256, and 0 refuses at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// Whose `rps`, `burst` and `concurrent` are: the route's, or each tenant's on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<Per>,
    /// Whether `rps` and `budget` refuse, or only count what they would have refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforce: Option<bool>,
    /// What a request takes from its buckets: a number, or a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostInput>,
    /// When the lowest lane is refused, so that the other is served; without it never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shed: Option<ShedInput>,
    /// LLM tokens of each tenant on the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetInput>,
}

/// How long the gateway waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsInput {
    /// Until a request's head has come, from its first byte.
    pub header_read: Span,
    /// How long a request body may stay without a byte.
    pub body_idle: Span,
    /// How long a kept-alive connection may stay without a request.
    pub idle: Span,
    /// Until a connection to an upstream stands, TLS included.
    pub connect: Span,
    /// Until the response head of one try has come; without it the deadline alone counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try: Option<Span>,
    /// How long a response body may stay without a byte.
    pub stream_idle: Span,
}

impl Default for TimeoutsInput {
    fn default() -> Self {
        Self {
            header_read: Span::secs(10),
            body_idle: Span::secs(30),
            idle: Span::secs(60),
            connect: Span::secs(1),
            per_try: None,
            stream_idle: Span::secs(300),
        }
    }
}

/// A route's own timeouts; what is left out comes from the upstream, then the top level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteTimeoutsInput {
    /// How long a request body may stay without a byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_idle: Option<Span>,
    /// Until the response head of one try has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try: Option<Span>,
    /// How long a response body may stay without a byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_idle: Option<Span>,
}

/// Who competes with whom: people who wait, and jobs that do not.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LanesInput {
    /// Where a request names its lane, on routes that do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<LaneSource>,
    /// The bucket of all interactive requests, over all routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interactive: Option<RateInput>,
    /// The bucket of all batch requests, over all routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<RateInput>,
}

impl LanesInput {
    /// The header that names a request's lane.
    #[must_use]
    pub fn header(&self) -> Option<&str> {
        self.from.as_ref().map(|LaneSource::Header(name)| name.as_str())
    }
}
