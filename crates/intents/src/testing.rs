//! What the tests of this crate share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use sha2::{Digest, Sha256};
use sluicegate_body::{Budget, Gathered};
use sluicegate_core::{Access, Chance, Classified, Clock, Facts, Lane, Refusal, RoutePlan, Tenant};
use sluicegate_store::{
    Entry, EntryState, RecordKey, Store,
    fence::{Fence, FenceState},
    fingerprint::{Fingerprint, FingerprintRules},
    keyed::Keyed,
};
use tokio::{task::JoinHandle, time::Instant};
use tower::{Layer, ServiceExt};

use crate::{
    Intents, IntentsLayer, IntentsPlan, IntentsSettings, OpenOptions, RouteRules, home::Home,
    input::BackfillSettings, intent::Intent,
};

mod shaky;
mod switch;
mod upstream;

pub(crate) use shaky::Shaky;
pub(crate) use switch::Switch;
pub(crate) use upstream::{Fate, Upstream};

/// 2030-01-05T02:00:00Z, when the tests begin.
pub(crate) const START: i64 = 1_893_808_800;

pub(crate) fn clock() -> Clock {
    Clock::simulated(Timestamp::from_second(START).unwrap().into())
}

pub(crate) async fn advance(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Waits until it is so, by the clock of the test.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    for _ in 0..100_000 {
        if is_so().await {
            return;
        }
        advance(5).await;
    }
    panic!("it never was so: {what}");
}

/// A gateway's worth of intents over a store.
pub(crate) struct Rig {
    pub(crate) store: Shaky,
    pub(crate) intents: Intents,
    pub(crate) settings: Arc<IntentsSettings>,
    pub(crate) rules: RouteRules,
    pub(crate) registry: Registry,
}

/// Settings for tests: nothing waits, and the pace is no limit.
pub(crate) fn quick() -> IntentsSettings {
    let settings = IntentsSettings::default();
    IntentsSettings {
        soak: Duration::ZERO,
        backfill: BackfillSettings {
            rps: 1000.0,
            order_by: crate::OrderBy::Header("x-doc".parse().unwrap()),
            base: Duration::from_millis(10),
            cap: Duration::from_millis(100),
            ..settings.backfill.clone()
        },
        ..settings
    }
}

impl Rig {
    pub(crate) fn new(settings: IntentsSettings, rules: RouteRules) -> Self {
        Self::over(Shaky::new(clock()), settings, rules)
    }

    pub(crate) fn over(store: Shaky, settings: IntentsSettings, rules: RouteRules) -> Self {
        static SEED: AtomicU32 = AtomicU32::new(7);
        let mut registry = Registry::default();
        let options = OpenOptions {
            store: Store::new(store.clone()),
            clock: store.clock(),
            chance: Arc::new(Chance::seeded(SEED.fetch_add(1, Ordering::SeqCst).into())),
            accept_loss: false,
        };
        let intents = Intents::open(options, &mut registry);
        let settings = Arc::new(settings);
        let routes = ["ingest", "other"].map(|route| (route.to_owned(), rules.clone()));
        intents.apply(settings.clone(), routes);
        Self { store, intents, settings, rules, registry }
    }

    pub(crate) fn home(&self) -> &Home {
        &self.intents.0
    }

    pub(crate) fn plan(&self, route: &str) -> IntentsPlan {
        self.intents.plan(route, self.settings.clone(), self.rules.clone())
    }

    pub(crate) fn run(&self, freezer: &Switch, upstream: &Upstream) -> JoinHandle<std::convert::Infallible> {
        tokio::spawn(self.intents.run(freezer.clone(), upstream.clone()))
    }

    pub(crate) fn facts(&self, route: &str, tenant: Option<&str>) -> Facts {
        facts(RoutePlan::new(route, "stable").with(self.plan(route)), tenant)
    }

    /// A write as the freeze hands it on: marked.
    pub(crate) fn marked(&self, key: &str, doc: &str) -> Request<Gathered<Full<Bytes>>> {
        let facts = self.facts("ingest", None);
        facts.defer();
        write(&facts, key, doc)
    }

    /// Keeps a write.
    pub(crate) async fn keep(&self, key: &str, doc: &str) {
        let request = self.marked(key, doc);
        let answer = self.ask(request).await.unwrap();
        assert_eq!(answer.status(), 202, "{key}");
    }

    /// Sends a request through the layer, over a service that says 204.
    pub(crate) async fn ask(&self, request: Request<Gathered<Full<Bytes>>>) -> Result<Response<()>, Refusal> {
        let inner = tower::service_fn(async |_: Request<Gathered<Full<Bytes>>>| {
            Ok::<_, Refusal>(Response::builder().status(204).body(Full::<Bytes>::default()).unwrap())
        });
        let layer = IntentsLayer::new(self.intents.clone(), Self::budget());
        Ok(layer.layer(inner).oneshot(request).await?.map(drop))
    }

    pub(crate) fn budget() -> Budget {
        Budget::new(1 << 20)
    }

    pub(crate) async fn entries(&self) -> Vec<Entry> {
        self.home().store.entries(None, None, 1000).await.unwrap()
    }

    /// The key and the state of each intent, in the order they came.
    pub(crate) async fn states(&self) -> Vec<(String, EntryState)> {
        let of = |entry: &Entry| (Intent::decode(&entry.value).unwrap().key.into(), entry.state);
        self.entries().await.iter().map(of).collect()
    }

    pub(crate) async fn state(&self, key: &str) -> Option<EntryState> {
        self.states().await.into_iter().find(|(known, _)| known == key).map(|(_, state)| state)
    }

    /// What the fence of a key says.
    pub(crate) async fn fence(&self, key: &str) -> Option<FenceState> {
        let record = self.home().store.get(fence_id(key)).await.unwrap()?;
        Some(Fence::decode(&record.value).unwrap().state)
    }

    pub(crate) async fn id(&self, key: &str) -> String {
        let entries = self.entries().await;
        let of = |entry: &&Entry| *Intent::decode(&entry.value).unwrap().key == *key;
        entries.iter().find(of).unwrap().id.to_text()
    }

    pub(crate) fn scrape(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

pub(crate) fn facts(plan: RoutePlan, tenant: Option<&str>) -> Facts {
    let facts = Facts::new(HeaderValue::from_static("req-1"), None, Instant::now(), false);
    facts.classify(Classified {
        route: Arc::new(plan),
        access: Access::Write,
        tenant: tenant.and_then(|name| Tenant::from_header(&HeaderValue::try_from(name).unwrap())),
        lane: Lane::Interactive,
        cost: 1,
        deadline: None,
        rpc: None,
    });
    facts
}

pub(crate) fn fence_id(key: &str) -> RecordKey {
    RecordKey(Sha256::digest(key.as_bytes()).into())
}

pub(crate) fn keyed(key: &str) -> Keyed {
    Keyed::new(fence_id(key), key.into(), None, Arc::new(FingerprintRules::default()))
}

pub(crate) fn write(facts: &Facts, key: &str, doc: &str) -> Request<Gathered<Full<Bytes>>> {
    let mut request = Request::post(format!("/v1/documents/{doc}?v=1"))
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .header("authorization", "Bearer s3cret")
        .header("x-doc", doc)
        .body(Gathered::untouched(Full::from(format!("{{\"key\":\"{key}\"}}"))))
        .unwrap();
    request.extensions_mut().insert(facts.clone());
    request.extensions_mut().insert(keyed(key));
    request
}

pub(crate) fn intent(route: &str, tenant: Option<&str>, target: &str, body: &'static [u8]) -> Intent {
    let body = Bytes::from_static(body);
    let uri = target.parse().unwrap();
    let rules = FingerprintRules::default();
    Intent {
        route: route.into(),
        upstream: "stable".into(),
        tenant: tenant.map(Into::into),
        request_id: "req-1".into(),
        method: "POST".into(),
        target: target.into(),
        headers: vec![("content-type".into(), Bytes::from_static(b"application/json"))],
        print: Fingerprint::of(&Method::POST, &uri, &HeaderMap::new(), Some(&body), &rules),
        body,
        key: "key-1".into(),
        fence: fence_id("key-1"),
        order_key: "7".into(),
        created_ms: u64::try_from(START).unwrap() * 1000,
        fence_ttl_ms: 60_000,
    }
}
