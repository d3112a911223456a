//! Keeping one write.
//!
//! The store decides in one transaction: the intent is appended and the fence of its key says
//! *deferred*, or neither happens. A key that is found taken is given back to whoever looked it
//! up, which then answers as for any duplicate.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request::Parts};
use http_body::Body;
use sluicegate_body::{Budget, Gather, GatherError, Gathered};
use sluicegate_core::{BoxError, Code, Facts, Refusal, Tenant};
use sluicegate_store::{
    Append, Appended, Expect, Put, StoreError, Tag, accepted,
    fence::{Decision, Fence, FenceState, decide},
    fingerprint::Fingerprint,
    keyed::{Keyed, Returned},
};

use crate::{
    home::{Home, Intents},
    input::IntentsSettings,
    intent::{self, FenceMark, Intent, Note},
    kept,
    line::{self, Line},
    metrics::Why,
    outcome::UNSETTLED,
    plan::{IntentsPlan, RouteRules},
    refuse,
};

/// What becomes of a request.
pub(super) enum Verdict<B> {
    /// It is kept; the answer says where it can be watched.
    Kept(Response<Bytes>),
    /// Nothing is ahead of it: it goes on.
    Pass(Request<Gathered<B>>),
    /// It is refused.
    Refuse(Refusal),
}

/// A fence changes under an append only when duplicates race; more often than this is a fault.
const TRIES: usize = 8;

/// The pauses before an append is asked for again whose answer was an error. It is safe: the
/// same intent under the same token is kept once.
const AGAIN: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(200)];

/// A refusal and the word for it in the metrics.
type Refused = (Refusal, &'static str);

pub(super) async fn judge<B>(
    intents: Intents,
    budget: Budget,
    facts: Facts,
    request: Request<Gathered<B>>,
) -> Verdict<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let home = &*intents.0;
    match weigh(home, &budget, &facts, request).await {
        Ok(verdict) => verdict,
        Err((refusal, why)) => {
            let route = facts.classified().map_or("", |settled| settled.route.name());
            home.metrics.refused(route, why);
            // What a freeze holds back is refused in the freeze's own words.
            let otherwise = if refusal.code() == Code::ReadOnly { facts.otherwise() } else { None };
            Verdict::Refuse(match otherwise {
                Some(otherwise) => otherwise.member("not_kept", why.into()),
                None => refusal,
            })
        }
    }
}

async fn weigh<B>(
    home: &Home,
    budget: &Budget,
    facts: &Facts,
    request: Request<Gathered<B>>,
) -> Result<Verdict<B>, Refused>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let (Some(settled), Some(plan)) = (facts.classified(), facts.part::<IntentsPlan>()) else {
        return Err((refuse::frozen(), "no_plan"));
    };
    let route = settled.route.name();
    let tenant = settled.tenant.as_ref().map(Tenant::as_str);
    let line = line::of(&plan.settings.backfill.order_by, route, tenant, request.headers());
    let why = if facts.is_deferred() { Why::Frozen } else { Why::Behind };
    if why == Why::Behind {
        match home.has_ahead(&line).await {
            Ok(true) => {}
            Ok(false) => return Ok(Verdict::Pass(request)),
            Err(error) if plan.rules.open_when_lost => {
                tracing::warn!(%error, route, "a write goes on though older ones of its line may wait");
                home.metrics.unchecked(route);
                return Ok(Verdict::Pass(request));
            }
            Err(error) => return Err((refuse::store_lost(&error), "store_lost")),
        }
    }
    // All that can be known without the body, so that it is not asked for in vain.
    if facts.is_grpc() {
        return Err((refuse::cannot_wait(why, "a gRPC call"), "cannot_wait"));
    }
    if kept::is_upgrade(request.headers()) {
        return Err((refuse::cannot_wait(why, "an upgrade of the connection"), "cannot_wait"));
    }
    let Some(keyed) = request.extensions().get::<Keyed>().cloned() else {
        return Err((refuse::key_missing(why), "key_missing"));
    };
    if let Some(reason) = home.not_durable() {
        return Err((refuse::not_durable(&reason), "not_durable"));
    }
    let (head, body) = request.into_parts();
    let whole = match body.gather(plan.settings.max_body, budget).await {
        Ok(Gather::Whole(whole)) => whole,
        Ok(Gather::Past(_)) => return Err((refuse::too_large(plan.settings.max_body), "too_large")),
        Err(GatherError::NoRoom) => return Err((refuse::no_room(), "no_room")),
        Err(GatherError::Body(_)) => return Err((refuse::body(facts), "body")),
    };
    let print = keyed.fingerprint(&head.method, &head.uri, &head.headers, Some(&whole.bytes));
    let upstream = settled.route.upstream();
    let case = Case { home, facts, plan, route, upstream, tenant, keyed: &keyed, line, print, why };
    let intent = case.intent(&head, whole.bytes.clone());
    let appended = case.append(&intent).await;
    match appended {
        Ok(Ended::Kept(response)) => {
            plan.accepted.one(why);
            home.wake.notify_one();
            Ok(Verdict::Kept(response))
        }
        Ok(Ended::NothingAhead) => Ok(Verdict::Pass(Request::from_parts(head, Gathered::whole(whole)))),
        Ok(Ended::Taken) => {
            keyed.give_back(Returned { head, body: whole });
            Err((refuse::key_taken(), "key_taken"))
        }
        Err(refused) => Err(refused),
    }
}

/// One write that is to be kept.
struct Case<'a> {
    home: &'a Home,
    facts: &'a Facts,
    plan: &'a IntentsPlan,
    route: &'a str,
    upstream: &'a str,
    tenant: Option<&'a str>,
    keyed: &'a Keyed,
    line: Line,
    print: Fingerprint,
    why: Why,
}

enum Ended {
    Kept(Response<Bytes>),
    NothingAhead,
    Taken,
}

impl Case<'_> {
    fn intent(&self, head: &Parts, body: Bytes) -> Intent {
        let IntentsPlan { settings, rules, .. } = self.plan;
        Intent {
            route: self.route.into(),
            upstream: self.upstream.into(),
            tenant: self.tenant.map(Into::into),
            request_id: self.facts.request_id().to_str().unwrap_or_default().into(),
            method: head.method.as_str().into(),
            target: intent::target(&head.uri),
            headers: headers(settings, head),
            body,
            key: (*self.keyed.key).into(),
            fence: self.keyed.id,
            print: self.print.clone(),
            order_key: self.line.order_key.clone(),
            created_ms: self.home.clock.unix_millis(),
            fence_ttl_ms: fence_ttl_ms(rules),
        }
    }

    async fn append(&self, intent: &Intent) -> Result<Ended, Refused> {
        let home = self.home;
        let id = intent::new_id(intent.created_ms, &home.chance);
        let lost = |error: StoreError| (refuse::store_lost(&error), "store_lost");
        let value = intent.encode().map_err(lost)?;
        let fence = intent.fence(FenceState::Deferred(id), &home.clock).encode().map_err(lost)?;
        let mut expect = Expect::Absent;
        let _coming = home.quiet.coming();
        for _ in 0..TRIES {
            let tag = Tag::draw(&home.chance);
            let note = Note { fence: FenceMark::Wrote(tag), ..Note::default() }.encode().map_err(lost)?;
            let put = Put { tag, value: fence.clone(), owner: intent.owner(), ttl: UNSETTLED, held: false };
            let append = Append {
                id,
                tag: Tag::draw(&home.chance),
                line: self.line.name.clone(),
                owner: intent.owner(),
                value: value.clone(),
                note,
                only_behind: self.why == Why::Behind,
                record: Some((self.keyed.id, expect, put)),
            };
            match self
                .append_surely(append)
                .await
                .map_err(|error| (refuse::perhaps_kept(&error), "store_lost"))?
            {
                Appended::Done => return Ok(Ended::Kept(accepted(id))),
                Appended::NothingAhead => return Ok(Ended::NothingAhead),
                Appended::Full(full) => return Err((refuse::full(self.why, full), full.as_str())),
                Appended::Conflict(None) => expect = Expect::Absent,
                Appended::Conflict(Some(record)) => {
                    let known = Fence::decode(&record.value).map_err(lost)?;
                    match decide(Some((&record, &known)), &self.print, self.plan.rules.on_unknown) {
                        Decision::Begin(again) => expect = again,
                        Decision::Wait
                        | Decision::Replay(_)
                        | Decision::Deferred(_)
                        | Decision::Conflict(_)
                        | Decision::Unknown(_) => return Ok(Ended::Taken),
                    }
                }
            }
        }
        Ok(Ended::Taken)
    }

    /// Appends it, and asks again where the answer was an error.
    async fn append_surely(&self, append: Append) -> Result<Appended, StoreError> {
        let (store, caps) = (&self.home.store, self.plan.settings.caps);
        for pause in AGAIN {
            match store.append(append.clone(), caps).await {
                Ok(appended) => return Ok(appended),
                Err(error) => tracing::debug!(%error, "an append is asked for again"),
            }
            tokio::time::sleep(pause).await;
        }
        store.append(append, caps).await
    }
}

fn headers(settings: &Arc<IntentsSettings>, head: &Parts) -> kept::StoredHeaders {
    let order = match &settings.backfill.order_by {
        crate::input::OrderBy::Header(name) => Some(name),
        crate::input::OrderBy::Route | crate::input::OrderBy::Tenant => None,
    };
    let original: &HeaderMap = &head.headers;
    let mut stored = kept::of_request(original, settings.keep_headers.iter().chain(order));
    stored.extend(intent::host(&head.uri, original));
    stored
}

fn fence_ttl_ms(rules: &RouteRules) -> u64 {
    u64::try_from(rules.fence_ttl.as_millis()).unwrap_or(u64::MAX)
}
