use std::path::Path;

use prometheus_client::registry::Registry;

use super::UpstreamSettings;
use crate::{
    connect,
    endpoint::Endpoint,
    input::{OnMismatch, Protocol, UpstreamInput},
    metrics::UpstreamMetrics,
};

fn input(rest: &str) -> UpstreamInput {
    serde_json::from_str(&format!("{{ \"endpoints\": [\"http://127.0.0.1:1\"] {rest} }}")).unwrap()
}

/// What is said of it, by both who check it.
fn faults(rest: &str) -> Vec<String> {
    let input = input(rest);
    let faults = input.pin_faults();
    let checked = UpstreamSettings::check("main", &input, &Path::to_owned).err().unwrap_or_default();
    assert_eq!(checked, faults);
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn pins_that_can_be_used_say_nothing() {
    let right = r#", "pins": { "INDEX_HASH": "a1", "metric": "bm25" }"#;
    assert_eq!(faults(""), [""; 0]);
    assert_eq!(faults(right), [""; 0]);
    let whole = format!(r#"{right}, "manifest": {{ "path": "/index/manifest" }}, "on_mismatch": "refuse""#);
    assert_eq!(faults(&whole), [""; 0]);
    let input = input(&whole);
    let manifest = input.manifest.as_ref().unwrap();
    assert_eq!((manifest.interval.to_string(), manifest.timeout.to_string()), ("10s".into(), "1s".into()));
    let settings = UpstreamSettings::check("main", &input, &Path::to_owned).unwrap();
    assert_eq!(settings.pins.iter().collect::<Vec<_>>(), [("INDEX_HASH", "a1"), ("metric", "bm25")]);
    assert!(settings.refuse);
    assert_eq!(serde_json::to_value(OnMismatch::default()).unwrap(), "pass");
}

#[test]
fn what_cannot_be_used_is_named() {
    let value = "a value is visible ASCII without commas, quotes or spaces";
    let name = "a name is 1 to 64 letters, digits, `_`, `-` or `.`";
    assert_eq!(
        faults(r#", "pins": { "A": "x y", "B C": "1", "D": "" }"#),
        [
            format!("pins.A: `A=x y` is not a pin: {value}"),
            format!("pins.B C: `B C=1` is not a pin: {name}"),
            "pins.D: `D=` is not a pin: a value has 1 to 128 characters".to_owned(),
        ]
    );
    let nothing = "manifest: there are no `pins` to compare it with; declare some, or remove it";
    assert_eq!(faults(r#", "manifest": { "path": "/m" }"#), [nothing]);
    assert_eq!(faults(r#", "pins": {}, "manifest": { "path": "/m" }"#), [nothing]);
    assert_eq!(
        faults(r#", "on_mismatch": "refuse""#),
        ["on_mismatch: there are no `pins` that anything could differ from; declare some, or remove it"]
    );
    let path = "is not a path; begin it with `/`, such as /index/manifest";
    for wrong in ["", "manifest", "/a b", "/a#b"] {
        let rest = format!(r#", "pins": {{ "A": "1" }}, "manifest": {{ "path": "{wrong}" }}"#);
        assert_eq!(faults(&rest), [format!("manifest.path: `{wrong}` {path}")]);
    }
    let rest = r#", "pins": { "A": "1" }, "manifest": { "path": "/m", "interval": "9ms", "timeout": "0s" }"#;
    assert_eq!(
        faults(rest),
        [
            "manifest.interval: `9ms` is below 10ms, which would be a flood",
            "manifest.timeout: no manifest can be read in no time; write a duration such as 1s",
        ]
    );
}

#[tokio::test]
async fn connections_for_copies_take_no_more_than_their_buffer_holds() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!("{{ \"endpoints\": [\"http://{}\"] }}", server.local_addr().unwrap());
    let input: UpstreamInput = serde_json::from_str(&text).unwrap();
    let settings = UpstreamSettings::check("main", &input, &Path::to_owned).unwrap();
    let metrics = UpstreamMetrics::register(&mut Registry::default());
    let opened = async |settings: &UpstreamSettings| {
        let endpoint = Endpoint::new(&settings.endpoints[0], Protocol::Auto, metrics.handles("u"));
        let opened = connect::open(&endpoint).await.unwrap();
        opened.io.receive_buffer().unwrap()
    };
    // The system gives twice what is asked for, for its own book-keeping.
    let copies = opened(&settings.clone().for_copies("shadow/main", true)).await;
    assert_eq!(copies, 2 * 32 * 1024);
    assert!(opened(&settings).await > copies);
}
