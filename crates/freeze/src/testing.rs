//! What the tests of this crate share.

use std::{path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderValue, Request};
use jiff::{SignedDuration, Timestamp};
use prometheus_client::registry::Registry;
use sluicegate_core::{Access, Chance, Classified, Clock, Facts, Lane, RoutePlan, Tenant};
use tokio::time::Instant;

use crate::{FreezeSettings, Freezes, Moments, OpenOptions, Scope, Window, guard::Guard, home::NotIn};

/// 2030-01-05T02:00:00Z, when the tests begin.
pub(crate) const START: i64 = 1_893_808_800;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap()
}

pub(crate) fn options(path: Option<PathBuf>) -> OpenOptions {
    OpenOptions {
        path,
        clock: Clock::simulated(at(0).into()),
        chance: Arc::new(Chance::seeded(7)),
        shards: 2,
    }
}

/// Freezes in memory, at [`START`] on a simulated clock.
pub(crate) fn freezes() -> Freezes {
    Freezes::open(options(None), &mut Registry::default()).unwrap()
}

pub(crate) fn window(id: &str, start: i64, end: i64) -> Window {
    Window {
        id: id.to_owned(),
        moments: Moments::Once { start: at(start), end: at(end) },
        announce: SignedDuration::ZERO,
        reason: None,
        scope: Scope::default(),
    }
}

pub(crate) fn settings(windows: Vec<Window>) -> FreezeSettings {
    FreezeSettings { windows, ..FreezeSettings::default() }
}

pub(crate) fn routes(names: &[&str]) -> Scope {
    Scope { routes: Some(names.iter().map(|&name| name.to_owned()).collect()), ..Scope::default() }
}

/// The facts of a classified request.
pub(crate) fn facts(route: &str, upstream: &str, tenant: Option<&str>, access: Access) -> Facts {
    let facts = Facts::new(HeaderValue::from_static("req-1"), None, Instant::now(), false);
    facts.classify(Classified {
        route: Arc::new(RoutePlan::new(route, upstream)),
        access,
        tenant: tenant.and_then(|name| Tenant::from_header(&HeaderValue::try_from(name).unwrap())),
        lane: Lane::Interactive,
        cost: 1,
        deadline: None,
        rpc: None,
    });
    facts
}

pub(crate) fn request(method: &str, facts: &Facts) -> Request<()> {
    let mut request = Request::builder().method(method).uri("/").body(()).unwrap();
    request.extensions_mut().insert(facts.clone());
    request
}

/// A write on the route `ingest` that the barrier has let through.
pub(crate) fn write(freezes: &Freezes) -> (Facts, Guard) {
    let facts = facts("ingest", "stable", None, Access::Write);
    let guard = enter(freezes, &facts).unwrap();
    (facts, guard)
}

pub(crate) fn enter(freezes: &Freezes, facts: &Facts) -> Result<Guard, NotIn> {
    freezes.0.enter(facts.clone(), false)
}

pub(crate) async fn advance(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
