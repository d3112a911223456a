//! What the guards over the store check of their own sections, and what they need of others.

use sluicegate_upstream::Retries;
use sluicegate_webhooks::WebhookInput;

use super::Findings;
use crate::{
    Document,
    document::{StoreInput, WhenFrozen},
};

pub(super) fn check(document: &Document, found: &mut Findings) {
    if let StoreInput::Redis(redis) = &document.store
        && let Err(faults) = redis.check()
    {
        tell(found, "store.redis", faults);
    }
    if let Some(Err(errors)) = document.retries.as_ref().map(Retries::check) {
        for error in errors {
            found.fault(format!("retries.{}", error.path), error.message);
        }
    }
    if let Err(faults) = document.fences.check() {
        tell(found, "fences", faults);
    }
    if let Err(faults) = document.intents.check() {
        tell(found, "intents", faults);
    }
    for (path, message) in WebhookInput::faults(&document.webhooks) {
        found.fault(format!("webhooks{path}"), message);
    }
    if let Some(cors) = &document.cors {
        tell(found, "cors", cors.faults());
    }
    for (at, route) in document.routes.iter().enumerate() {
        let path = format!("routes[{at}]");
        if let Some(Err(faults)) =
            route.idempotency.as_ref().map(sluicegate_idempotency::IdempotencyInput::check)
        {
            tell(found, &format!("{path}.idempotency"), faults);
        }
        if route.when_frozen == WhenFrozen::Queue {
            if route.idempotency.is_none() {
                let message = "a write can only be kept under its idempotency key; add `idempotency: { required: true }` to the route, or write refuse";
                found.fault(format!("{path}.when_frozen"), message);
            }
            if matches!(document.store, StoreInput::Memory(_)) {
                let message = "`store.memory` would lose what is kept at the next restart; use `store.embedded` or `store.redis`, or write refuse";
                found.fault(format!("{path}.when_frozen"), message);
            }
        }
    }
}

fn tell(found: &mut Findings, section: &str, faults: Vec<(String, String)>) {
    for (path, message) in faults {
        found.fault(format!("{section}.{path}"), message);
    }
}
