use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use sluicegate_core::{Code, Refusal};
use sluicegate_store::{EntryState, INTENTS_PATH};

use crate::{
    IntentsSettings, RouteRules, Settlement,
    testing::{Fate, Rig, Switch, Upstream, advance, quick, until, write},
};

async fn shown(rig: &Rig, path: &str, tenant: Option<&str>) -> Result<Value, Refusal> {
    let response = rig.intents.resource(&Method::GET, path, tenant).await?;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    Ok(serde_json::from_slice(response.body()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_intent_can_be_watched_to_its_end_and_its_answer_be_had() {
    let rig = Rig::new(quick(), RouteRules::default());
    rig.keep("k1", "7").await;
    let path = format!("{INTENTS_PATH}{}", rig.id("k1").await);
    let mut expected = json!({
        "id": rig.id("k1").await, "state": "queued", "route": "ingest", "key": "k1", "order_key": "7",
        "created_at": "2030-01-05T02:00:00Z", "attempts": 0, "response": null,
    });
    assert_eq!(shown(&rig, &path, None).await.unwrap(), expected);
    let refusal = rig.intents.resource(&Method::GET, &format!("{path}/response"), None).await.unwrap_err();
    assert!(refusal.to_string().contains("is queued and has no answer"), "{refusal}");
    let upstream = Upstream::new();
    upstream.fate("k1", &[Fate::Undone(429), Fate::Status(201)]);
    let _backfill = rig.run(&Switch::open(), &upstream);
    until("it is applied", async || rig.state("k1").await == Some(EntryState::Applied)).await;
    expected["state"] = "applied".into();
    expected["attempts"] = 2.into();
    expected["response"] = json!({ "status": 201, "location": format!("{path}/response") });
    assert_eq!(shown(&rig, &path, None).await.unwrap(), expected);
    let answer = rig.intents.resource(&Method::GET, &format!("{path}/response"), None).await.unwrap();
    assert_eq!((answer.status(), answer.body().as_ref()), (StatusCode::CREATED, &b"answer to k1"[..]));
    assert_eq!(
        (&answer.headers()["etag"], &answer.headers()["cache-control"]),
        (&"\"1\"".parse().unwrap(), &"no-store".parse().unwrap())
    );
}

#[tokio::test(start_paused = true)]
async fn only_its_tenant_sees_an_intent() {
    let rig = Rig::new(quick(), RouteRules::default());
    let facts = rig.facts("ingest", Some("acme"));
    facts.defer();
    rig.ask(write(&facts, "k1", "7")).await.unwrap();
    rig.keep("k2", "7").await;
    let (acmes, nobodys) = (rig.id("k1").await, rig.id("k2").await);
    for (id, tenant, seen) in [
        (&acmes, Some("acme"), true),
        (&acmes, Some("other"), false),
        (&acmes, None, false),
        (&nobodys, None, true),
        (&nobodys, Some("acme"), false),
    ] {
        for path in [format!("{INTENTS_PATH}{id}"), format!("{INTENTS_PATH}{id}/response")] {
            let refusal = shown(&rig, &path, tenant).await.err();
            let hidden = refusal.as_ref().is_some_and(|refusal| refusal.to_string().contains("nothing at"));
            assert_eq!(hidden, !seen, "{path} {tenant:?}: {refusal:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn other_paths_and_methods_are_refused() {
    let rig = Rig::new(quick(), RouteRules::default());
    rig.keep("k1", "7").await;
    let id = rig.id("k1").await;
    for path in [
        "",
        "x",
        "01890000-0000-7000-8000-000000000000",
        &format!("{id}/x"),
        &format!("{id}/response/x"),
        &format!("{id}/"),
    ] {
        let refusal = shown(&rig, &format!("{INTENTS_PATH}{path}"), None).await.unwrap_err();
        assert_eq!(refusal.code(), Code::NoRoute, "{path}");
    }
    assert_eq!(shown(&rig, "/elsewhere", None).await.unwrap_err().code(), Code::NoRoute);
    let path = format!("{INTENTS_PATH}{id}");
    let refusal = rig.intents.resource(&Method::DELETE, &path, None).await.unwrap_err();
    let answer = refusal.into_response(&rig.facts("ingest", None));
    assert_eq!(
        (answer.status(), &answer.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"GET, HEAD".parse().unwrap())
    );
    assert!(rig.intents.resource(&Method::HEAD, &path, None).await.is_ok());
    rig.store.fail(1);
    assert_eq!(shown(&rig, &path, None).await.unwrap_err().code(), Code::StoreUnavailable);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_its_body_says_so_and_what_is_over_is_kept_for_a_while() {
    let rig = Rig::new(IntentsSettings { keep: Duration::from_secs(60), ..quick() }, RouteRules::default());
    rig.keep("k1", "7").await;
    let upstream = Upstream::new();
    upstream.fate("k1", &[Fate::LostUndone]);
    let _backfill = rig.run(&Switch::open(), &upstream);
    until("it is in doubt", async || rig.state("k1").await == Some(EntryState::InDoubt)).await;
    let id = rig.id("k1").await;
    rig.intents.settle(&id, Settlement::Applied(StatusCode::CREATED)).await.unwrap();
    let path = format!("{INTENTS_PATH}{id}");
    let answer = rig.intents.resource(&Method::GET, &format!("{path}/response"), None).await.unwrap();
    assert_eq!((answer.status(), answer.body().len()), (StatusCode::CREATED, 0));
    assert!(answer.headers()["sluicegate-body-not-kept"].to_str().unwrap().contains("an operator settled"));
    advance(55_000).await;
    assert!(shown(&rig, &path, None).await.is_ok());
    advance(10_000).await;
    assert_eq!(shown(&rig, &path, None).await.unwrap_err().code(), Code::NoRoute);
}
