//! What the tests of this crate share: a home, and upstreams for it.

use std::sync::Arc;

use prometheus_client::{encoding::text::encode, registry::Registry};
use serde_json::{Value, json};
use sluicegate_body::Budget;
use sluicegate_core::{Chance, Clock};
use sluicegate_upstream::{Upstream, UpstreamMetrics, UpstreamSettings, Upstreams, input::UpstreamInput};

use crate::{AnswersInput, ShadowInput, Shadowing, Shadows, ShadowsOptions, Targets};

pub(crate) struct Rig {
    pub(crate) shadows: Shadows,
    pub(crate) registry: Registry,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let options = ShadowsOptions {
            bodies: Budget::new(64 << 20),
            clock: Clock::system(),
            chance: Arc::new(Chance::seeded(7)),
        };
        let shadows = Shadows::open(options, &mut registry);
        Self { shadows, registry }
    }

    /// A shadow whose endpoints nobody listens at.
    pub(crate) fn shadowing(&self, route: &str, to: &str, settings: &str) -> Arc<Shadowing> {
        let targets = Targets {
            shadow: upstream("http://127.0.0.1:9"),
            own: [None, None],
            version: String::new(),
            rewrite: None,
        };
        self.leading(route, to, settings, targets)
    }

    pub(crate) fn leading(&self, route: &str, to: &str, settings: &str, targets: Targets) -> Arc<Shadowing> {
        let mut input: Value = serde_json::from_str(settings).unwrap();
        input["to"] = json!(to);
        let input: ShadowInput = serde_json::from_value(input).unwrap();
        let settings = input.check(&AnswersInput::default(), &std::path::Path::to_path_buf).unwrap();
        self.shadows.shadowing(route, settings, targets)
    }

    pub(crate) fn scrape(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        text
    }
}

/// An upstream with one endpoint.
pub(crate) fn upstream(endpoint: &str) -> Arc<Upstream> {
    let input: UpstreamInput = serde_json::from_value(json!({ "endpoints": [endpoint] })).unwrap();
    let settings = UpstreamSettings::check("lab", &input, &std::path::Path::to_path_buf).unwrap();
    let metrics = UpstreamMetrics::register(&mut Registry::default());
    let upstreams = Upstreams::new(metrics, tokio::runtime::Handle::current());
    let prepared = upstreams.prepare(vec![settings]);
    prepared.get("lab").unwrap().clone()
}
