use serde_json::json;

use super::WebhookInput;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn faults(all: serde_json::Value) -> Vec<String> {
    let all: Vec<WebhookInput> = serde_json::from_value(all).unwrap();
    WebhookInput::faults(&all).into_iter().map(|(path, message)| format!("{path}: {message}")).collect()
}

#[test]
fn the_least_that_can_be_written_is_taken_with_the_documented_defaults() {
    let least =
        json!({ "name": "pager", "url": "https://ops.example.com/hook", "secret_file": "secrets/pager" });
    let input: WebhookInput = serde_json::from_value(least).unwrap();
    assert_eq!(WebhookInput::faults(std::slice::from_ref(&input)), []);
    let shown = serde_json::to_value(&input).unwrap();
    assert_eq!(shown["events"], json!(["announce", "start", "drained", "end"]));
    assert_eq!((&shown["timeout"], &shown["tries"]), (&json!("10s"), &json!(12)));
    assert_eq!((&shown["base"], &shown["cap"]), (&json!("1s"), &json!("5m")));
}

#[test]
fn what_cannot_work_is_told_at_its_place_and_without_the_secret() {
    let good = json!({ "name": "a", "url": "http://127.0.0.1:1/x", "secret": SECRET });
    let wrong = |key: &str, value: serde_json::Value| {
        let mut one = good.clone();
        one[key] = value;
        faults(json!([one]))
    };
    for (key, value, words) in [
        ("name", json!("a b"), "[0].name: `a b` is not a name"),
        ("url", json!("ops.example.com"), "[0].url: `ops.example.com` is not an address to post to"),
        ("url", json!("ftp://a/b"), "[0].url: `ftp://a/[redacted]` is not an address"),
        ("url", json!("https://me:hunter2@a/b"), "[0].url: carries a user and a password"),
        ("url", json!("ftp://bot:hunter2@a/b"), "[0].url: `ftp://a/[redacted]` is not an address"),
        ("url", json!("https://bot:p@hunter2@a/b"), "[0].url: carries a user and a password"),
        ("events", json!([]), "[0].events: names nothing"),
        ("secret", json!("hunter2"), "[0].secret: is no secret: it must begin with `whsec_`"),
        ("secret_file", json!("x"), "[0].secret: stands beside `secret_file`"),
        ("headers", json!({ "webhook-id": "1" }), "[0].headers.webhook-id: is set by the gateway itself"),
        ("headers", json!({ "a b": "1" }), "[0].headers.a b: `a b` is not a header name"),
        ("timeout", json!("0s"), "[0].timeout: `0s` is not between"),
        ("tries", json!(0), "[0].tries: `0` is not between 1 and 100"),
    ] {
        let found = wrong(key, value);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(words) && !found[0].contains("hunter2"), "{found:?}");
    }
    assert!(faults(json!([good, good]))[0].starts_with("[1].name: `a` is already the name of webhooks[0]"));
    let unsigned = faults(json!([{ "name": "a", "url": "http://a/" }]));
    assert!(
        unsigned[0].starts_with("[0].secret_file: is missing: messages are always signed"),
        "{unsigned:?}"
    );
}

#[test]
fn nothing_secret_is_shown() {
    let written = json!({
        "name": "a", "url": "https://a/hook?key=k3y", "secret": SECRET, "headers": { "authorization": "Bearer t0ken" },
    });
    let mut input: WebhookInput = serde_json::from_value(written).unwrap();
    input.redact();
    let shown = serde_json::to_string(&input).unwrap();
    assert!(!["k3y", "t0ken", "MfKQ"].iter().any(|secret| shown.contains(secret)), "{shown}");
    for (written, expected) in [
        ("https://hooks.example.com/services/T0/B1/k3y", "https://hooks.example.com/[redacted]"),
        ("https://a:8443?key=k3y", "https://a:8443/[redacted]"),
        ("https://a/?k3y", "https://a/[redacted]"),
        ("https://a/#k3y", "https://a/[redacted]"),
        ("http://[::1]:80/", "http://[::1]:80/"),
        ("https://a", "https://a"),
        ("hooks.example.com/services/k3y", "hooks.example.com/[redacted]"),
        ("ftp://bot:pw@host/x", "ftp://host/[redacted]"),
        ("https://bot:p@ss@host:8443", "https://host:8443"),
        ("https://bot:pw@[::1]:80/", "https://[::1]:80/"),
        ("https://host/@k3y", "https://host/[redacted]"),
        ("bot:pw@host/?next=https://a", "host/[redacted]"),
    ] {
        assert_eq!(super::shown(written), expected);
    }
}
