//! Pages of other origins and the gateway's own answers.

use http::Request;
use serde_json::json;
use sluicegate_tests::{Answer, Client, Gateway, Upstream, client::full, config};

const PAGE: &str = "https://app.example.com";

async fn ask(gateway: &Gateway, method: &str, path: &str, origin: &str, preflight: bool) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("origin", origin);
    if preflight {
        request = request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "x-a");
    }
    Client::h1(gateway.address()).await.ask(request.body(full("")).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_named_may_read_refusals_and_the_banner_and_no_other_page() {
    let upstream = Upstream::start().await;
    let cors = format!("cors: {{ origins: [\"{PAGE}\"], credentials: true }}");
    let gateway = Gateway::start(&config(&upstream.url(), &cors));
    gateway.freeze("x", &json!({ "for": "10m" })).await;
    for (method, path, status) in [
        ("POST", "/w", 503),
        ("GET", "/.sluicegate/freeze.json", 200),
        ("GET", "/a/../b", 400),
        ("GET", "/.sluicegate/nothing", 404),
    ] {
        let answer = ask(&gateway, method, path, PAGE, false).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (status, PAGE), "{path}");
        assert_eq!(
            (answer.header("access-control-allow-credentials"), answer.header("vary")),
            ("true", "origin")
        );
        let exposed = answer.header("access-control-expose-headers");
        assert!(exposed.contains("retry-after") && exposed.contains("sluicegate-freeze"), "{exposed}");
        for stranger in ["https://evil.example.com", "null"] {
            let answer = ask(&gateway, method, path, stranger, false).await;
            assert_eq!((answer.status, answer.header("access-control-allow-origin")), (status, ""), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_says_to_pages_is_left_as_it_is() {
    let upstream = Upstream::start().await;
    upstream.answer("/own", "HTTP/1.1 204 No Content\r\naccess-control-allow-origin: https://theirs\r\n\r\n");
    let gateway = Gateway::start(&config(&upstream.url(), "cors: { origins: [\"*\"] }"));
    let preflight = ask(&gateway, "OPTIONS", "/own", PAGE, true).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, "https://theirs"));
    let seen = &upstream.seen_at("/own")[0];
    assert_eq!((seen.method.as_str(), seen.get("origin")), ("OPTIONS", Some(PAGE)));
    assert_eq!(seen.get("access-control-request-method"), Some("POST"));
    let plain = ask(&gateway, "GET", "/plain", PAGE, false).await;
    assert_eq!((plain.status, plain.header("access-control-allow-origin")), (200, ""));
    let own = ask(&gateway, "OPTIONS", "/.sluicegate/freeze.json", PAGE, true).await;
    assert_eq!((own.status, own.header("access-control-allow-methods")), (204, "GET, HEAD"));
    assert_eq!(
        (own.header("access-control-allow-origin"), own.header("access-control-allow-headers")),
        ("*", "x-a")
    );
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_nothing_is_said() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), "freeze: { read_only: true }"));
    let refused = ask(&gateway, "POST", "/w", PAGE, false).await;
    assert_eq!(
        (refused.status, refused.header("access-control-allow-origin"), refused.header("vary")),
        (423, "", "")
    );
}
