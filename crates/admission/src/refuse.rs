//! What a client is told that is not let in.

use http::{HeaderValue, StatusCode};
use sluicegate_core::{Code, Refusal};

use crate::{
    buckets::{BucketSet, Class, Denied, Kind, RATE_LIMIT, RATE_LIMIT_POLICY},
    budget,
    queue::{Refused, Why},
};

/// A bucket refused.
pub(crate) fn rate(denied: &Denied, set: &BucketSet, class: Class) -> Refusal {
    match denied {
        Denied::Empty(empty) => {
            let told = |refusal: Refusal, name, value: Option<HeaderValue>| match value {
                Some(value) => refusal.header(name, value),
                None => refusal,
            };
            let millis = empty.wait.as_nanos().div_ceil(1_000_000);
            let detail = format!("{} has no room; come back in {millis} ms", bucket(empty.which));
            let refusal = Refusal::new(Code::RateLimited, detail)
                .retry_after(empty.wait)
                .member("bucket", empty.which.as_str().into());
            let refusal = told(refusal, RATE_LIMIT_POLICY, set.policy(class).cloned());
            told(refusal, RATE_LIMIT, set.rate_limit(empty.told()))
        }
        Denied::TooLarge(large) => {
            let detail = format!(
                "the request costs {}, and {} never holds more than {}; send less at once",
                large.cost,
                bucket(large.which),
                large.burst
            );
            Refusal::new(Code::BodyTooLarge, detail).member("bucket", large.which.as_str().into())
        }
    }
}

/// A bucket as its clients know it.
const fn bucket(kind: Kind) -> &'static str {
    match kind {
        Kind::Tenant => "the tenant's bucket on this route",
        Kind::Route => "the route's bucket",
        Kind::Lane => "the lane's bucket",
        Kind::Global => "the gateway's bucket",
    }
}

/// A budget refused.
pub(crate) fn budget(denied: &budget::Denied) -> Refusal {
    let refusal = |code| Refusal::new(code, denied.to_string());
    match denied {
        budget::Denied::Empty { wait, .. } => refusal(Code::RateLimited).retry_after(*wait),
        budget::Denied::TooLarge { .. } => refusal(Code::BodyTooLarge),
    }
}

/// The queue refused.
pub(crate) fn queue(refused: Refused) -> Refusal {
    let code = match refused.why {
        Why::Expired => Code::DeadlineExceeded,
        Why::Full | Why::Doomed | Why::Overtaken | Why::Shed => Code::Overloaded,
    };
    Refusal::new(code, refused.why.to_string())
        .status(StatusCode::SERVICE_UNAVAILABLE)
        .retry_after(refused.retry_after)
        .member("why", refused.why.as_str().into())
}
