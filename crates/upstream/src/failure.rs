//! What went wrong with an attempt, and what the client is told.

use std::{error::Error, time::Duration};

use serde_json::json;
use sluicegate_body::BodyLimits;
use sluicegate_core::{Chance, Code, Facts, Refusal, pins::Diff};
use tokio::time::Instant;

use crate::{endpoint::Trial, pins::words, plan::UpstreamPlan};

/// How an attempt failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection: nothing was sent.
    Unreachable(String),
    /// The connection ended without a whole answer.
    Reset(String),
    /// The upstream says that it has not looked at the request (HTTP/2 `REFUSED_STREAM`,
    /// RFC 9113 section 8.7).
    NotProcessed(String),
    /// What came back is not HTTP.
    Garbage(String),
    /// The deadline, or the limit of this try, passed.
    Deadline,
    /// No endpoint was let through to; the first will be after so long.
    Open(Duration),
    /// What would answer, or has answered, was made with other pins.
    Mismatch(Vec<Diff>),
}

impl Failure {
    pub(crate) fn of(error: &hyper::Error) -> Self {
        let said = with_cause(error);
        let reason = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>()?.reason());
        if reason == Some(h2::Reason::REFUSED_STREAM) {
            return Self::NotProcessed(said);
        }
        if error.is_parse() || error.is_parse_too_large() { Self::Garbage(said) } else { Self::Reset(said) }
    }

    /// Whether a read may be sent once more: the upstream did not look at it, or a pooled
    /// connection that it had given up ended before it `answered` a byte. What the client's
    /// own body did to a connection is neither.
    pub(crate) fn allows_resend(&self, answered: bool, facts: &Facts) -> bool {
        match self {
            Self::NotProcessed(_) => true,
            Self::Reset(_) => !answered && facts.body_fault().is_none(),
            Self::Unreachable(_) | Self::Garbage(_) | Self::Deadline | Self::Open(_) | Self::Mismatch(_) => {
                false
            }
        }
    }
}

fn with_cause(error: &hyper::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}

/// Counts the failure of a try that took so long, and tells the endpoint's breaker.
pub(crate) fn note(
    failure: &Failure,
    trial: &mut Trial,
    facts: &Facts,
    plan: &UpstreamPlan,
    (length, deadline): (Duration, Option<Instant>),
    chance: &Chance,
) {
    if facts.body_fault().is_some() {
        return;
    }
    let blamed = match failure {
        Failure::Unreachable(_) | Failure::Open(_) => return,
        // It answers as it should, if not with what it should.
        Failure::Mismatch(_) => return trial.succeeded(&plan.upstream.breaker),
        Failure::Reset(_) | Failure::NotProcessed(_) => {
            trial.metrics.reset.inc();
            true
        }
        Failure::Garbage(_) => {
            trial.metrics.garbage.inc();
            true
        }
        Failure::Deadline => {
            trial.metrics.timeout.inc();
            !has_passed(deadline) || plan.timeouts.is_telling(length)
        }
    };
    if blamed {
        trial.failed(&plan.upstream.breaker, chance);
    }
    tracing::debug!(endpoint = %trial.text, ?failure, request_id = ?facts.request_id(), "attempt failed");
}

fn has_passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

/// Words the failure.
pub(crate) fn refusal(
    failure: Failure,
    facts: &Facts,
    plan: &UpstreamPlan,
    deadline: Option<Instant>,
) -> Refusal {
    if let Some(fault) = facts.body_fault() {
        return BodyLimits::refusal(fault, facts);
    }
    let name = plan.upstream.name();
    match failure {
        Failure::Unreachable(why) => {
            Refusal::new(Code::UpstreamUnreachable, format!("no connection to upstream `{name}`: {why}"))
        }
        Failure::Reset(why) | Failure::NotProcessed(why) => Refusal::new(
            Code::UpstreamReset,
            format!("upstream `{name}` closed the connection before it had answered: {why}"),
        ),
        Failure::Garbage(why) => Refusal::new(
            Code::UpstreamReset,
            format!("upstream `{name}` sent an answer that is not valid HTTP: {why}"),
        ),
        Failure::Deadline if has_passed(deadline) => Refusal::new(
            Code::DeadlineExceeded,
            format!("upstream `{name}` had not answered when the request's deadline passed"),
        ),
        Failure::Deadline => Refusal::new(
            Code::UpstreamTimeout,
            format!("upstream `{name}` did not answer within the limit of one try"),
        ),
        Failure::Open(wait) => {
            plan.upstream.metrics.refused.inc();
            let detail = format!(
                "requests to upstream `{name}` failed, so it gets none for a while; try again when Retry-After is over"
            );
            Refusal::new(Code::Overloaded, detail).retry_after(wait)
        }
        Failure::Mismatch(diff) => {
            let detail = format!(
                "upstream `{name}` does not serve what it is pinned to, so it answers no reads: {}",
                words(&diff)
            );
            Refusal::new(Code::IndexMismatch, detail)
                .member("upstream", json!(name))
                .member("diff", json!(diff))
        }
    }
}
