//! What a client is told whose write is not kept.

use std::time::Duration;

use http::StatusCode;
use sluicegate_core::{Code, Facts, Refusal, facts::BodyFault};
use sluicegate_store::{Full, StoreError};

use crate::metrics::Why;

/// When a retry is worth it that met a full queue, or a lost store.
const LATER: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(5);

/// Without a key nothing would tell a client's retry from another write.
pub(crate) fn key_missing(why: Why) -> Refusal {
    match why {
        Why::Frozen => read_only(
            "Writes are frozen, and this route keeps them for later only under an Idempotency-Key."
                .to_owned(),
        ),
        Why::Behind => Refusal::new(
            Code::IdempotencyKeyMissing,
            "older writes of the same order key wait to be applied, and this one can go behind them only \
             under an Idempotency-Key; send it with one, or later",
        ),
    }
}

/// A call whose caller waits for an answer of another form than `202`.
pub(crate) fn cannot_wait(why: Why, what: &str) -> Refusal {
    let detail = match why {
        Why::Frozen => format!("Writes are frozen, and {what} cannot be kept for later."),
        Why::Behind => {
            format!(
                "Older writes of the same order key wait to be applied, and {what} cannot be kept behind them."
            )
        }
    };
    read_only(detail)
}

pub(crate) fn too_large(max: usize) -> Refusal {
    let detail = format!("the body is larger than the {max} bytes that are kept of a write for later");
    Refusal::new(Code::BodyTooLarge, detail)
}

pub(crate) fn no_room() -> Refusal {
    let detail = "too many request bodies are being held at this moment";
    Refusal::new(Code::Overloaded, detail).status(StatusCode::SERVICE_UNAVAILABLE).retry_after(SOON)
}

pub(crate) fn body(facts: &Facts) -> Refusal {
    match facts.body_fault() {
        Some(BodyFault::Idle) => Refusal::new(Code::RequestTimeout, "the request body stopped coming"),
        Some(BodyFault::TooLarge) => {
            Refusal::new(Code::BodyTooLarge, "the body is larger than this route takes")
        }
        Some(BodyFault::Broken) | None => {
            Refusal::new(Code::BadRequest, "the request body broke off or is framed wrongly")
        }
    }
    .close()
}

/// The queue is full: the write is refused as it would be without one.
pub(crate) fn full(why: Why, full: Full) -> Refusal {
    let which = match full {
        Full::Count => "as many as it may",
        Full::Bytes => "as many bytes as it may",
        Full::OwnersCount => "as many of this tenant as it may",
        Full::OwnersBytes => "as many bytes of this tenant as it may",
    };
    match why {
        Why::Frozen => {
            read_only(format!("Writes are frozen, and the queue that keeps them for later holds {which}."))
        }
        Why::Behind => {
            let detail = format!(
                "older writes of the same order key wait to be applied, and their queue holds {which}"
            );
            Refusal::new(Code::Overloaded, detail).retry_after(LATER)
        }
    }
}

pub(crate) fn not_durable(reason: &str) -> Refusal {
    let detail = format!("the write cannot be kept for later, since the store could lose it: {reason}");
    Refusal::new(Code::StoreUnavailable, detail).retry_after(LATER)
}

pub(crate) fn store_lost(error: &StoreError) -> Refusal {
    let detail = format!("the store that keeps writes for later cannot be used: {error}");
    Refusal::new(Code::StoreUnavailable, detail).retry_after(SOON)
}

/// The store did not say whether the write is kept. If it is, the same key finds it.
pub(crate) fn perhaps_kept(error: &StoreError) -> Refusal {
    let detail = format!(
        "the store did not say whether the write is kept for later; send it again with the same \
         Idempotency-Key to know: {error}"
    );
    Refusal::new(Code::StoreUnavailable, detail).retry_after(SOON)
}

/// Another request of the same key came first; whoever looked the key up looks again.
pub(crate) fn key_taken() -> Refusal {
    Refusal::new(Code::IdempotencyInFlight, "another request with the same key came first").retry_after(SOON)
}

/// A freeze holds an intent back that was being applied, or marked a write that nobody here
/// may keep.
pub(crate) fn frozen() -> Refusal {
    read_only("Writes are frozen.".to_owned())
}

fn read_only(detail: String) -> Refusal {
    Refusal::new(Code::ReadOnly, detail).status(StatusCode::SERVICE_UNAVAILABLE).retry_after(LATER)
}
