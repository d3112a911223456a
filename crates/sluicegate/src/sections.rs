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

/// Each endpoint of each upstream, and whether it is used.
pub(crate) struct Endpoints(pub(crate) Arc<ArcSwap<Snapshot>>);

impl StatusSection for Endpoints {
    fn name(&self) -> &'static str {
        "upstreams"
    }

    fn status(&self) -> Shown<'_> {
        let snapshot = self.0.load();
        let shown = snapshot.upstreams.all().flat_map(|upstream| {
            upstream.endpoints().map(|(endpoint, state)| {
                json!({ "upstream": upstream.name(), "endpoint": endpoint, "state": state })
            })
        });
        Box::pin(ready(shown.collect()))
    }
}
