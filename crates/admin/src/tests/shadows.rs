use std::{path::Path, sync::Arc, time::Duration};

use axum::Router;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use sluicegate_body::Budget;
use sluicegate_core::{Chance, Clock, Refusal};
use sluicegate_shadow::{
    AnswersInput, CopyTap, ShadowInput, ShadowLayer, ShadowPlan, Shadowing, Shadows, ShadowsOptions, Targets,
};
use sluicegate_upstream::{Upstream, UpstreamMetrics, UpstreamSettings, Upstreams, input::UpstreamInput};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tower_layer::Layer;

use super::{Port, port};

/// What the route's own upstream answers.
const ANSWER: &str = r#"{"hits":[{"id":"a","title":"of a"},{"id":"b","title":"of b"}]}"#;

/// A home without any shadow.
pub(super) fn open(registry: &mut Registry) -> Shadows {
    let options = ShadowsOptions {
        bodies: Budget::new(64 << 20),
        clock: Clock::system(),
        chance: Arc::new(Chance::seeded(7)),
    };
    Shadows::open(options, registry)
}

/// A server that gives one answer; it ends with the test's runtime.
async fn serving(answer: &'static str) -> Arc<Upstream> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router =
        Router::new().fallback(move || async move { ([("content-type", "application/json")], answer) });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let input: UpstreamInput = serde_json::from_value(json!({ "endpoints": [endpoint] })).unwrap();
    let settings = UpstreamSettings::check("any", &input, &Path::to_path_buf).unwrap();
    let metrics = UpstreamMetrics::register(&mut Registry::default());
    let upstreams = Upstreams::new(metrics, tokio::runtime::Handle::current());
    upstreams.prepare(vec![settings]).get("any").unwrap().clone()
}

fn shadowing(port: &Port, route: &str, input: Value, targets: Targets) -> Arc<Shadowing> {
    let input: ShadowInput = serde_json::from_value(input).unwrap();
    let answers: AnswersInput = serde_json::from_value(json!({ "ids": "/hits/*/id" })).unwrap();
    let settings = input.check(&answers, &Path::to_path_buf).unwrap();
    port.shadows.shadowing(route, settings, targets)
}

/// `retrieve` has a shadow that answers otherwise, and one that is not compared; `answer` has one
/// that answers alike.
async fn shadowed() -> (Port, Vec<Arc<Shadowing>>) {
    let port = port().await;
    let (other, same) =
        (serving(r#"{"hits":[{"id":"a","title":"else"},{"id":"c"}]}"#).await, serving(ANSWER).await);
    let to = |shadow: &Arc<Upstream>| Targets {
        shadow: shadow.clone(),
        own: [Some(same.clone()), None],
        version: String::new(),
        rewrite: None,
    };
    let compare = json!({ "pairs": 1 });
    let all = vec![
        shadowing(
            &port,
            "retrieve",
            json!({ "to": "lab", "percent": 100, "noise": 100, "compare": compare }),
            to(&other),
        ),
        shadowing(&port, "retrieve", json!({ "to": "next", "percent": 0 }), to(&other)),
        shadowing(
            &port,
            "answer",
            json!({ "to": "lab", "percent": 100, "noise": 0, "compare": compare }),
            to(&same),
        ),
    ];
    port.shadows.apply(&all);
    (port, all)
}

/// Sends so many requests through these shadows.
async fn send(port: &Port, shadowings: &[Arc<Shadowing>], count: usize) {
    let plan = ShadowPlan(shadowings.iter().cloned().collect());
    let layer = ShadowLayer::new(port.shadows.clone(), Chance::seeded(1)).with_plan(plan);
    let service = layer.layer(tower::service_fn(
        |request: Request<sluicegate_body::Teed<Full<Bytes>, CopyTap>>| async move {
            drop(request.into_body().collect().await);
            let answer = Response::builder().header("content-type", "application/json");
            Ok::<_, Refusal>(answer.body(Full::<Bytes>::from(ANSWER)).unwrap())
        },
    ));
    for _ in 0..count {
        let request = Request::get("/v1/retrieve?q=secret").header("x-request-id", "req-1");
        let answer = service.clone().oneshot(request.body(Full::default()).unwrap()).await.unwrap();
        let _: Bytes = answer.into_body().collect().await.unwrap().to_bytes();
    }
}

/// Asks until the shadow has so many pairs.
async fn compared(port: &Port, path: &str, pairs: u64) -> Value {
    let wait = async {
        loop {
            let body = port.get(path).await.json();
            if body["shadows"][0]["report"]["shadow"]["pairs"] == pairs {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("as many pairs")
}

#[tokio::test]
async fn what_copies_and_comparisons_came_to_is_shown() {
    let (port, all) = shadowed().await;
    send(&port, &all[..2], 3).await;
    let body = compared(&port, "/shadows/retrieve?to=lab", 3).await;
    assert_eq!((&body["route"], body["shadows"].as_array().unwrap().len()), (&json!("retrieve"), 1));
    let shadow = &body["shadows"][0];
    assert_eq!((&shadow["to"], &shadow["copies"]["answered"]), (&json!("lab"), &json!(3)));
    let report = &shadow["report"];
    assert_eq!((&report["shadow"]["differing"], &report["own"]["pairs"]), (&json!(3), &json!(3)));
    assert_eq!(report["own"]["differing"], 0, "the same version answers alike: {report}");
    let classes: Vec<_> = report["classes"].as_array().unwrap().iter().map(|it| &it["class"]).collect();
    assert!(classes.contains(&&json!("ids")), "{classes:?}");

    let both = port.get("/shadows/retrieve").await.json();
    let names: Vec<_> = both["shadows"].as_array().unwrap().iter().map(|it| &it["to"]).collect();
    assert_eq!(names, ["lab", "next"]);
    assert_eq!(
        (&both["shadows"][1]["report"], &both["shadows"][1]["compares"]),
        (&json!(null), &json!(false))
    );
    assert_eq!(both["shadows"][1]["copies"]["sampled_out"], 3);

    // The name of the contract is good for the same.
    for query in ["", "?to=lab", "?to=nowhere"] {
        let (one, other) = (
            port.get(&format!("/shadow/retrieve{query}")).await,
            port.get(&format!("/shadows/retrieve{query}")).await,
        );
        assert_eq!((one.status, one.json()), (other.status, other.json()), "{query}");
    }

    let list = port.get("/shadows").await.json();
    let names = list["shadows"].as_array().unwrap().iter().map(|it| [&it["route"], &it["to"]]);
    assert_eq!(names.collect::<Vec<_>>(), [["answer", "lab"], ["retrieve", "lab"], ["retrieve", "next"]]);
    assert_eq!(list["shadows"][0]["verdict"], "insufficient_data");
    assert!(list["shadows"][2].get("verdict").is_none(), "{list}");
}

#[tokio::test]
async fn the_last_differing_pairs_are_shown_without_what_they_hold() {
    let (port, all) = shadowed().await;
    send(&port, &all[..1], 3).await;
    compared(&port, "/shadows/retrieve?to=lab", 3).await;
    let body = port.get("/shadows/retrieve/pairs?to=lab&limit=2").await;
    for secret in ["secret", "of a", "else"] {
        assert!(!body.body.contains(secret), "{secret}: {}", body.body);
    }
    let body = body.json();
    assert_eq!((&body["kept"], body["pairs"].as_array().unwrap().len()), (&json!(3), 2));
    let pair = &body["pairs"][0];
    assert_eq!((&pair["against"], &pair["request"]["path"]), (&json!("shadow"), &json!("/v1/retrieve?q")));
    assert_eq!((&pair["request"]["id"], &pair["copy"]["answered"]["status"]), (&json!("req-1"), &json!(200)));
    assert_eq!(pair["comparison"]["ids"]["missing"], json!(["b"]));
    assert_eq!(pair["comparison"]["ids"]["new"], json!(["c"]));
    let all = port.get("/shadows/retrieve/pairs?to=lab").await.json();
    assert_eq!(all["pairs"].as_array().unwrap().len(), 3);
    assert_eq!(port.get("/shadows/answer/pairs").await.json()["pairs"], json!([]));
}

#[tokio::test]
async fn a_reset_begins_anew_and_is_written_down() {
    let (port, all) = shadowed().await;
    send(&port, &all[2..], 2).await;
    let before = compared(&port, "/shadows/answer", 2).await;
    let headers = [("x-sluicegate-actor", "night shift")];
    // There is one shadow, which needs no name.
    let answer = port.ask("POST", "/shadows/answer/reset", &headers, "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let now = answer.json();
    assert_eq!((&now["to"], &now["report"]["shadow"]["pairs"]), (&json!("lab"), &json!(0)));
    assert_eq!(now["copies"]["answered"], 2, "copies are not forgotten");
    assert_eq!(port.get("/shadows/answer").await.json()["shadows"][0], now);
    let audited = port.last_audited().await;
    assert_eq!(
        (&audited["action"], &audited["target"], &audited["result"]),
        (&json!("shadow_reset"), &json!("answer"), &json!("ok"))
    );
    assert_eq!(audited["actor"]["claimed"], "night shift");
    let report = &before["shadows"][0]["report"];
    let was = json!({ "since": report["since"], "verdict": report["verdict"], "pairs": 2, "differing": 0 });
    assert_eq!(audited["detail"], json!({ "to": "lab", "was": was }));
    let named = port.post("/shadows/retrieve/reset?to=lab", "{}").await;
    assert_eq!(named.status, 200, "{}", named.body);
}

#[tokio::test]
async fn what_is_not_there_is_refused_with_what_is() {
    let nobody = port().await;
    let (status, code, detail) = nobody.get("/shadows/retrieve").await.problem();
    assert_eq!((status, code.as_str()), (404, "shadow_unknown"));
    assert!(detail.contains("add `shadow` to one in the configuration"), "{detail}");
    assert_eq!(nobody.get("/shadows").await.json(), json!({ "shadows": [] }));

    let (port, _all) = shadowed().await;
    for (path, code, known, says) in [
        ("/shadows/retreive", "shadow_unknown", json!(["answer", "retrieve"]), "did you mean `retrieve`?"),
        (
            "/shadows/else/pairs",
            "shadow_unknown",
            json!(["answer", "retrieve"]),
            "that have one: answer, retrieve",
        ),
        ("/shadows/answer?to=next", "shadow_unknown", json!(["lab"]), "do not go to `next`; they go to lab"),
        (
            "/shadows/retrieve/pairs",
            "shadow_ambiguous",
            json!(["lab", "next"]),
            "name one by `to`: lab, next",
        ),
        ("/shadows/retrieve/pairs?to=next", "shadow_not_compared", Value::Null, "add `compare: {}` to it"),
    ] {
        let answer = port.get(path).await;
        let (_, told, detail) = answer.problem();
        assert!(told == code && detail.contains(says), "{path}: {told}: {detail}");
        assert_eq!(answer.json()["known"], known, "{path}");
    }
    for (path, code) in [
        ("/shadows/retrieve/reset", (400, "shadow_ambiguous")),
        ("/shadows/retrieve/reset?to=stable", (404, "shadow_unknown")),
        ("/shadows/retrieve/reset?to=next", (409, "shadow_not_compared")),
    ] {
        let (status, told, _) = port.post(path, "").await.problem();
        assert_eq!((status, told.as_str()), code, "{path}");
        let audited = port.last_audited().await;
        assert_eq!((&audited["action"], &audited["result"]), (&json!("shadow_reset"), &json!(code.1)));
    }
    for (method, path, body) in [
        ("POST", "/shadows/answer/reset", r#"{"to": "lab"}"#),
        ("POST", "/shadows/answer/reset?too=lab", ""),
        ("GET", "/shadows/answer?limit=1", ""),
        ("GET", "/shadows/answer/pairs?limit=0", ""),
    ] {
        assert_eq!(port.ask(method, path, &[], body).await.problem().0, 400, "{path}");
    }
    assert_eq!(port.get("/shadows/answer/reset").await.problem().0, 405);
}
