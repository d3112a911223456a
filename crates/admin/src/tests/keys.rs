use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::json;
use sluicegate_core::Clock;
use sluicegate_store::{
    EntryId, Expect, Put, RecordKey, Store, Swapped, Tag,
    fence::{Fence, FenceState, StoredAnswer, StoredBody},
    fingerprint::{Fingerprint, FingerprintRules},
    memory::Memory,
};

use super::{Port, port, port_over, port_without_store};

fn sealed(status: u16) -> FenceState {
    FenceState::Sealed(StoredAnswer {
        status,
        headers: Vec::new(),
        body: StoredBody::Whole(Bytes::from_static(b"done")),
        trailers: Vec::new(),
    })
}

/// Writes a key into the store; returns its id.
async fn put(port: &Port, n: u8, key: &str, tenant: Option<&str>, state: FenceState) -> String {
    let uri = "/v1/documents".parse().unwrap();
    let rules = FingerprintRules::default();
    let held = state == FenceState::Running;
    let fence = Fence {
        key: key.into(),
        route: if tenant.is_some() { "ingest" } else { "rest" }.into(),
        method: "POST".into(),
        tenant: tenant.map(Into::into),
        request_id: format!("req-{n}").into(),
        print: Fingerprint::of(&Method::POST, &uri, &HeaderMap::new(), Some(&Bytes::new()), &rules),
        created_ms: 1_893_808_800_000,
        changed_ms: 1_893_808_801_000,
        state,
    };
    let put = Put {
        tag: Tag(n.into()),
        value: fence.encode().unwrap(),
        owner: tenant.unwrap_or_default().into(),
        ttl: Duration::from_secs(3600),
        held,
    };
    let swapped = port.store.swap(RecordKey([n; 32]), Expect::Absent, Some(put)).await.unwrap();
    assert_eq!(swapped, Swapped::Done);
    format!("{n:02x}").repeat(32)
}

/// The keys' texts that a query finds.
async fn found(port: &Port, query: &str) -> Vec<String> {
    let page = port.get(&format!("/keys{query}")).await.json();
    page["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn keys_are_found_by_where_they_stand_and_whose_they_are() {
    let port = port().await;
    let running = put(&port, 1, "order-1", Some("acme"), FenceState::Running).await;
    put(&port, 2, "order-2", Some("acme"), FenceState::Unknown("the upstream reset".into())).await;
    put(&port, 3, "order-3", Some("bolt"), sealed(201)).await;
    put(&port, 4, "hook-4", None, FenceState::Deferred(EntryId(7))).await;
    let one = port.get(&format!("/keys/{running}")).await.json();
    assert_eq!(one["created_at"], "2030-01-05T02:00:00Z");
    for (member, value) in [
        ("id", running.as_str()),
        ("key", "order-1"),
        ("route", "ingest"),
        ("method", "POST"),
        ("tenant", "acme"),
        ("state", "running"),
        ("request_id", "req-1"),
    ] {
        assert_eq!(one[member], value, "{one}");
    }
    for (query, keys) in [
        ("", &["order-1", "order-2", "order-3", "hook-4"][..]),
        ("?state=running", &["order-1"]),
        ("?state=unknown", &["order-2"]),
        ("?state=sealed", &["order-3"]),
        ("?state=deferred", &["hook-4"]),
        ("?tenant=acme", &["order-1", "order-2"]),
        ("?route=rest", &["hook-4"]),
        ("?prefix=order-&tenant=bolt", &["order-3"]),
        ("?tenant=nobody", &[]),
    ] {
        assert_eq!(found(&port, query).await, keys, "{query}");
    }
    let listed = port.get("/keys").await.json();
    assert_eq!(listed["keys"][1]["why"], "the upstream reset");
    assert_eq!((&listed["keys"][2]["status"], &listed["keys"][2]["body_bytes"]), (&json!(201), &json!(4)));
    assert_eq!(listed["keys"][3]["intent"], "00000000-0000-0000-0000-000000000007");
}

#[tokio::test]
async fn pages_lead_to_the_end() {
    let port = port().await;
    for n in 1..=5 {
        put(&port, n, &format!("order-{n}"), None, sealed(200)).await;
    }
    let (mut keys, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = port.get(&format!("/keys?limit=2{after}")).await.json();
        keys.extend(
            page["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(keys, ["order-1", "order-2", "order-3", "order-4", "order-5"]);
    assert!(pages >= 3, "{pages}");
}

#[tokio::test]
async fn what_cannot_be_looked_for_is_told() {
    let port = port().await;
    for (query, why) in [
        ("state=runing", "unknown variant `runing`"),
        ("tenent=acme", "unknown field `tenent`"),
        ("limit=0", "nonzero"),
        ("limit=many", "invalid digit"),
        ("after=order-1", "`order-1` is not the id of a key"),
    ] {
        let (status, code, detail) = port.get(&format!("/keys?{query}")).await.problem();
        assert_eq!((status, code.as_str()), (400, "bad_request"), "{query}");
        assert!(detail.contains(why), "{query}: {detail}");
    }
    let (status, code, _) = port.get("/keys/order-1").await.problem();
    assert_eq!((status, code.as_str()), (400, "bad_request"));
    let (status, code, detail) = port.get(&format!("/keys/{}", "0".repeat(64))).await.problem();
    assert_eq!((status, code.as_str()), (404, "key_unknown"));
    assert!(detail.ends_with("it may have expired"), "{detail}");
}

#[tokio::test]
async fn a_key_whose_outcome_is_unknown_is_settled_by_what_was_found() {
    let port = port().await;
    let unknown = || FenceState::Unknown("the upstream reset".into());
    let applied = put(&port, 1, "order-1", Some("acme"), unknown()).await;
    let free = put(&port, 2, "order-2", None, unknown()).await;

    let actor = [("x-sluicegate-actor", "night shift")];
    let path = format!("/keys/{applied}/resolve");
    let answer = port.ask("POST", &path, &actor, r#"{"applied": true, "status": 201}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let told = answer.json();
    assert_eq!(
        (&told["applied"], &told["status"], &told["id"]),
        (&json!(true), &json!(201), &json!(applied))
    );
    assert_eq!((&told["was"]["state"], &told["was"]["key"]), (&json!("unknown"), &json!("order-1")));
    let now = port.get(&format!("/keys/{applied}")).await.json();
    assert_eq!((&now["state"], &now["status"], now.get("body_bytes")), (&json!("sealed"), &json!(201), None));
    let line = port.last_audited().await;
    assert_eq!((&line["action"], &line["target"]), (&json!("key_resolve"), &json!(applied)));
    assert_eq!((&line["result"], &line["actor"]["claimed"]), (&json!("ok"), &json!("night shift")));
    assert_eq!((&line["detail"]["status"], &line["detail"]["was"]["route"]), (&json!(201), &json!("ingest")));

    let answer = port.post(&format!("/keys/{free}/resolve"), r#"{"applied": false}"#).await;
    assert_eq!((answer.status, &answer.json()["applied"]), (200, &json!(false)), "{}", answer.body);
    assert_eq!(port.get(&format!("/keys/{free}")).await.status, 404);
}

#[tokio::test]
async fn an_attempt_whose_gateway_is_gone_can_be_settled_and_one_that_runs_cannot() {
    let memory = Memory::new(Clock::system());
    let port = port_over(Store::new(memory.clone())).await;
    let id = put(&port, 1, "order-1", None, FenceState::Running).await;
    let path = format!("/keys/{id}/resolve");
    let (status, code, detail) = port.post(&path, r#"{"applied": false}"#).await.problem();
    assert_eq!((status, code.as_str()), (409, "key_running"));
    assert!(detail.contains("wait for its end"), "{detail}");
    let line = port.last_audited().await;
    assert_eq!(
        (&line["result"], &line["detail"]["asked"]["applied"]),
        (&json!("key_running"), &json!(false))
    );

    memory.lose_holders();
    assert_eq!(port.get(&format!("/keys/{id}")).await.json()["state"], "unknown");
    assert_eq!(port.post(&path, r#"{"applied": false}"#).await.status, 200);
    assert_eq!(port.get(&format!("/keys/{id}")).await.status, 404);
}

#[tokio::test]
async fn what_is_known_is_not_settled_again() {
    let port = port().await;
    let sealed = put(&port, 1, "order-1", None, sealed(201)).await;
    let deferred = put(&port, 2, "order-2", None, FenceState::Deferred(EntryId(7))).await;
    let unknown = put(&port, 3, "order-3", None, FenceState::Unknown("the upstream reset".into())).await;
    let body = r#"{"applied": false}"#;
    let (status, code, _) = port.post(&format!("/keys/{sealed}/resolve"), body).await.problem();
    assert_eq!((status, code.as_str()), (409, "key_settled"));
    let answer = port.post(&format!("/keys/{deferred}/resolve"), body).await;
    let (status, code, detail) = answer.problem();
    assert_eq!((status, code.as_str()), (409, "key_deferred"));
    assert!(detail.contains("settle the intent instead"), "{detail}");
    assert_eq!(answer.json()["intent"], "00000000-0000-0000-0000-000000000007");
    let none = port.post(&format!("/keys/{}/resolve", "0".repeat(64)), body).await.problem();
    assert_eq!((none.0, none.1.as_str()), (404, "key_unknown"));

    for body in ["", "{}", r#"{"applied": true, "status": 500}"#, r#"{"done": true}"#] {
        let (status, code, _) = port.post(&format!("/keys/{unknown}/resolve"), body).await.problem();
        assert_eq!((status, code.as_str()), (400, "bad_request"), "{body}");
    }
    let large = " ".repeat(5000);
    assert_eq!(port.post(&format!("/keys/{unknown}/resolve"), &large).await.problem().0, 413);
    assert_eq!(found(&port, "?state=unknown").await, ["order-3"]);
}

#[tokio::test]
async fn a_store_that_is_gone_is_told() {
    let port = port_without_store().await;
    let id = "0".repeat(64);
    for path in ["/keys".to_owned(), format!("/keys/{id}")] {
        let answer = port.get(&path).await;
        let (status, code, detail) = answer.problem();
        assert_eq!((status, code.as_str()), (503, "store_unavailable"), "{path}");
        assert!(detail.contains("`GET /status`"), "{detail}");
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
    let (status, code, detail) =
        port.post(&format!("/keys/{id}/resolve"), r#"{"applied": false}"#).await.problem();
    assert_eq!((status, code.as_str()), (503, "store_unavailable"));
    assert!(detail.contains("may or may not have been done"), "{detail}");
    assert_eq!(port.last_audited().await["result"], "store_unavailable");
}
