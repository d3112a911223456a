//! `limits` and `timeouts`: at the top level, and what a route may say instead.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::units::{Size, Span};

use super::later::{BudgetInput, LimitPer, ShedInput};

/// What a route takes where it says nothing itself.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsInput {
    /// Until the response head has come, queue and tries included; it never cuts a body.
    pub deadline: Span,
    /// The largest request body; without it there is no limit, since bodies are not gathered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<Size>,
    /// The largest request head, request line included.
    pub max_headers: Size,
    /// Not available yet. Requests per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rps: Option<f64>,
    /// Not available yet. Requests that may come at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Not available yet. Requests that run at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
    /// Not available yet. Requests that wait for a place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// Not available yet. What each bucket is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<LimitPer>,
    /// Not available yet. Whether limits refuse, or only count what they would have refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforce: Option<bool>,
    /// Not available yet. What a request takes from its buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<u32>,
    /// Not available yet. When the lowest lane is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shed: Option<ShedInput>,
    /// Not available yet. LLM tokens per tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetInput>,
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
    /// Not available yet. Requests per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rps: Option<f64>,
    /// Not available yet. Requests that may come at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Not available yet. Requests that run at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
    /// Not available yet. Requests that wait for a place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// Not available yet. What each bucket is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<LimitPer>,
    /// Not available yet. Whether limits refuse, or only count what they would have refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforce: Option<bool>,
    /// Not available yet. What a request takes from its buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<u32>,
    /// Not available yet. When the lowest lane is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shed: Option<ShedInput>,
    /// Not available yet. LLM tokens per tenant.
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
