//! What the gateway adds to `GET /status`.

use std::{
    future::ready,
    pin::Pin,
    sync::{Arc, Weak},
};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use sluicegate_admin::StatusSection;
use sluicegate_admission::Admission;
use sluicegate_server::Server;
use sluicegate_shadow::Shadows;
use sluicegate_upstream::PinFinding;
use sluicegate_webhooks::Webhooks;

use crate::snapshot::Snapshot;

/// What a section shows, once it has been asked for.
pub(crate) type Shown<'a> = Pin<Box<dyn Future<Output = Value> + Send + 'a>>;

/// Each listener, as written and as bound.
pub(crate) struct Listeners(pub(crate) Weak<Server>);

impl StatusSection for Listeners {
    fn name(&self) -> &'static str {
        "listeners"
    }

    fn status(&self) -> Shown<'_> {
        let bound = self.0.upgrade().map(|server| server.addresses()).unwrap_or_default();
        let shown = bound.into_iter().map(|bound| {
            json!({ "configured": bound.configured, "address": bound.address.to_string(), "tls": bound.tls })
        });
        Box::pin(ready(shown.collect()))
    }
}

/// Buckets, queues and caps.
pub(crate) struct AdmissionSection(pub(crate) Admission);

impl StatusSection for AdmissionSection {
    fn name(&self) -> &'static str {
        "admission"
    }

    fn status(&self) -> Shown<'_> {
        Box::pin(ready(json!(self.0.status())))
    }
}

/// Each shadow: its copies, and what the comparisons say.
pub(crate) struct ShadowSection(pub(crate) Shadows);

impl StatusSection for ShadowSection {
    fn name(&self) -> &'static str {
        "shadows"
    }

    fn status(&self) -> Shown<'_> {
        Box::pin(ready(json!(self.0.status())))
    }
}

/// Each webhook: what it was told, and what it is still to be told.
pub(crate) struct WebhookSection(pub(crate) Webhooks);

impl StatusSection for WebhookSection {
    fn name(&self) -> &'static str {
        "webhooks"
    }

    fn status(&self) -> Shown<'_> {
        Box::pin(ready(json!(self.0.status())))
    }
}

/// Each endpoint of each upstream, whether it is used, and what it tells of its pins.
pub(crate) struct Endpoints(pub(crate) Arc<ArcSwap<Snapshot>>);

impl StatusSection for Endpoints {
    fn name(&self) -> &'static str {
        "upstreams"
    }

    fn status(&self) -> Shown<'_> {
        let snapshot = self.0.load();
        let shown = snapshot.upstreams.all().flat_map(|upstream| {
            let findings = upstream.pin_findings();
            upstream.endpoints().map(move |(endpoint, state)| {
                let mut row = json!({ "upstream": upstream.name(), "endpoint": endpoint, "state": state });
                if !findings.is_empty() {
                    let its = findings.iter().filter(|finding| *finding.endpoint == *endpoint);
                    row["pins"] = its.map(in_words).collect();
                }
                row
            })
        });
        Box::pin(ready(shown.collect()))
    }
}

/// What was found about the pins of an endpoint, and the same in a line.
fn in_words(finding: &PinFinding) -> Value {
    let mut shown = json!(finding);
    shown["says"] = finding.to_string().into();
    shown
}
