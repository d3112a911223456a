use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use sluicegate_body::{Budget, Gathered};
use sluicegate_core::{Access, Classified, Clock, Facts, Lane, Refusal, RoutePlan, Tenant};
use sluicegate_intents::{IntentsInput, IntentsLayer, RouteRules};
use sluicegate_store::{
    Change, Changed, EntryState, Expect, RecordKey, Swapped, Tag, fingerprint::FingerprintRules, keyed::Keyed,
};
use tower::{Layer, ServiceExt, service_fn};

use super::{Port, port, port_without_store};

/// Sends a write during a freeze that keeps it: through the real layer. Returns its id.
async fn queue(port: &Port, n: u8, tenant: Option<&'static str>) -> String {
    let route = if tenant.is_some() { "ingest" } else { "rest" };
    let settings = Arc::new(IntentsInput::default().check().unwrap());
    let plan = port.intents.plan(route, settings, RouteRules::default());
    let request_id = HeaderValue::try_from(format!("req-{n}")).unwrap();
    let facts = Facts::new(request_id, None, tokio::time::Instant::now(), false);
    facts.classify(Classified {
        route: Arc::new(RoutePlan::new(route, "stable").with(plan)),
        access: Access::Write,
        tenant: tenant.and_then(|tenant| Tenant::from_header(&HeaderValue::from_static(tenant))),
        lane: Lane::Interactive,
        cost: 1,
        deadline: None,
        rpc: None,
    });
    facts.defer();
    let key = format!("order-{n}");
    let rules = Arc::new(FingerprintRules::default());
    let keyed = Keyed::new(RecordKey([n; 32]), key.as_str().into(), tenant.map(Into::into), rules);
    let mut request = Request::post(format!("/v1/documents/{n}?secret=1"))
        .header("idempotency-key", &key)
        .body(Gathered::untouched(Full::from("text")))
        .unwrap();
    request.extensions_mut().insert(facts);
    request.extensions_mut().insert(keyed);
    let inner = service_fn(|_| async { Ok::<Response<Full<Bytes>>, Refusal>(Response::default()) });
    let layer = IntentsLayer::new(port.intents.clone(), Budget::new(1 << 20));
    let answer = layer.layer(inner).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    // Ids of one millisecond stand in no order.
    let at = Clock::system().unix_millis();
    while Clock::system().unix_millis() == at {
        tokio::task::yield_now().await;
    }
    let place = answer.headers()["location"].to_str().unwrap();
    place.rsplit('/').next().unwrap().to_owned()
}

/// What the backfill does with the head of a line, up to an end.
async fn end(port: &Port, id: &str, state: EntryState) {
    // Of several heads the right one is taken; the others go back.
    let claimed = port.store.claim((100..116).map(Tag).collect()).await.unwrap();
    for (n, entry) in claimed.into_iter().enumerate() {
        let wanted = entry.id.to_text() == id;
        let change = Change {
            expect: entry.tag,
            tag: Tag(200 + n as u128),
            state: if wanted { state } else { EntryState::Queued },
            note: entry.note,
            delay: Duration::ZERO,
            ttl: Duration::from_secs(3600),
            record: None,
        };
        assert_eq!(port.store.change(entry.id, change).await.unwrap(), Changed::Done);
    }
    assert_eq!(port.get(&format!("/intents/{id}")).await.json()["state"], state.as_str());
}

async fn found(port: &Port, query: &str) -> Vec<String> {
    let page = port.get(&format!("/intents{query}")).await.json();
    page["intents"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect()
}

async fn key_state(port: &Port, n: u8) -> Value {
    port.get(&format!("/keys/{}", format!("{n:02x}").repeat(32))).await.json()["state"].clone()
}

#[tokio::test]
async fn intents_are_listed_with_how_many_stand_where() {
    let port = port().await;
    let first = queue(&port, 1, Some("acme")).await;
    for n in 2..=3 {
        queue(&port, n, Some("bolt")).await;
    }
    let last = queue(&port, 4, None).await;
    end(&port, &last, EntryState::InDoubt).await;
    for (query, keys) in [
        ("", &["order-1", "order-2", "order-3", "order-4"][..]),
        ("?state=in_doubt", &["order-4"]),
        ("?tenant=bolt&route=ingest", &["order-2", "order-3"]),
        ("?route=rest", &["order-4"]),
        ("?state=dead", &[]),
    ] {
        assert_eq!(found(&port, query).await, keys, "{query}");
    }
    let tally = port.get("/intents?limit=1").await.json()["tally"].clone();
    let expected = json!({
        "queued": 3, "applying": 0, "in_doubt": 1, "applied": 0, "dead": 0, "expired": 0, "dropped": 0,
    });
    assert_eq!(tally, expected);
    let (mut keys, mut after) = (Vec::new(), String::new());
    loop {
        let page = port.get(&format!("/intents?limit=1{after}")).await.json();
        keys.extend(page["intents"].as_array().unwrap().iter().map(|one| one["key"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(keys, ["order-1", "order-2", "order-3", "order-4"]);

    let one = port.get(&format!("/intents/{first}")).await.json();
    for (member, value) in
        [("id", first.as_str()), ("state", "queued"), ("tenant", "acme"), ("path", "/v1/documents/1")]
    {
        assert_eq!(one[member], value, "{one}");
    }
    assert!(!one.to_string().contains("secret"), "{one}");
    let status = port.get("/intents/status").await.json();
    assert_eq!((&status["count"], &status["paused"]), (&expected, &Value::Null));
}

#[tokio::test]
async fn one_in_doubt_is_settled_retried_or_dropped_and_the_log_says_who_did_it() {
    let port = port().await;
    let mut ids = Vec::new();
    for n in 1..=4 {
        // A line of its own for each.
        let tenant = ["one", "two", "three", "four"][usize::from(n - 1)];
        ids.push(queue(&port, n, Some(tenant)).await);
        end(&port, &ids[usize::from(n - 1)], EntryState::InDoubt).await;
    }
    let orders = [
        ("settle", r#"{"status": 201}"#, "applied", json!("sealed")),
        ("settle", r#"{"applied": false}"#, "dead", Value::Null),
        ("retry", "{}", "queued", json!("deferred")),
        ("drop", "", "dropped", json!("unknown")),
    ];
    for (n, (verb, body, state, key)) in (1..).zip(orders) {
        let id = &ids[usize::from(n - 1_u8)];
        let answer = port
            .ask("POST", &format!("/intents/{id}/{verb}"), &[("x-sluicegate-actor", "night shift")], body)
            .await;
        assert_eq!((answer.status, &answer.json()["state"]), (200, &json!(state)), "{}", answer.body);
        assert_eq!(port.get(&format!("/intents/{id}")).await.json()["state"], state, "{verb} {body}");
        assert_eq!(key_state(&port, n).await, key, "{verb} {body}");
        let line = port.last_audited().await;
        assert_eq!((&line["action"], &line["target"]), (&json!(format!("intent_{verb}")), &json!(id)));
        assert_eq!((&line["result"], &line["actor"]["claimed"]), (&json!("ok"), &json!("night shift")));
        assert_eq!(
            (&line["detail"]["state"], &line["detail"]["key"]),
            (&json!(state), &json!(format!("order-{n}")))
        );
    }
}

#[tokio::test]
async fn what_cannot_be_done_to_an_intent_is_told() {
    let port = port().await;
    let id = queue(&port, 1, None).await;
    for verb in ["retry", "settle"] {
        let body = if verb == "settle" { r#"{"applied": true}"# } else { "" };
        let answer = port.post(&format!("/intents/{id}/{verb}"), body).await;
        let (status, code, detail) = answer.problem();
        assert_eq!((status, code.as_str()), (409, "intent_state"), "{verb}");
        assert!(detail.contains("is queued; only one that is"), "{detail}");
        assert_eq!(answer.json()["state"], "queued");
        assert!(answer.json()["allowed"].as_array().unwrap().contains(&json!("in_doubt")));
        assert_eq!(port.last_audited().await["result"], "intent_state");
    }
    for unknown in ["00000000-0000-0000-0000-000000000007", "nonsense"] {
        for (method, path) in [("GET", ""), ("POST", "/retry"), ("POST", "/drop")] {
            let path = format!("/intents/{unknown}{path}");
            let (status, code, _) = port.ask(method, &path, &[], "").await.problem();
            assert_eq!((status, code.as_str()), (404, "intent_unknown"), "{method} {path}");
        }
    }
    end(&port, &id, EntryState::InDoubt).await;
    // Each but the settlement takes no words.
    for (path, body) in [
        (format!("/intents/{id}/retry"), r#"{"status": 201}"#),
        (format!("/intents/{id}/drop"), "[]"),
        (format!("/intents/{id}/settle"), "{}"),
        ("/intents/resume".to_owned(), r#"{"reason": "x"}"#),
        ("/intents/pause".to_owned(), r#"{"why": "x"}"#),
    ] {
        let (status, code, _) = port.post(&path, body).await.problem();
        assert_eq!((status, code.as_str()), (400, "bad_request"), "{path} {body}");
    }
    assert_eq!(found(&port, "?state=in_doubt").await, ["order-1"]);
    for query in ["state=doubt", "key=order-1", "limit=0", "after=x"] {
        let (status, code, _) = port.get(&format!("/intents?{query}")).await.problem();
        assert_eq!((status, code.as_str()), (400, "bad_request"), "{query}");
    }
}

#[tokio::test]
async fn one_whose_key_was_settled_meanwhile_is_not_sent_again() {
    let port = port().await;
    let id = queue(&port, 1, None).await;
    end(&port, &id, EntryState::InDoubt).await;
    // Another hand frees the key.
    let record = port.store.get(RecordKey([1; 32])).await.unwrap().unwrap();
    let freed = port.store.swap(RecordKey([1; 32]), Expect::Tag(record.tag), None).await.unwrap();
    assert_eq!(freed, Swapped::Done);
    let (status, code, detail) = port.post(&format!("/intents/{id}/retry"), "").await.problem();
    assert_eq!((status, code.as_str()), (409, "intent_key_taken"));
    assert!(detail.contains("drop the intent"), "{detail}");
}

#[tokio::test]
async fn a_pause_is_kept_with_who_and_why_and_is_no_key() {
    let port = port().await;
    let actor = [("x-sluicegate-actor", "night shift")];
    let answer =
        port.ask("POST", "/intents/pause", &actor, r#"{"reason": "the upstream is being moved"}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let paused = answer.json()["paused"].clone();
    assert_eq!(paused["reason"], "the upstream is being moved");
    assert!(paused["by"].as_str().unwrap().starts_with("night shift (127.0.0.1:"), "{paused}");
    assert_eq!(port.get("/intents/status").await.json()["paused"], paused);
    assert_eq!(port.last_audited().await["action"], "backfill_pause");
    assert_eq!(port.get("/keys").await.json()["keys"], json!([]));

    let answer = port.post("/intents/resume", "").await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "paused": null })));
    assert_eq!(port.get("/intents/status").await.json()["paused"], Value::Null);
    assert_eq!(port.last_audited().await["action"], "backfill_resume");
    assert_eq!(port.post("/intents/pause", "").await.status, 200);
    let long = json!({ "reason": "x".repeat(2000) }).to_string();
    assert_eq!(port.post("/intents/pause", &long).await.problem().1, "bad_request");
}

#[tokio::test]
async fn a_store_that_is_gone_is_told() {
    let port = port_without_store().await;
    let id = "00000000-0000-0000-0000-000000000007";
    for path in ["/intents".to_owned(), "/intents/status".to_owned(), format!("/intents/{id}")] {
        let (status, code, _) = port.get(&path).await.problem();
        assert_eq!((status, code.as_str()), (503, "store_unavailable"), "{path}");
    }
    for path in ["/intents/pause".to_owned(), "/intents/resume".to_owned(), format!("/intents/{id}/drop")] {
        let (status, code, detail) = port.post(&path, "").await.problem();
        assert_eq!((status, code.as_str()), (503, "store_unavailable"), "{path}");
        assert!(detail.contains("may or may not have been done"), "{detail}");
        assert_eq!(port.last_audited().await["result"], "store_unavailable", "{path}");
    }
}
