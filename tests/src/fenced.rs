//! Configurations with fences and intents.

/// A gateway whose writes are fenced by their keys, behind one route that takes everything.
///
/// Each field is a piece of the document as it stands in it, so that a test shows what it is
/// about and nothing else.
#[derive(Clone, Debug)]
pub struct Fenced {
    /// Which store, with its settings: `memory: {}`.
    pub store: String,
    /// More of the upstream, beside its endpoint.
    pub upstream: String,
    /// The route's `idempotency`.
    pub idempotency: String,
    /// More of the route.
    pub route: String,
    /// The section `intents`.
    pub intents: String,
    /// Whatever else the document is to hold, in lines of its own.
    pub extra: String,
}

impl Default for Fenced {
    fn default() -> Self {
        Self {
            store: "memory: {}".to_owned(),
            upstream: String::new(),
            idempotency: "required: true, ttl: 48h, wait: 2s, on_unknown: refuse".to_owned(),
            route: String::new(),
            intents: String::new(),
            extra: String::new(),
        }
    }
}

impl Fenced {
    /// With the embedded store, in the folder `data` beside the configuration.
    pub fn embedded() -> Self {
        Self { store: "embedded: { path: data }".to_owned(), ..Self::default() }
    }

    /// With Redis at this URL.
    pub fn redis(url: &str) -> Self {
        Self { store: format!("redis: {{ url: \"{url}\" }}"), ..Self::default() }
    }

    /// Whose writes are queued during a freeze and applied after it, at once and as fast as it
    /// goes, in order per `X-Document-Id`.
    #[must_use]
    pub fn queueing(self, concurrent: usize) -> Self {
        Self {
            route: "when_frozen: queue".to_owned(),
            intents: format!(
                "soak: 0s, ttl: 24h, backfill: {{ rps: 2000, concurrent: {concurrent}, \
                 order_by: {{ header: x-document-id }} }}"
            ),
            ..self
        }
    }

    /// The document, with this endpoint behind it.
    pub fn document(&self, endpoint: &str) -> String {
        let Self { store, upstream, idempotency, route, intents, extra } = self;
        let more = |piece: &str| if piece.is_empty() { String::new() } else { format!(", {piece}") };
        let (upstream, route) = (more(upstream), more(route));
        let intents = if intents.is_empty() { String::new() } else { format!("intents: {{ {intents} }}") };
        format!(
            r#"listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ {store} }}
upstreams: {{ main: {{ endpoints: ["{endpoint}"]{upstream} }} }}
routes:
  - {{ name: ingest, match: {{ path: "/{{*rest}}" }}, upstream: main, idempotency: {{ {idempotency} }}{route} }}
{intents}
{extra}
"#
        )
    }
}
