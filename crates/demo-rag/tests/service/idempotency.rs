//! `Idempotency-Key`, honoured by switch.

use crate::client::{Answer, Client, instance_with, request};

async fn send(client: &mut Client, path: &str, key: &str, body: &str) -> Answer {
    let method = if path == "/v1/documents" { "POST" } else { "PUT" };
    let mut request = request(method, path, body);
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    client.try_send(request).await.unwrap()
}

const TEXT: &str = r#"{"text":"Wombats dig."}"#;

#[tokio::test]
async fn the_same_request_gets_the_first_answer_and_has_one_effect() {
    let instance = instance_with(|s| s.honour_keys = true).await;
    let mut client = Client::connect(instance.address()).await;
    let first = send(&mut client, "/v1/documents", "k-1", TEXT).await;
    // The answer again is the first one, pins included, although the index has moved on.
    let moved = client.send("DELETE", "/v1/documents/bm25-basics", "").await;
    assert_ne!(moved.header("x-wfgy"), first.header("x-wfgy"));
    let again = send(&mut client, "/v1/documents", "k-1", TEXT).await;
    assert_eq!((first.status.as_u16(), first.header("idempotency-replayed")), (201, ""));
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (201, "true"));
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("x-wfgy"), first.header("x-wfgy"));
    let look = instance.audit().writes(0, 10);
    assert_eq!((look.count, look.applied), (3, 2));
    assert_eq!(look.writes.iter().map(|w| w.applied).collect::<Vec<_>>(), [true, true, false]);

    for (path, body) in [("/v1/documents", r#"{"text":"Other."}"#), ("/v1/documents/a", TEXT)] {
        let other = send(&mut client, path, "k-1", body).await;
        assert_eq!((other.status.as_u16(), other.problem().as_str()), (422, "key_conflict"));
    }
    let invalid = send(&mut client, "/v1/documents", &"k".repeat(300), TEXT).await;
    assert_eq!(invalid.problem(), "bad_request");
    assert_eq!(instance.audit().counts().applied, 2);
    instance.stop().await;
}

#[tokio::test]
async fn without_the_switch_a_key_means_nothing() {
    let instance = instance_with(|_| {}).await;
    let mut client = Client::connect(instance.address()).await;
    let first = send(&mut client, "/v1/documents", "k-1", TEXT).await;
    let again = send(&mut client, "/v1/documents", "k-1", TEXT).await;
    assert_ne!(first.json()["id"], again.json()["id"]);
    assert_eq!(instance.audit().counts().applied, 2);
    instance.stop().await;
}

#[tokio::test]
async fn a_second_one_is_told_that_the_first_still_runs() {
    let instance = instance_with(|s| {
        s.honour_keys = true;
        s.hang = true;
    })
    .await;
    let address = instance.address();
    let first = tokio::spawn(async move {
        let mut client = Client::connect(address).await;
        send(&mut client, "/v1/documents/a", "k-1", TEXT).await
    });
    let mut client = Client::connect(address).await;
    while instance.audit().counts().running == 0 {
        tokio::task::yield_now().await;
    }
    // The record starts before the body is read; a round trip later the key is claimed.
    client.get("/healthz").await;
    let mut request = request("PUT", "/v1/documents/a", TEXT);
    request.headers_mut().insert("idempotency-key", "k-1".parse().unwrap());
    let second = client.try_send(request).await.unwrap();
    assert_eq!((second.status.as_u16(), second.problem().as_str()), (409, "key_in_use"));
    instance.switches().update(|s| s.hang = false).unwrap();
    assert_eq!(first.await.unwrap().status, 201);
    let third = send(&mut client, "/v1/documents/a", "k-1", TEXT).await;
    assert_eq!((third.status.as_u16(), third.header("idempotency-replayed")), (201, "true"));
    instance.stop().await;
}

#[tokio::test]
async fn a_failure_before_the_effect_leaves_the_key_free() {
    let instance = instance_with(|s| {
        s.honour_keys = true;
        s.fail_rate = 1.0;
    })
    .await;
    let mut client = Client::connect(instance.address()).await;
    assert_eq!(send(&mut client, "/v1/documents/a", "k-1", TEXT).await.status, 500);
    assert_eq!(send(&mut client, "/v1/documents/a", "k-2", "not json").await.status, 500);
    instance.switches().update(|s| s.fail_rate = 0.0).unwrap();
    assert_eq!(send(&mut client, "/v1/documents/a", "k-1", TEXT).await.status, 201);
    assert_eq!(send(&mut client, "/v1/documents/a", "k-2", "not json").await.status, 400);
    assert_eq!(send(&mut client, "/v1/documents/a", "k-2", TEXT).await.status, 200);
    instance.stop().await;
}
