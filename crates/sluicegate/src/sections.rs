//! What the gateway adds to `GET /status`.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use sluicegate_admin::StatusSection;
use sluicegate_server::Server;

use crate::snapshot::Snapshot;

/// Each listener, as written and as bound.
pub(crate) struct Listeners(pub(crate) Weak<Server>);

impl StatusSection for Listeners {
    fn name(&self) -> &'static str {
        "listeners"
    }

    fn status(&self) -> Value {
        let Some(server) = self.0.upgrade() else { return json!([]) };
        server
            .addresses()
            .into_iter()
            .map(|bound| json!({ "configured": bound.configured, "address": bound.address.to_string(), "tls": bound.tls }))
            .collect()
    }
}

/// Each endpoint of each upstream, and whether it is used.
pub(crate) struct Endpoints(pub(crate) Arc<ArcSwap<Snapshot>>);

impl StatusSection for Endpoints {
    fn name(&self) -> &'static str {
        "upstreams"
    }

    fn status(&self) -> Value {
        let snapshot = self.0.load();
        snapshot
            .upstreams
            .all()
            .flat_map(|upstream| {
                upstream.endpoints().map(|(endpoint, state)| {
                    json!({ "upstream": upstream.name(), "endpoint": endpoint, "state": state })
                })
            })
            .collect()
    }
}
