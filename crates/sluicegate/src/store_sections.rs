//! What the store and the guards over it add to `GET /status`.
//!
//! A section whose store cannot be asked says why under `error`.

use std::future::ready;

use serde_json::json;
use sluicegate_admin::StatusSection;
use sluicegate_idempotency::Fences;
use sluicegate_intents::Intents;
use sluicegate_store::{Health, Store};

use crate::sections::Shown;

/// Which store it is, and how it is doing.
pub(crate) struct StoreSection(pub(crate) Store);

impl StatusSection for StoreSection {
    fn name(&self) -> &'static str {
        "store"
    }

    fn status(&self) -> Shown<'_> {
        let (health, findings) = match &*self.0.health().borrow() {
            Health::Up => ("up", Vec::new()),
            Health::Degraded(findings) => ("degraded", findings.clone()),
            Health::Down(reason) => ("down", vec![reason.clone()]),
        };
        Box::pin(ready(json!({
            "kind": self.0.kind(),
            "health": health,
            "findings": findings,
            "not_durable": self.0.not_durable(),
        })))
    }
}

/// How many idempotency keys are remembered, and what runs and waits, against the bounds.
pub(crate) struct FencesSection(pub(crate) Fences);

impl StatusSection for FencesSection {
    fn name(&self) -> &'static str {
        "fences"
    }

    fn status(&self) -> Shown<'_> {
        Box::pin(async { json!(self.0.status().await) })
    }
}

/// How many writes are kept for later, and how the backfill is doing.
pub(crate) struct IntentsSection(pub(crate) Intents);

impl StatusSection for IntentsSection {
    fn name(&self) -> &'static str {
        "intents"
    }

    fn status(&self) -> Shown<'_> {
        Box::pin(async {
            match self.0.status().await {
                Ok(status) => json!(status),
                Err(error) => json!({ "error": error.to_string() }),
            }
        })
    }
}
