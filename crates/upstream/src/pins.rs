//! Whether an upstream serves the versions that it is pinned to.
//!
//! The document declares pins; the service tells its own, in the header `X-WFGY` of its answers
//! and, where one is set, in a manifest that is read from each endpoint every so often. What a
//! service tells and the document pins otherwise is a *contradiction*. What is not told, or not
//! pinned, is none.
//!
//! Per endpoint, in [`Told`]:
//!
//! - The last manifest counts as a whole: what it contradicts stands until a later one does not.
//!   One that cannot be read changes nothing, and is shown.
//! - What an answer contradicts stands until the endpoint tells that pin right, in an answer or in
//!   its manifest: an answer that is silent about a pin proves nothing.
//! - A header that cannot be read could hide anything: it stands as a contradiction of the header
//!   itself, `X-WFGY`, until one comes that can be read.
//!
//! A contradiction is counted each time it is told and logged when it changes. With `on_mismatch:
//! refuse` it is also acted upon:
//!
//! - *No read gets an answer that was made with other pins.* An answer that contradicts, or that
//!   does not tell a pin of which the last thing heard is a contradiction, is dropped. The request
//!   goes to another endpoint where [`retry`](crate::retry) has a try left and there is one, else
//!   it is refused with `index_mismatch`.
//! - What a write was answered is passed on: it tells what was done, and hiding that undoes nothing.
//! - An endpoint with a standing contradiction gets no further requests; where none is left they are
//!   refused before anything is sent. Where its manifest does not contradict, one read per second
//!   is let through to it to find out whether it has been put right.
//!
//! # Cost
//!
//! An upstream without pins costs one branch per answer. With pins, an answer whose header is the
//! one that was last found good costs one lookup of the header and one comparison of bytes.
//!
//! # Metrics
//!
//! | metric | says |
//! |---|---|
//! | `sluicegate_pin_mismatches_total{upstream,pin,source}` | contradictions told, by the pin and by `answer` or `manifest` |
//! | `sluicegate_pin_mismatch{upstream,endpoint}` | 1 while a contradiction stands |
//! | `sluicegate_manifest_failures_total{upstream}` | manifests that could not be read |

mod finding;
pub(crate) mod manifest;
mod told;

use std::sync::Arc;

use http::HeaderMap;
use sluicegate_core::{
    Access, Facts,
    pins::{Diff, Pins},
};

pub use self::finding::{PinFinding, PinSource, PinState};
pub(crate) use self::told::{Terms, Told};
use crate::{
    endpoint::{Endpoint, Trial},
    input::ManifestInput,
    registry::Upstream,
};

/// The pins of an upstream that has some.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) manifest: Option<ManifestInput>,
    /// In the order of the upstream's endpoints.
    pub(crate) told: Box<[Arc<Told>]>,
}

impl Pinned {
    fn of(&self, endpoint: &Endpoint) -> Option<&Arc<Told>> {
        self.told.iter().find(|told| told.endpoint.id == endpoint.id)
    }

    /// Compares what an answer tells. What comes back is why a read must not be answered with it.
    pub(crate) fn hear(&self, endpoint: &Endpoint, headers: &HeaderMap, facts: &Facts) -> Option<Vec<Diff>> {
        let reads = || facts.classified().is_some_and(|settled| settled.access == Access::Read);
        self.of(endpoint)?.hear(headers).filter(|_| reads())
    }

    /// A try at an endpoint that is left out, to find out whether it has been put right; none where
    /// that is not due.
    pub(crate) fn probe(&self, upstream: &Upstream, tried: &[u64]) -> Option<Trial> {
        let left_out = self.told.iter().filter(|told| told.endpoint.is_left_out());
        let due = left_out
            .filter(|told| !tried.contains(&told.endpoint.id))
            .filter(|told| told.endpoint.breaker.wait(&upstream.breaker).is_zero())
            .find(|told| told.takes_probe())?;
        Trial::begin(&due.endpoint, &upstream.breaker).ok()
    }

    /// Why none of its endpoints is used.
    pub(crate) fn standing(&self) -> Vec<Diff> {
        self.told.iter().map(|told| told.standing()).find(|diff| !diff.is_empty()).unwrap_or_default()
    }
}

/// Contradictions as people read them.
pub(crate) fn words(diff: &[Diff]) -> String {
    let none = "nothing";
    let words = diff.iter().map(|Diff { pin, expected, got }| {
        let (expected, got) = (expected.as_deref().unwrap_or(none), got.as_deref().unwrap_or(none));
        format!("{pin} is {got:?} and pinned to {expected:?}")
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The pins that are told otherwise than they are pinned, one difference each.
fn merged(first: &[Diff], then: &[Diff]) -> Vec<Diff> {
    let new = then.iter().filter(|diff| first.iter().all(|known| known.pin != diff.pin));
    first.iter().chain(new).cloned().collect()
}

fn tells_otherwise(declared: &Pins, told: &Pins, pin: &str) -> bool {
    told.get(pin).is_none_or(|got| declared.get(pin) != Some(got))
}
