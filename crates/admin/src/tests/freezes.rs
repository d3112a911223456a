use std::{
    io,
    time::{Duration, Instant},
};

use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sluicegate_core::Refusal;
use sluicegate_freeze::FreezeLayer;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::oneshot,
};
use tower::{Layer, Service, ServiceExt};

use super::{Port, admin, port, port_with};
use crate::freeze::follow::{DRAINS, FOLLOWERS};

/// A write that is let through and runs until the sender is used.
async fn running_write(port: &Port) -> oneshot::Sender<()> {
    let (end, ended) = oneshot::channel::<()>();
    let (entered, inside) = oneshot::channel::<()>();
    let mut parts = Some((ended, entered));
    let inner = tower::service_fn(move |_: Request<String>| {
        let parts = parts.take();
        async move {
            if let Some((ended, entered)) = parts {
                entered.send(()).unwrap();
                drop(ended.await);
            }
            Ok::<_, Refusal>(http::Response::new(String::new()))
        }
    });
    let mut service = FreezeLayer::new(port.freezes.clone()).over_service().layer(inner);
    tokio::spawn(async move {
        let request = Request::post("/v1/documents").body(String::new()).unwrap();
        let response = service.ready().await.unwrap().call(request).await;
        drop(response.map(|response| response.into_body().collect()));
    });
    inside.await.unwrap();
    end
}

/// Waits until there is a place for one who asks for this.
async fn until_let_in(port: &Port, path: &str) {
    let asked = async { while port.get(path).await.status == 503 {} };
    tokio::time::timeout(Duration::from_secs(20), asked).await.expect("places are given back");
}

#[tokio::test]
async fn a_freeze_is_put_shown_and_lifted() {
    let port = port().await;
    let quiet = port.get("/freeze").await.json();
    assert_eq!((&quiet["active"], &quiet["freezes"]), (&json!(false), &json!([])));

    let body = r#"{"reason": "reindex", "for": "30m", "scope": {"routes": ["ingest"]}}"#;
    let made = port.ask("PUT", "/freeze/reindex", &[("x-sluicegate-actor", "night shift")], body).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let made = made.json();
    assert_eq!((&made["id"], &made["reason"]), (&json!("reindex"), &json!("reindex")));
    assert_eq!(made["scope"], json!({ "routes": ["ingest"] }));
    assert!(made["by"].as_str().unwrap().starts_with("night shift (127.0.0.1:"), "{made}");

    let shown = port.get("/freeze").await.json();
    assert_eq!(shown["active"], true);
    assert_eq!(shown["version"], made["version"]);
    let freeze = &shown["freezes"][0];
    for member in ["id", "reason", "since", "until", "scope", "writes_in_flight", "unsettled", "drained_at"] {
        assert!(freeze.get(member).is_some(), "{member} in {freeze}");
    }
    assert_eq!(port.get("/status").await.json()["freeze"]["freezes"][0]["id"], "reindex");

    let one = port.get("/freeze/reindex").await.json();
    assert_eq!((&one["reason"], &one["version"]), (&json!("reindex"), &made["version"]));
    let answer = port.get("/freeze/other?wait=1s").await;
    assert_eq!((answer.problem().0, &answer.json()["active"]), (404, &json!(["reindex"])));

    let (status, code, _) = port.ask("DELETE", "/freeze/other", &[], "").await.problem();
    assert_eq!((status, code.as_str()), (404, "freeze_unknown"));
    let lifted = port.ask("DELETE", "/freeze/reindex", &[], "").await;
    assert_eq!((lifted.status, &lifted.json()["id"]), (200, &json!("reindex")));
    assert_eq!(port.get("/freeze").await.json()["active"], false);
    assert_eq!(port.ask("PUT", "/freeze/manual", &[], "").await.status, 200);
    assert!(port.freezes.status().freezes[0].scope.is_none(), "an empty body freezes everything");

    let audit = port.get("/audit?limit=4").await.json();
    let lines: Vec<_> = audit["entries"].as_array().unwrap().iter().collect();
    let told: Vec<_> = lines.iter().map(|line| (&line["action"], &line["target"], &line["result"])).collect();
    let expected = [
        (json!("freeze"), json!("manual"), json!("ok")),
        (json!("thaw"), json!("reindex"), json!("ok")),
        (json!("thaw"), json!("other"), json!("freeze_unknown")),
        (json!("freeze"), json!("reindex"), json!("ok")),
    ];
    assert_eq!(told, expected.iter().map(|(a, b, c)| (a, b, c)).collect::<Vec<_>>());
    assert_eq!(lines[3]["actor"]["claimed"], "night shift");
    assert_eq!(lines[3]["detail"]["reason"], "reindex");
}

#[tokio::test]
async fn an_order_that_would_freeze_something_else_is_refused() {
    let port = port().await;
    for (path, body, status, detail) in [
        ("/freeze/x", r#"{"scop": {}}"#, 400, "scop: is not known here; did you mean `scope`?"),
        (
            "/freeze/x",
            r#"{"scope": {"routes": ["ingset"]}}"#,
            400,
            "no route `ingset`; did you mean `ingest`?",
        ),
        ("/freeze/x", r#"{"scope": {"upstreams": ["q"]}}"#, 400, "no upstream `q`; there are stable"),
        ("/freeze/x", r#"{"for": "1m", "until": "2030-01-05T03:00:00Z"}"#, 400, "give one of the two"),
        ("/freeze/x?wait=soon", "{}", 400, "`wait`, a duration such as 30s"),
        ("/freeze/x?waits=3s", "{}", 400, "`wait`, a duration such as 30s"),
        ("/freeze/a%20b", "{}", 400, "is not an id"),
        ("/freeze/config", "{}", 409, "config"),
        ("/freeze/x", r#"{"until": "2001-01-01T00:00:00Z"}"#, 400, "until"),
    ] {
        let answer = port.ask("PUT", path, &[], body).await;
        let (got, _, text) = answer.problem();
        assert!(got == status && text.contains(detail), "{path} {body}: {got} {text}");
    }
    assert!(!port.freezes.status().active);
    let long = format!("{{\"reason\": \"{}\"}}", "x".repeat(70_000));
    assert_eq!(port.ask("PUT", "/freeze/x", &[], &long).await.problem().0, 413);
}

#[tokio::test]
async fn a_put_that_waits_answers_after_the_last_write() {
    let port = port().await;
    let end = running_write(&port).await;
    let early = port.ask("PUT", "/freeze/manual?wait=50ms", &[], "{}").await.json();
    assert_eq!((&early["drain"]["drained"], &early["drained_at"]), (&json!(false), &Value::Null), "{early}");
    assert_eq!(early["writes_in_flight"], 1);
    let version = port.freezes.version();
    let path = "/freeze/manual?wait=30s";
    let (put, get, ()) = tokio::join!(port.ask("PUT", path, &[], "{}"), port.get(path), async {
        // The order is in place: its answer now hangs on the write alone.
        port.audited(2).await;
        end.send(()).unwrap();
    });
    for late in [put.json(), get.json()] {
        assert_eq!(late["drain"]["drained"], true, "{late}");
        assert_eq!(
            (&late["drain"]["waited_for"], &late["drain"]["unsettled"]),
            (&json!(1), &json!(0)),
            "{late}"
        );
        assert!(late["drained_at"].is_string() && late["version"].as_u64().unwrap() > version, "{late}");
    }
}

#[tokio::test]
async fn a_long_poll_answers_at_the_change() {
    let port = port().await;
    let now = port.freezes.version();
    let began = Instant::now();
    let behind = port.get(&format!("/freeze?wait=30s&since={}", now + 7)).await.json();
    assert_eq!(behind["version"], now);
    let timed_out = port.get(&format!("/freeze?wait=20ms&since={now}")).await.json();
    assert_eq!(timed_out["version"], now);
    let path = format!("/freeze?wait=30s&since={now}");
    let (poll, put) = tokio::join!(port.get(&path), port.ask("PUT", "/freeze/manual", &[], ""));
    assert_eq!(put.status, 200);
    assert!(poll.json()["version"].as_u64().unwrap() > now);
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(port.get("/freeze?since=x").await.problem().0, 400);
}

async fn next_event(lines: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<(u64, Value)> {
    let (mut id, mut data) = (0, Value::Null);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(text) = line.strip_prefix("id: ") {
            id = text.trim().parse().unwrap();
        } else if let Some(text) = line.strip_prefix("data: ") {
            data = serde_json::from_str(text).unwrap();
        } else if line.trim().is_empty() && !data.is_null() {
            return Ok((id, data));
        }
    }
}

#[tokio::test]
async fn each_change_is_an_event() {
    let port = port().await;
    let events = port.send("GET", "/freeze", &[("accept", "text/event-stream")], "").await;
    let mut lines = BufReader::new(events);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        lines.read_line(&mut head).await.unwrap();
    }
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
    let (first, status) = next_event(&mut lines).await.unwrap();
    assert_eq!((status["version"].as_u64(), &status["active"]), (Some(first), &json!(false)));
    port.ask("PUT", "/freeze/manual", &[], "").await;
    let (second, status) = next_event(&mut lines).await.unwrap();
    assert!(second > first && status["active"] == true, "{status}");
    drop(lines);

    // Who comes back with the version it has is not sent the same again.
    let now = port.freezes.version().to_string();
    let headers = [("accept", "text/event-stream"), ("last-event-id", now.as_str())];
    let mut lines = BufReader::new(port.send("GET", "/freeze", &headers, "").await);
    port.ask("DELETE", "/freeze/manual", &[], "").await;
    loop {
        // Draining the freeze may have been a change of its own in between.
        let (id, status) = next_event(&mut lines).await.unwrap();
        assert!(id > second);
        if status["active"] == false {
            break;
        }
    }
}

#[tokio::test]
async fn a_freeze_that_cannot_be_kept_is_on_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let port = port_with(Some(store.join("freeze.json"))).await;
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::write(&store, "no folder").unwrap();
    let answer = port.ask("PUT", "/freeze/manual", &[], "").await;
    let (status, code, _) = answer.problem();
    assert_eq!((status, code.as_str()), (500, "freeze_not_persisted"));
    assert_eq!(answer.json()["in_effect"], true);
    assert_eq!(answer.json()["freeze"]["id"], "manual");
    assert!(port.freezes.status().active);
    assert_eq!(port.get("/audit").await.json()["entries"][0]["result"], "freeze_not_persisted");
    assert!(port.metrics().await.contains("status=\"500\""));
}

#[tokio::test]
async fn those_who_follow_are_bounded_and_leave_room_for_an_operator() {
    let port = port().await;
    let events = [("accept", "text/event-stream")];
    let mut followers = Vec::new();
    for _ in 0..FOLLOWERS {
        let mut lines = BufReader::new(port.send("GET", "/freeze", &events, "").await);
        next_event(&mut lines).await.unwrap();
        followers.push(lines);
    }
    for (path, headers) in [("/freeze", &events[..]), ("/freeze?wait=1ms", &[])] {
        let answer = port.ask("GET", path, headers, "").await;
        let (status, code, _) = answer.problem();
        assert_eq!(
            (status, code.as_str(), answer.header("retry-after")),
            (503, "too_many_followers", Some("5"))
        );
    }
    assert_eq!(port.get("/freeze").await.status, 200);
    assert_eq!(port.ask("PUT", "/freeze/manual", &[], "").await.status, 200);
    drop(followers);
    until_let_in(&port, "/freeze?wait=1ms").await;
}

#[tokio::test]
async fn those_who_wait_for_a_drain_are_bounded_and_a_freeze_is_put_all_the_same() {
    let port = port().await;
    let end = running_write(&port).await;
    assert_eq!(port.ask("PUT", "/freeze/manual", &[], "").await.status, 200);
    let mut waiting = Vec::new();
    for _ in 0..DRAINS {
        waiting.push(port.send("GET", "/freeze/manual?wait=1h", &[], "").await);
    }
    // Their requests may still be on their way. Whoever asks meanwhile takes a place too, and may
    // have had the one of a waiter who was then refused: another comes in their stead.
    let refused = async {
        loop {
            let answer = port.get("/freeze/manual?wait=1ms").await;
            if answer.status != 200 {
                return answer;
            }
            waiting.push(port.send("GET", "/freeze/manual?wait=1h", &[], "").await);
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), refused).await.expect("no place left");
    let (status, code, detail) = answer.problem();
    assert_eq!((status, code.as_str()), (503, "too_many_followers"));
    assert_eq!(
        detail,
        format!("{DRAINS} clients wait for drains already; poll without `wait`, or try again")
    );
    assert_eq!(port.get("/freeze?wait=1ms").await.status, 200, "who follows has other places");
    let put = port.ask("PUT", "/freeze/another?wait=1h", &[], "").await.json();
    assert_eq!((&put["drain"]["drained"], &put["drain"]["in_flight"]), (&json!(false), &json!(1)), "{put}");
    end.send(()).unwrap();
    drop(waiting);
    until_let_in(&port, "/freeze/manual?wait=1ms").await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_is_kept_alive() {
    let (admin, _freezes) = admin();
    let request = Request::get("/freeze?since=1").header("accept", "text/event-stream");
    let response = admin.router().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
    let began = tokio::time::Instant::now();
    let frame = response.into_body().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), ": still here\n\n");
    assert_eq!(began.elapsed(), Duration::from_secs(15));
}
