use std::{
    convert::Infallible,
    future::{Future, pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

use axum::{Extension, Router, routing::get};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use serde_json::{Value, json};
use sluicegate_core::{
    Access, Arm, Chance, Code, CookieName, Facts, Pins, Refusal, RespondLayer, Role, RoutePlan, Slot,
    facts::{Rpc, RpcId},
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn, util::MapErrLayer};

use super::{ResponseFuture, Rollout, RolloutLayer};
use crate::{
    JudgeLayer, KeySource, Pinned, RolloutPlan, Sticky, View, Writes,
    testing::{Rig, begun, classified, pins, route, settle, view},
};

const ARM: &str = "x-sluicegate-arm";

/// What the service inside got to see.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Option<Inside>>>);

type Inside = (HeaderMap, Option<Arm>);

impl Seen {
    fn take(&self) -> Option<(HeaderMap, Option<Arm>)> {
        self.0.lock().unwrap().take()
    }
}

fn layer(rig: &Rig) -> RolloutLayer {
    RolloutLayer::new(rig.traffic.clone(), Chance::seeded(rig.chance.bits()))
}

fn request(facts: &Facts, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().uri("/v1/retrieve");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(()).unwrap();
    request.extensions_mut().insert(facts.clone());
    request
}

/// Sends a request through the layer, and words what comes back as the gateway does.
async fn send(rig: &Rig, request: Request<()>) -> (Response<Bytes>, Option<(HeaderMap, Option<Arm>)>) {
    let seen = Seen::default();
    let inner = {
        let seen = seen.clone();
        service_fn(move |request: Request<()>| {
            let arm = request.extensions().get::<Facts>().and_then(Facts::chosen_arm);
            *seen.0.lock().unwrap() = Some((request.headers().clone(), arm));
            ready(Ok::<_, Refusal>(Response::new(Full::new(Bytes::from_static(b"done")))))
        })
    };
    let service = RespondLayer.layer(layer(rig).layer(inner));
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    (Response::from_parts(head, body.collect().await.unwrap().to_bytes()), seen.take())
}

/// The arm of a request on a route with this plan.
async fn arm(rig: &Rig, plan: &RolloutPlan, access: Access, headers: &[(&str, &str)]) -> Arm {
    let facts = classified(route().with(plan.clone()), access);
    let (answer, seen) = send(rig, request(&facts, headers)).await;
    assert_eq!((answer.status(), answer.body().as_ref()), (StatusCode::OK, b"done".as_slice()));
    let (inside, arm) = seen.unwrap();
    assert!(!inside.contains_key(ARM));
    assert_eq!(arm, facts.chosen_arm());
    arm.unwrap()
}

/// The refusal of a request on a route with this plan; nothing came in.
async fn refused(rig: &Rig, plan: RoutePlan, headers: &[(&str, &str)]) -> (StatusCode, Value) {
    let facts = classified(plan, Access::Read);
    let (answer, seen) = send(rig, request(&facts, headers)).await;
    assert!(seen.is_none() && facts.chosen_arm().is_none());
    assert!(!answer.headers().contains_key("set-cookie"), "a refusal sets no cookie");
    (answer.status(), serde_json::from_slice(answer.body()).unwrap())
}

const fn sample(slot: Slot, role: Role) -> Arm {
    Arm { slot, role, is_sample: true }
}

const fn told(slot: Slot, role: Role) -> Arm {
    Arm { slot, role, is_sample: false }
}

#[tokio::test]
async fn a_key_stays_on_its_arm_and_the_weight_moves_it_once() {
    let rig = Rig::new(view(0));
    let plan = rig.by_user();
    for user in ["7", "alice@example.com", "6f1c9a62-3a0e-4c59-9d0e-2f5b0d1c7e11"] {
        let mut before = Role::Active;
        for weight in 0..=100 {
            rig.shared.set(view(weight));
            let first = arm(&rig, &plan, Access::Read, &[("x-user-id", user)]).await;
            // Another gateway, in another epoch, with another seed.
            let other = Rig::new(View { epoch: 900, ..view(weight) });
            let again = arm(&other, &other.by_user(), Access::Read, &[("x-user-id", user)]).await;
            assert_eq!((first, first.is_sample), (again, true));
            assert!(before == Role::Active || first.role == Role::Candidate, "{user} moved back at {weight}");
            before = first.role;
        }
        assert_eq!(before, Role::Candidate);
    }
}

#[tokio::test]
async fn writes_stay_on_the_active_arm_unless_they_are_split() {
    let rig = Rig::new(view(100));
    let plan = rig.by_user();
    let candidate = sample(Slot::Second, Role::Candidate);
    assert_eq!(arm(&rig, &plan, Access::Write, &[]).await, told(Slot::First, Role::Active));
    assert_eq!(arm(&rig, &plan, Access::Read, &[]).await, candidate);
    let split = RolloutPlan { writes: Writes::Split, ..plan };
    assert_eq!(arm(&rig, &split, Access::Write, &[]).await, candidate);
    rig.shared.set(View { active: Slot::Second, ..view(0) });
    assert_eq!(arm(&rig, &split, Access::Write, &[]).await, sample(Slot::Second, Role::Active));
}

#[tokio::test]
async fn a_request_classified_before_an_abort_goes_to_the_active_arm() {
    let rig = Rig::new(view(100));
    let facts = classified(route().with(rig.by_user()), Access::Read);
    rig.shared.set(View { open: false, ..view(100) });
    let (_, seen) = send(&rig, request(&facts, &[])).await;
    assert_eq!(seen.unwrap().1, Some(told(Slot::First, Role::Active)));
    assert_eq!(
        rig.series(r#"sluicegate_rollout_requests_total{rollout="retriever",arm="active",how="closed"}"#),
        Some(1.0)
    );
}

#[tokio::test]
async fn the_header_counts_where_it_is_allowed_and_reaches_nobody_anywhere() {
    let rig = Rig::new(view(0));
    let plan = rig.by_user();
    let named = [(ARM, "candidate")];
    assert_eq!(arm(&rig, &plan, Access::Read, &named).await, sample(Slot::First, Role::Active));
    assert_eq!(
        arm(&rig, &plan, Access::Read, &[(ARM, "what is this")]).await.role,
        Role::Active,
        "where it does not count it is not read"
    );
    let allowing = RolloutPlan { allow_header: true, ..plan.clone() };
    assert_eq!(arm(&rig, &allowing, Access::Read, &named).await, told(Slot::Second, Role::Candidate));
    assert_eq!(arm(&rig, &allowing, Access::Write, &named).await, told(Slot::Second, Role::Candidate));
    rig.shared.set(view(100));
    let active = [(ARM, "active")];
    assert_eq!(arm(&rig, &allowing, Access::Read, &active).await, told(Slot::First, Role::Active));
    for closed in [View { killed: true, ..view(100) }, View { open: false, ..view(100) }] {
        rig.shared.set(closed);
        assert_eq!(arm(&rig, &allowing, Access::Read, &named).await, told(Slot::First, Role::Active));
    }
    for value in ["both", "", "Candidate"] {
        let (status, problem) = refused(&rig, route().with(allowing.clone()), &[(ARM, value)]).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")));
    }
    // Also on routes that have nothing to do with a rollout, and on those without a route.
    for facts in [classified(RoutePlan::new("ingest", "stable"), Access::Read), begun(None, false)] {
        let (answer, seen) = send(&rig, request(&facts, &named)).await;
        let (inside, arm) = seen.unwrap();
        assert_eq!((answer.status(), arm, inside.contains_key(ARM)), (StatusCode::OK, None, false));
    }
}

/// The pins of the runbooks.
const PINS: [(&str, &str); 14] = [
    ("MODEL_VER", "m-2"),
    ("PROMPT_VER", "p-9"),
    ("EMBED_MODEL_VER", "e-3"),
    ("EMBED_DIM", "768"),
    ("NORM", "l2"),
    ("metric", "cosine"),
    ("RERANK_CONF", "r-1"),
    ("TOK_VER", "t-4"),
    ("ANALYZER_CONF", "a-1"),
    ("CHUNK_SCHEMA_VER", "c-7"),
    ("INDEX_HASH", "a1d9"),
    ("DOC_COUNT", "120000"),
    ("BUILD_ID", "b-55"),
    ("GIT_SHA", "0e4ff1c"),
];

fn asked(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn each_pin_alone_wrong_is_refused_and_named() {
    let rig = Rig::new(view(50));
    let both = RolloutPlan { arm_pins: [pins(&PINS), pins(&PINS)], ..rig.by_user() };
    let mut closed = Rig::new(View { open: false, ..view(50) });
    closed.traffic = rig.traffic.clone();
    let one_closed = RolloutPlan { arm_pins: both.arm_pins.clone(), ..closed.by_user() };
    for (at, (name, value)) in PINS.iter().enumerate() {
        let mut wrong = PINS;
        wrong[at].1 = "other";
        let header = asked(&wrong);
        for (plan, against) in [
            (route().with(both.clone()), json!("active")),
            (route().with(one_closed.clone()), json!("active")),
            (RoutePlan::new("ingest", "stable").with(Pinned { pins: pins(&PINS) }), Value::Null),
        ] {
            let (status, problem) = refused(&rig, plan, &[("x-wfgy", &header)]).await;
            assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("pin_mismatch")), "{name}");
            assert_eq!(problem["diff"], json!([{ "pin": name, "expected": value, "got": "other" }]));
            assert_eq!(problem.get("arm").cloned().unwrap_or_default(), against);
        }
    }
    assert_eq!(rig.series(r#"sluicegate_pin_refusals_total{route="retrieve",why="mismatch"}"#), Some(28.0));
    assert_eq!(rig.series(r#"sluicegate_pin_refusals_total{route="ingest",why="mismatch"}"#), Some(14.0));
}

#[tokio::test]
async fn all_pins_right_pass_as_if_none_were_asked_for() {
    let rig = Rig::new(view(100));
    let plan = RolloutPlan { arm_pins: [pins(&PINS), pins(&PINS)], ..rig.by_user() };
    for header in [asked(&PINS), asked(&PINS[3..4]), String::new()] {
        let arm = arm(&rig, &plan, Access::Read, &[("x-wfgy", &header)]).await;
        assert_eq!(arm, sample(Slot::Second, Role::Candidate), "{header}");
    }
    let route = RoutePlan::new("ingest", "stable").with(Pinned { pins: pins(&PINS) });
    let facts = classified(route, Access::Write);
    let (answer, seen) = send(&rig, request(&facts, &[("x-wfgy", &asked(&PINS))])).await;
    let (inside, arm) = seen.unwrap();
    assert_eq!((answer.status(), arm), (StatusCode::OK, None));
    assert!(inside.contains_key("x-wfgy"), "the upstream may read them as well");
}

#[tokio::test]
async fn pins_lead_to_the_arm_that_has_them() {
    let rig = Rig::new(view(50));
    let arm_pins =
        [pins(&[("INDEX_HASH", "a1"), ("NORM", "l2")]), pins(&[("INDEX_HASH", "b2"), ("NORM", "l2")])];
    let plan = RolloutPlan { arm_pins, ..rig.by_user() };
    // Whoever the user is, and also for writes: they name what they want to write to.
    for user in 0..20 {
        let user = user.to_string();
        for access in [Access::Read, Access::Write] {
            let of = |hash| [("x-wfgy", hash), ("x-user-id", user.as_str())];
            let old = arm(&rig, &plan, access, &of("INDEX_HASH=a1")).await;
            assert_eq!(old, told(Slot::First, Role::Active));
            let new = arm(&rig, &plan, access, &of("INDEX_HASH=b2,NORM=l2")).await;
            assert_eq!(new, told(Slot::Second, Role::Candidate));
        }
    }
    // What both have leaves the choice to the weight.
    assert!(arm(&rig, &plan, Access::Read, &[("x-wfgy", "NORM=l2")]).await.is_sample);
    rig.shared.set(View { active: Slot::Second, ..view(50) });
    let old = arm(&rig, &plan, Access::Read, &[("x-wfgy", "INDEX_HASH=a1")]).await;
    assert_eq!(old, told(Slot::First, Role::Candidate), "the roles have changed, the pins have not");
    // Half of each is neither.
    let (status, problem) =
        refused(&rig, route().with(plan.clone()), &[("x-wfgy", "INDEX_HASH=a1,NORM=none")]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let against_active = json!([
        { "pin": "INDEX_HASH", "expected": "b2", "got": "a1" },
        { "pin": "NORM", "expected": "l2", "got": "none" },
    ]);
    assert_eq!((&problem["diff"], &problem["arm"]), (&against_active, &json!("active")));
    // An arm that nothing may reach matches nobody.
    rig.shared.set(View { open: false, ..view(50) });
    let (status, problem) = refused(&rig, route().with(plan), &[("x-wfgy", "INDEX_HASH=b2")]).await;
    let diff = json!([{ "pin": "INDEX_HASH", "expected": "a1", "got": "b2" }]);
    assert_eq!((status, &problem["diff"]), (StatusCode::CONFLICT, &diff));
}

#[tokio::test]
async fn a_forced_arm_must_match_as_well() {
    let rig = Rig::new(view(0));
    let arm_pins = [pins(&[("INDEX_HASH", "a1")]), pins(&[("INDEX_HASH", "b2")])];
    let plan = RolloutPlan { arm_pins, allow_header: true, ..rig.by_user() };
    let both = |arm, pins| [(ARM, arm), ("x-wfgy", pins)];
    let forced = arm(&rig, &plan, Access::Read, &both("candidate", "INDEX_HASH=b2")).await;
    assert_eq!(forced, told(Slot::Second, Role::Candidate));
    let (status, problem) = refused(&rig, route().with(plan), &both("candidate", "INDEX_HASH=a1")).await;
    let diff = json!([{ "pin": "INDEX_HASH", "expected": "b2", "got": "a1" }]);
    assert_eq!(
        (status, &problem["diff"], &problem["arm"]),
        (StatusCode::CONFLICT, &diff, &json!("candidate"))
    );
}

#[tokio::test]
async fn pins_that_cannot_be_read_are_refused_where_pins_count() {
    let rig = Rig::new(view(0));
    let pinned = RoutePlan::new("ingest", "stable").with(Pinned { pins: Arc::default() });
    for plan in [route().with(rig.by_user()), pinned] {
        let (status, problem) = refused(&rig, plan, &[("x-wfgy", "INDEX_HASH")]).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")));
        assert!(problem["detail"].as_str().unwrap().contains("NAME=value"));
    }
    assert_eq!(rig.series(r#"sluicegate_pin_refusals_total{route="ingest",why="malformed"}"#), Some(1.0));
    let facts = classified(RoutePlan::new("plain", "stable"), Access::Read);
    let (answer, _) = send(&rig, request(&facts, &[("x-wfgy", "INDEX_HASH")])).await;
    assert_eq!(answer.status(), StatusCode::OK, "a route without pins does not read them");
}

#[tokio::test]
async fn a_refusal_is_worded_for_grpc_and_json_rpc() {
    let rig = Rig::new(view(0));
    let plan = RolloutPlan { arm_pins: [pins(&PINS), pins(&PINS)], ..rig.by_user() };
    let wrong = [("x-wfgy", "NORM=none")];
    let facts = begun(None, true);
    settle(&facts, route().with(plan.clone()), Access::Read, None);
    let (answer, _) = send(&rig, request(&facts, &wrong)).await;
    assert_eq!(
        (answer.status(), answer.headers()["grpc-status"].as_bytes()),
        (StatusCode::OK, b"9".as_slice())
    );
    let facts = begun(None, false);
    facts.classify(sluicegate_core::Classified {
        route: Arc::new(route().with(plan)),
        access: Access::Read,
        tenant: None,
        lane: sluicegate_core::Lane::Interactive,
        cost: 1,
        deadline: None,
        rpc: Some(Rpc { id: RpcId::One(json!(7)), always_ok: false }),
    });
    let (answer, _) = send(&rig, request(&facts, &wrong)).await;
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!((answer.status(), &body["id"]), (StatusCode::CONFLICT, &json!(7)));
    assert_eq!(body["error"]["data"]["diff"][0]["pin"], "NORM");
}

#[tokio::test]
async fn tenant_and_client_keep_their_arms() {
    let rig = Rig::new(view(50));
    for source in [KeySource::Tenant, KeySource::Client] {
        let plan = rig.plan(source);
        for n in 0..30u8 {
            let ask = async |rig: &Rig, plan: &RolloutPlan| {
                let facts = begun(Some([192, 0, 2, n].into()), false);
                settle(&facts, route().with(plan.clone()), Access::Read, Some(&format!("tenant-{n}")));
                send(rig, request(&facts, &[])).await.1.unwrap().1.unwrap()
            };
            let other = Rig::new(view(50));
            let elsewhere = RolloutPlan { shared: other.shared.clone(), ..plan.clone() };
            assert_eq!(ask(&rig, &plan).await, ask(&other, &elsewhere).await);
        }
    }
}

#[tokio::test]
async fn without_a_key_each_request_is_drawn() {
    let rig = Rig::new(view(25));
    let plan = rig.by_user();
    let service = layer(&rig).layer(service_fn(|request: Request<()>| {
        let arm = request.extensions().get::<Facts>().and_then(Facts::chosen_arm);
        ready(Ok::<_, Refusal>(Response::new(arm)))
    }));
    let mut on_candidate = 0u32;
    for _ in 0..10_000 {
        let facts = classified(route().with(plan.clone()), Access::Read);
        let arm = service.clone().oneshot(request(&facts, &[])).await.unwrap().into_body().unwrap();
        assert!(arm.is_sample);
        on_candidate += u32::from(arm.role == Role::Candidate);
    }
    // 99.9 % of what a binomial distribution gives.
    assert!((2358..=2642).contains(&on_candidate), "{on_candidate}");
}

fn by_cookie(rig: &Rig) -> RolloutPlan {
    rig.plan(KeySource::Cookie(CookieName::new("sluicegate-arm").unwrap()))
}

/// The arm, and the cookie that was set.
async fn browse(rig: &Rig, headers: &[(&str, &str)]) -> (Arm, Option<String>) {
    let facts = classified(route().with(by_cookie(rig)), Access::Read);
    let (answer, seen) = send(rig, request(&facts, headers)).await;
    let set = answer.headers().get("set-cookie").map(|set| set.to_str().unwrap().to_owned());
    (seen.unwrap().1.unwrap(), set)
}

#[tokio::test]
async fn a_browser_keeps_its_arm_by_the_cookie_on_every_gateway() {
    let (rig, other) = (Rig::new(view(50)), Rig::new(view(50)));
    let mut roles = [0; 2];
    for _ in 0..40 {
        let (first, set) = browse(&rig, &[]).await;
        let set = set.expect("the first answer sets it");
        assert!(set.starts_with("sluicegate-arm=") && set.ends_with("; HttpOnly; SameSite=Lax"), "{set}");
        let cookie = format!("a=b; {}", set.split(';').next().unwrap());
        for gateway in [&rig, &other] {
            assert_eq!(browse(gateway, &[("cookie", &cookie)]).await, (first, None));
        }
        roles[first.role as usize] += 1;
        // A new run: everybody is drawn anew.
        let next = Rig::new(View { epoch: 8, ..view(50) });
        let (_, anew) = browse(&next, &[("cookie", &cookie)]).await;
        assert!(anew.is_some_and(|anew| !anew.contains(set.split(';').next().unwrap())));
        // Another installation, and a forgery.
        let foreign = Rig::new(View { secret: [1; 32], ..view(50) });
        assert!(browse(&foreign, &[("cookie", &cookie)]).await.1.is_some());
        let forged = format!("{}A", &cookie[..cookie.len() - 1]);
        assert!(forged == cookie || browse(&rig, &[("cookie", &forged)]).await.1.is_some());
    }
    assert!(roles[0] > 0 && roles[1] > 0, "{roles:?}");
}

#[tokio::test]
async fn a_cookie_is_set_only_where_its_key_decided() {
    let rig = Rig::new(view(50));
    let set = async |facts: Facts, headers: &[(&str, &str)]| {
        send(&rig, request(&facts, headers)).await.0.headers().contains_key("set-cookie")
    };
    let plan = RolloutPlan { allow_header: true, ..by_cookie(&rig) };
    let facts = |access| classified(route().with(plan.clone()), access);
    assert!(set(facts(Access::Read), &[]).await);
    assert!(!set(facts(Access::Write), &[]).await);
    assert!(!set(facts(Access::Read), &[(ARM, "active")]).await);
    for settled in [view(0), view(100), View { open: false, ..view(50) }, View { killed: true, ..view(50) }] {
        rig.shared.set(settled);
        assert!(!set(facts(Access::Read), &[]).await);
    }
}

#[tokio::test]
async fn the_cookie_joins_those_of_the_service_on_answers_of_any_status() {
    let rig = Rig::new(view(50));
    let failing = service_fn(|_: Request<()>| {
        let answer =
            Response::builder().status(503).header("set-cookie", "session=1").body(Empty::<Bytes>::new());
        ready(Ok::<_, Refusal>(answer.unwrap()))
    });
    let ask = async |proto: &str| {
        let facts = classified(route().with(by_cookie(&rig)), Access::Read);
        let answer =
            layer(&rig).layer(failing).oneshot(request(&facts, &[("x-forwarded-proto", proto)])).await;
        let set = answer.unwrap().headers().get_all("set-cookie").iter().cloned().collect::<Vec<_>>();
        assert_eq!((set.len(), set[0].as_bytes()), (2, b"session=1".as_slice()));
        set[1].to_str().unwrap().ends_with("; Secure")
    };
    assert_eq!((ask("https").await, ask("HTTPS, http").await), (true, true));
    assert_eq!((ask("http").await, ask("http, https").await, ask("").await), (false, false, false));
}

#[tokio::test]
async fn a_refusal_from_further_in_sets_no_cookie() {
    let rig = Rig::new(view(50));
    let busy = service_fn(|_: Request<()>| {
        ready(Err::<Response<Empty<Bytes>>, _>(Refusal::new(Code::Overloaded, "busy")))
    });
    let facts = classified(route().with(by_cookie(&rig)), Access::Read);
    let service = RespondLayer.layer(layer(&rig).layer(busy));
    let answer = service.oneshot(request(&facts, &[])).await.unwrap();
    assert_eq!(
        (answer.status(), answer.headers().get("set-cookie")),
        (StatusCode::SERVICE_UNAVAILABLE, None)
    );
}

#[tokio::test]
async fn it_guards_a_plain_axum_service() {
    async fn search(Extension(facts): Extension<Facts>) -> &'static str {
        facts.arm().map_or("no arm", |arm| arm.role.as_str())
    }
    let rig = Rig::new(view(0));
    let plan = RolloutPlan { arm_pins: [pins(&PINS), pins(&PINS)], ..rig.by_user() };
    let app = |layer: RolloutLayer| {
        let guarded = ServiceBuilder::new()
            .layer(RespondLayer)
            .layer(layer)
            .layer(JudgeLayer::new().with_plan(plan.clone()))
            .layer(MapErrLayer::new(|never: Infallible| -> Refusal { match never {} }));
        Router::new().route("/search", get(search).post(search)).layer(guarded)
    };
    let ask = async |app: Router, method: &str, pins: &str| {
        let request = Request::builder().method(method).uri("/search").header("x-wfgy", pins);
        let request = request.body(axum::body::Body::empty()).unwrap();
        let (head, body) = app.oneshot(request).await.unwrap().into_parts();
        (head.status.as_u16(), String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap())
    };
    let rollout = app(layer(&rig).with_plan(plan.clone()));
    assert_eq!(ask(rollout.clone(), "GET", "").await, (200, "active".to_owned()));
    rig.shared.set(view(100));
    assert_eq!(ask(rollout.clone(), "GET", "").await, (200, "candidate".to_owned()));
    assert_eq!(ask(rollout.clone(), "POST", "").await, (200, "active".to_owned()), "the method tells writes");
    assert_eq!(ask(rollout, "GET", "NORM=none").await.0, 409);
    let pinned = app(layer(&rig).with_pins(Pinned { pins: pins(&PINS) }));
    assert_eq!(ask(pinned.clone(), "GET", "NORM=l2").await, (200, "no arm".to_owned()));
    assert_eq!(ask(pinned, "GET", "NORM=none").await.0, 409);
    let bare = app(layer(&rig));
    assert_eq!(ask(bare, "GET", "NORM=none").await, (200, "no arm".to_owned()));
    let [active, candidate] = rig.shared.recorder().drain();
    assert_eq!((active.requests, candidate.requests), (1, 1), "the write is no sample");
}

/// What is dropped or panics midway leaves nothing behind: no view is held, no lock, no handle.
#[tokio::test]
async fn what_ends_midway_leaks_nothing() {
    let rig = Rig::new(view(100));
    let held = || Arc::strong_count(&rig.shared);
    let plan = rig.by_user();
    let before = held();
    let whole = ServiceBuilder::new().layer(layer(&rig)).layer(JudgeLayer::new());
    let hangs = service_fn(|_: Request<()>| pending::<Result<Response<Full<Bytes>>, Refusal>>());
    let panics = service_fn(|_: Request<()>| async {
        tokio::task::yield_now().await;
        assert!(Slot::BOTH.is_empty(), "this service fails");
        Ok::<_, Refusal>(Response::new(Full::new(Bytes::new())))
    });
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        let facts = classified(route().with(plan.clone()), Access::Read);
        drop(whole.clone().service(hangs).call(request(&facts, &[])));
        let mut asking = Box::pin(whole.clone().service(hangs).call(request(&facts, &[])));
        assert!(asking.as_mut().poll(&mut context).is_pending());
        drop(asking);
        let mut asking = Box::pin(whole.clone().service(panics).call(request(&facts, &[])));
        let ended =
            catch_unwind(AssertUnwindSafe(|| while asking.as_mut().poll(&mut context).is_pending() {}));
        assert!(ended.is_err());
        drop((asking, facts));
        assert_eq!(held(), before);
    }
    assert_eq!(rig.shared.recorder().drain().map(|block| block.requests), [0, 0]);
    assert_eq!(
        rig.series(r#"sluicegate_rollout_abandoned_total{rollout="retriever",arm="candidate"}"#),
        Some(9.0)
    );
    rig.shared.set(view(0));
    assert_eq!(arm(&rig, &plan, Access::Read, &[]).await, sample(Slot::First, Role::Active), "it goes on");
}

#[test]
fn the_layer_holds_only_what_may_be_shared_and_its_future_is_small() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<RolloutLayer>();
    shared::<Rollout<Router>>();
    shared::<RolloutPlan>();
    shared::<Pinned>();
    shared::<Arc<Sticky>>();
    shared::<Arc<Pins>>();
    sent::<ResponseFuture<std::future::Ready<()>>>();
    let (inner, own) = (size_of::<[u64; 8]>(), size_of::<ResponseFuture<[u64; 8]>>());
    assert!(own <= inner + 16, "{own} around {inner}");
}
