//! What a refused write is told, and what a read carries.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use sluicegate_core::{Chance, Code, Facts, Refusal};

use crate::{
    input::{FreezeSettings, StatusRule},
    view::Active,
};

/// The header on reads while a freeze covers them.
pub static BANNER: HeaderName = HeaderName::from_static("sluicegate-freeze");

/// The freeze that decides when writes go through again: one without an end, else the one
/// that ends last.
pub(crate) fn last<'a>(covering: impl Iterator<Item = &'a Arc<Active>>) -> Option<&'a Arc<Active>> {
    covering.max_by_key(|active| (active.until.is_none(), active.until))
}

/// The refusal of a write that `last` covers.
pub(crate) fn refusal(last: &Active, settings: &FreezeSettings, now: Timestamp, chance: &Chance) -> Refusal {
    let status = match (settings.status, last.until) {
        (StatusRule::Locked, _) | (StatusRule::Auto, None) => StatusCode::LOCKED,
        (StatusRule::Unavailable, _) | (StatusRule::Auto, Some(_)) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let reason = last.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let (after, when) = match last.until {
        Some(until) => (
            Duration::try_from(until.duration_since(now)).unwrap_or_default() + spread(settings, chance),
            format!("It ends at {until}."),
        ),
        None => (settings.retry_default, "No end is set yet; ask again later.".to_owned()),
    };
    let detail = format!("Writes are frozen by `{}`{reason}. {when}", last.id);
    Refusal::new(Code::ReadOnly, detail).status(status).retry_after(after).member(
        "freeze",
        json!({ "id": &*last.id, "reason": last.reason.as_deref(), "since": last.since, "until": last.until }),
    )
}

/// The refusal of a request that may be a read: it also says why that could not be told.
pub(crate) fn doubted(refusal: Refusal, facts: &Facts) -> Refusal {
    match facts.doubt() {
        Some(doubt) => refusal.also(&format!("The request counts as a write: {}.", doubt.told())),
        None => refusal,
    }
}

/// From nothing to the whole spread, to the millisecond.
fn spread(settings: &FreezeSettings, chance: &Chance) -> Duration {
    let most = u64::try_from(settings.retry_spread.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(chance.below(most.saturating_add(1)))
}

/// The value of [`BANNER`] for a read that these freezes cover.
pub(crate) fn banner<'a>(mut covering: impl Iterator<Item = &'a Arc<Active>>) -> Option<HeaderValue> {
    let first = &covering.next()?.banner;
    let Some(second) = covering.next() else { return Some(first.clone()) };
    let mut all = first.as_bytes().to_vec();
    for active in std::iter::once(second).chain(covering) {
        all.extend_from_slice(b", ");
        all.extend_from_slice(active.banner.as_bytes());
    }
    HeaderValue::from_bytes(&all).ok()
}
