use http::Request;
use serde_json::json;
use sluicegate_tests::{
    Answer, Client, Folder, Gateway, Upstream, client::full, comes_true, tls::Authority, upstream::response,
};

use super::{document, issuer::Issuer, main_at};

const ALL: &str = r#"  - { name: all, match: { path: "/{*rest}" }, upstream: main }"#;

fn yaml(upstream: &Upstream, keys: &Upstream, more: &str) -> String {
    let extra = format!(
        "tenants: {{ from: {{ claim: sub }} }}\njwt: {{ jwks_url: \"{}/jwks.json\", issuer: i, refresh: 10s{more} }}",
        keys.url()
    );
    document(&main_at(&upstream.url()), ALL, &extra)
}

async fn ask(gateway: &Gateway, token: &str) -> Answer {
    let request = Request::get("/").header("authorization", token).body(full("")).unwrap();
    Client::h1(gateway.address()).await.ask(request).await
}

/// What `/readyz` says of tokens, nothing where all is well.
async fn degraded(gateway: &Gateway) -> String {
    let answer = gateway.admin(http::Method::GET, "/readyz", "").await;
    assert_eq!(answer.status, 200, "keys that cannot be fetched take no gateway out of rotation");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    if text.contains("jwt") { text } else { String::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_and_the_last_good_ones_outlive_their_loss_and_a_reload() {
    let (upstream, provider, issuer) = (Upstream::start().await, Upstream::start().await, Issuer::new("one"));
    provider.answer("/jwks.json", response("500 Broken", "", ""));
    let document = yaml(&upstream, &provider, "");
    let gateway = Gateway::start(&document);
    let token = issuer.bearer(&json!({ "sub": "u7", "iss": "i" }));
    let none = ask(&gateway, &token).await;
    assert_eq!((none.status, none.code().as_str()), (503, "keys_unavailable"));
    assert!(!none.header("retry-after").is_empty());
    comes_true("the trouble is told", async || degraded(&gateway).await.contains("there are none")).await;
    let nobody = Client::h1(gateway.address()).await.ask(Request::get("/").body(full("")).unwrap()).await;
    assert_eq!(nobody.status, 200, "who brings no token needs no keys");

    provider.answer("/jwks.json", response("200 OK", "Content-Type: application/json\r\n", &issuer.set()));
    comes_true("the keys are there", async || ask(&gateway, &token).await.status == 200).await;
    comes_true("all is well", async || degraded(&gateway).await.is_empty()).await;
    assert_eq!(gateway.count("sluicegate_jwks_keys", "").await, 1);

    provider.answer("/jwks.json", response("200 OK", "", "<html>"));
    let fetches = provider.count("/jwks.json");
    let changed = document.replace("refresh: 10s", "refresh: 10s, leeway: 5s");
    assert_eq!(gateway.put_config("", &changed).await.status, 200);
    assert_eq!(ask(&gateway, &token).await.status, 200, "a reload goes on with the keys");
    // A token by an unknown key has them fetched sooner; what comes is no set of keys.
    let unknown = Issuer::new("two");
    let refused = ask(&gateway, &unknown.bearer(&json!({ "sub": "u", "iss": "i" }))).await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "token_invalid"));
    comes_true("the loss is told", async || degraded(&gateway).await.contains("last good ones stay")).await;
    assert!(provider.count("/jwks.json") > fetches);
    assert_eq!(ask(&gateway, &token).await.status, 200, "the last good ones stay");
    assert!(gateway.count("sluicegate_jwks_fetches_total", "result=\"failed\"").await >= 2);

    provider.answer("/jwks.json", response("200 OK", "", &unknown.set()));
    let new = unknown.bearer(&json!({ "sub": "u", "iss": "i" }));
    comes_true("the new key is there", async || ask(&gateway, &new).await.status == 200).await;
    assert_eq!(ask(&gateway, &token).await.status, 401, "and the old one is not, remembered or not");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_over_tls_from_whom_the_configuration_trusts() {
    let (authority, issuer) = (Authority::default(), Issuer::new("one"));
    let upstream = Upstream::start().await;
    let provider = Upstream::start_tls(authority.identity().server(&["http/1.1"])).await;
    provider.answer("/jwks.json", response("200 OK", "", &issuer.set()));
    let token = issuer.bearer(&json!({ "sub": "u7", "iss": "i" }));
    let trusting = Folder::default();
    trusting.write("ca.pem", authority.pem());
    let gateway = trusting.start(&yaml(&upstream, &provider, ", ca: ca.pem"));
    comes_true("the keys are there", async || ask(&gateway, &token).await.status == 200).await;
    let other = Folder::default();
    other.write("ca.pem", Authority::default().pem());
    let gateway = other.start(&yaml(&upstream, &provider, ", ca: ca.pem"));
    comes_true("the trouble is told", async || !degraded(&gateway).await.is_empty()).await;
    assert_eq!(ask(&gateway, &token).await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_keys_is_read_again_when_it_changes() {
    let (upstream, one, two) = (Upstream::start().await, Issuer::new("one"), Issuer::new("two"));
    let folder = Folder::default();
    folder.write("jwks.json", one.set());
    let extra = "tenants: { from: { claim: sub } }\njwt: { jwks_file: jwks.json, issuer: i }";
    let gateway = folder.start(&document(&main_at(&upstream.url()), ALL, extra));
    let of = |issuer: &Issuer| issuer.bearer(&json!({ "sub": "u", "iss": "i" }));
    let (first, second) = (of(&one), of(&two));
    assert_eq!((ask(&gateway, &first).await.status, ask(&gateway, &second).await.status), (200, 401));
    gateway.folder().replace("jwks.json", two.set());
    comes_true("the new key is there", async || ask(&gateway, &second).await.status == 200).await;
    assert_eq!(ask(&gateway, &first).await.status, 401);
    // What is no set of keys changes nothing.
    gateway.folder().replace("jwks.json", "{");
    comes_true("it is told", async || gateway.log().join("\n").contains("jwt.jwks_file")).await;
    assert_eq!(ask(&gateway, &second).await.status, 200);
}
