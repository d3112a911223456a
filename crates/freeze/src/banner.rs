//! What anybody may read of the freezes: pages that show a banner, and jobs that wait.
//!
//! It tells no more than a refused write would: ids, reasons, times, and the routes that are
//! named. A freeze of some tenants is shown to them alone. Since anybody may ask, and as often as
//! they like, a page is worked out once for each [`View`] and no longer than [`NEXT_SHOWN`] lets it be.

use std::{collections::HashMap, sync::OnceLock};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::{Freezes, home::millis, scope::Scope, status::NEXT_SHOWN, view::View};

/// The state of the freezes as anybody may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BannerPage {
    /// JSON.
    pub body: Bytes,
    /// A word that changes with the body, in quotes.
    pub etag: String,
    /// How many seconds it may be kept.
    pub max_age: u64,
    /// Whether it differs between tenants, so that no shared cache may keep it.
    pub private: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    frozen: bool,
    freezes: Vec<Freeze<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Vec<Next<'a>>>,
}

#[derive(Serialize)]
struct Freeze<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    since: Timestamp,
    until: Option<Timestamp>,
    #[serde(flatten)]
    covers: Covers<'a>,
}

#[derive(Serialize)]
struct Next<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    starts: Timestamp,
    ends: Timestamp,
    #[serde(flatten)]
    covers: Covers<'a>,
}

/// What a freeze covers, as far as that is told: whether every write of the one who asks, and
/// if not, which routes are named.
#[derive(Serialize)]
struct Covers<'a> {
    everything: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    routes: Option<&'a [String]>,
}

/// The pages of one view: that of everybody, and one for each tenant whom something in it names.
/// Each is worked out when it is first asked for, and once.
#[derive(Debug)]
pub(crate) struct Pages {
    everybodys: BannerPage,
    named: HashMap<Box<str>, OnceLock<BannerPage>>,
}

impl Freezes {
    /// What this tenant may read of the freezes; none where the document turns it off.
    #[must_use]
    pub fn banner_page(&self, tenant: Option<&str>) -> Option<BannerPage> {
        let view = self.0.live().load();
        if !view.settings.banner.enabled {
            return None;
        }
        let pages = view.banner.get_or_init(|| Pages::of(&view));
        Some(match tenant.and_then(|tenant| Some((tenant, pages.named.get(tenant)?))) {
            Some((tenant, own)) => own.get_or_init(|| page(&view, Some(tenant), true)).clone(),
            None => pages.everybodys.clone(),
        })
    }
}

impl Pages {
    fn of(view: &View) -> Self {
        let mut private = false;
        let mut named = HashMap::new();
        let to_come = if view.settings.banner.next { view.to_come() } else { Vec::new() };
        let active = view.active.iter().map(|active| &*active.scope);
        for scope in active.chain(to_come.into_iter().map(|(window, _)| &window.scope)) {
            let Some(tenants) = &scope.tenants else { continue };
            private = true;
            named.extend(tenants.iter().map(|tenant| (tenant.as_str().into(), OnceLock::new())));
        }
        Self { everybodys: page(view, None, private), named }
    }
}

/// What one tenant may read; `private` where another may read something else.
fn page(view: &View, tenant: Option<&str>, private: bool) -> BannerPage {
    let banner = view.settings.banner;
    let reason = |reason| Option::filter(reason, |_: &&str| banner.reason);
    let covers = |scope| covers(scope, banner.routes);
    let is_for = |scope: &Scope| {
        let Some(tenants) = &scope.tenants else { return true };
        tenant.is_some_and(|tenant| tenants.iter().any(|named| named == tenant))
    };
    let freezes: Vec<_> = view
        .active
        .iter()
        .filter(|active| is_for(&active.scope))
        .map(|active| Freeze {
            id: &active.id,
            reason: reason(active.reason.as_deref()),
            since: millis(active.since),
            until: active.until,
            covers: covers(&active.scope),
        })
        .collect();
    let next = banner.next.then(|| {
        let to_come = view.to_come().into_iter().filter(|(window, _)| is_for(&window.scope));
        to_come
            .take(NEXT_SHOWN)
            .map(|(window, at)| Next {
                id: &window.id,
                reason: reason(window.reason.as_deref()),
                starts: at.start,
                ends: at.end,
                covers: covers(&window.scope),
            })
            .collect()
    });
    let shown = Shown { frozen: !freezes.is_empty(), freezes, next };
    // Nothing in it can fail to be written as JSON.
    let mut body = serde_json::to_vec(&shown).unwrap_or_default();
    body.push(b'\n');
    let etag = format!("\"{:016x}\"", xxh3_64(&body));
    BannerPage { body: body.into(), etag, max_age: banner.max_age.0.as_secs(), private }
}

fn covers(scope: &Scope, names_routes: bool) -> Covers<'_> {
    Covers {
        everything: scope.routes.is_none() && scope.upstreams.is_none(),
        routes: scope.routes.as_deref().filter(|_| names_routes),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::{Value, json};

    use crate::{
        BannerInput, FreezeOrder, FreezeSettings, NEXT_SHOWN, Scope, Window,
        testing::{freezes, routes, settings, window},
    };

    fn page(freezes: &crate::Freezes, tenant: Option<&str>) -> Value {
        serde_json::from_slice(&freezes.banner_page(tenant).unwrap().body).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn it_tells_what_is_on_and_what_is_announced() {
        let freezes = freezes();
        assert_eq!(page(&freezes, None), json!({ "frozen": false, "freezes": [], "next": [] }));
        let announced = |id: &str, before: i64| Window {
            announce: SignedDuration::from_secs(before),
            scope: routes(&["ingest"]),
            reason: Some("rebuilding".into()),
            ..window(id, 60, 90)
        };
        freezes.apply(&settings(vec![announced("soon", 90), announced("later", 10)]));
        let before = freezes.banner_page(None).unwrap();
        freezes
            .put("now", FreezeOrder { reason: Some("moving".into()), ..FreezeOrder::default() })
            .await
            .unwrap();
        let after = freezes.banner_page(None).unwrap();
        assert_ne!(before.etag, after.etag);
        assert_eq!(freezes.banner_page(None).unwrap(), after, "it stays the same while nothing changes");
        assert_eq!(
            page(&freezes, None),
            json!({
                "frozen": true,
                "freezes": [{
                    "id": "now", "reason": "moving", "since": "2030-01-05T02:00:00Z", "until": null, "everything": true,
                }],
                "next": [{
                    "id": "soon", "reason": "rebuilding", "starts": "2030-01-05T02:01:00Z",
                    "ends": "2030-01-05T02:01:30Z", "everything": false, "routes": ["ingest"],
                }],
            })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_bounded_and_worked_out_once_for_all_who_ask() {
        let freezes = freezes();
        let acmes = Scope { tenants: Some(vec!["acme".into()]), ..Scope::default() };
        let announced = |n: i64| Window {
            announce: SignedDuration::from_secs(10_000),
            scope: if n == 0 { acmes.clone() } else { Scope::default() },
            ..window(&format!("w{n}"), 5000 - n, 6000)
        };
        let most = i64::try_from(NEXT_SHOWN).unwrap();
        freezes.apply(&settings((0..most + 10).map(announced).collect()));
        let next = page(&freezes, None)["next"].clone();
        let soonest: Vec<_> = (10..most + 10).rev().map(|n| json!(format!("w{n}"))).collect();
        let ids: Vec<_> = next.as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
        assert_eq!(ids, soonest);
        let asked = |tenant| freezes.banner_page(tenant).unwrap().body.as_ptr();
        assert_eq!((asked(None), asked(Some("acme"))), (asked(Some("other")), asked(Some("acme"))));
        assert_ne!(asked(None), asked(Some("acme")));
        assert!(freezes.banner_page(None).unwrap().private, "what comes later is theirs alone");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_for_everybody_is_left_out() {
        let freezes = freezes();
        let scope = Scope { tenants: Some(vec!["acme".into()]), ..Scope::default() };
        let order = FreezeOrder { scope, reason: Some("theirs".into()), ..FreezeOrder::default() };
        freezes.put("acmes", order).await.unwrap();
        assert_eq!(page(&freezes, None)["frozen"], false);
        assert_eq!(page(&freezes, Some("other"))["frozen"], false);
        assert_eq!(page(&freezes, Some("acme"))["freezes"][0]["id"], "acmes");
        assert!(freezes.banner_page(None).unwrap().private);
        let banner = BannerInput { reason: false, routes: false, next: false, ..BannerInput::default() };
        freezes.apply(&FreezeSettings { banner, ..FreezeSettings::default() });
        let freeze = page(&freezes, Some("acme"));
        assert_eq!((freeze.get("next"), freeze["freezes"][0].get("reason")), (None, None));
        let banner = BannerInput { enabled: false, ..BannerInput::default() };
        freezes.apply(&FreezeSettings { banner, ..FreezeSettings::default() });
        assert_eq!(freezes.banner_page(None), None);
    }
}
