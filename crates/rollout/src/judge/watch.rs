//! One request under watch.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use sluicegate_core::{Code, Facts, Refusal};
use tokio::time::Instant;

use crate::{plan::RolloutPlan, recorder::Fault, view::Shared};

/// A request whose answer's head has not come.
///
/// Dropped before it has, the request was abandoned: its client went away.
#[derive(Debug)]
pub(super) struct Watch {
    exchange: Option<Exchange>,
    began: Option<Instant>,
}

impl Watch {
    /// Nothing is watched.
    pub(super) const fn nothing() -> Self {
        Self { exchange: None, began: None }
    }

    /// Watches from now on, if the request's arm was chosen.
    pub(super) fn begin(plan: &RolloutPlan, facts: &Facts) -> Self {
        if facts.chosen_arm().is_none() {
            return Self::nothing();
        }
        let exchange = Exchange { shared: plan.shared.clone(), facts: facts.clone() };
        Self { exchange: Some(exchange), began: Some(Instant::now()) }
    }

    /// The head has come; gives what has to be watched of the body.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) -> Option<Exchange> {
        let exchange = self.exchange.take()?;
        if exchange.facts.fell_back() {
            exchange.failed(Fault::FellBack);
            return None;
        }
        if status.is_server_error() || exchange.is_failure(headers) {
            exchange.failed(Fault::Status);
            return None;
        }
        exchange.answered(self.began?);
        Some(exchange)
    }

    /// There is no answer.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        let Some(exchange) = self.exchange.take() else { return };
        if exchange.facts.fell_back() {
            exchange.failed(Fault::FellBack);
        } else if is_the_upstreams(refusal.code()) {
            exchange.failed(Fault::NoAnswer);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(exchange) = self.exchange.take() else { return };
        if let Some(arm) = exchange.facts.chosen_arm() {
            exchange.shared.recorder().abandoned(arm.role);
        }
    }
}

/// A request on its way to the end of its answer.
#[derive(Debug)]
pub(super) struct Exchange {
    shared: Arc<Shared>,
    facts: Facts,
}

impl Exchange {
    fn answered(&self, began: Instant) {
        if let Some(arm) = self.facts.chosen_arm() {
            self.shared.recorder().answered(arm, began.elapsed());
        }
    }

    fn failed(&self, fault: Fault) {
        if let Some(arm) = self.facts.chosen_arm() {
            self.shared.recorder().failed(arm, fault);
        }
    }

    /// The answer broke off. Where the client's own body did before, that is why.
    pub(super) fn broke_off(self) {
        if self.facts.body_fault().is_none() {
            self.failed(Fault::BrokeOff);
        }
    }

    /// The trailers have come.
    pub(super) fn trailed(self, trailers: &HeaderMap) {
        if self.is_failure(trailers) {
            self.failed(Fault::BrokeOff);
        }
    }

    /// Whether trailers, or the head of an answer that has no more, say that a gRPC call failed as
    /// a 5xx does: UNKNOWN, `DEADLINE_EXCEEDED`, INTERNAL, UNAVAILABLE, `DATA_LOSS`, or what
    /// nobody knows (gRPC, "Status codes and their use").
    fn is_failure(&self, fields: &HeaderMap) -> bool {
        if !self.facts.is_grpc() {
            return false;
        }
        let status = fields.get("grpc-status").and_then(|status| status.to_str().ok()?.parse::<u32>().ok());
        matches!(status, Some(2 | 4 | 13..=15 | 17..))
    }
}

/// Whether a refusal from inside says something of the upstream. The others speak of the request.
const fn is_the_upstreams(code: Code) -> bool {
    match code {
        Code::UpstreamUnreachable
        | Code::UpstreamReset
        | Code::UpstreamTimeout
        | Code::DeadlineExceeded
        | Code::IndexMismatch
        | Code::Overloaded => true,
        Code::ReadOnly
        | Code::RateLimited
        | Code::IdempotencyKeyMissing
        | Code::IdempotencyKeyInvalid
        | Code::IdempotencyConflict
        | Code::IdempotencyInFlight
        | Code::IdempotencyOutcomeUnknown
        | Code::PinMissing
        | Code::PinMismatch
        | Code::NoRoute
        | Code::BadRequest
        | Code::RequestTimeout
        | Code::BodyTooLarge
        | Code::HeadersTooLarge
        | Code::StoreUnavailable
        | Code::TokenMissing
        | Code::TokenInvalid
        | Code::KeysUnavailable => false,
    }
}
