use std::time::Duration;

use serde_json::json;

use super::{FreezeInput, FreezeSettings, Scope, StatusRule};

fn read(value: serde_json::Value) -> Result<FreezeInput, serde_json::Error> {
    serde_json::from_value(value)
}

fn faults(value: serde_json::Value) -> Vec<(String, String)> {
    read(value).unwrap().check().unwrap_err()
}

#[test]
fn an_empty_section_is_the_documented_defaults() {
    let settings = read(json!({})).unwrap().check().unwrap();
    assert_eq!(settings, FreezeSettings::default());
    assert!(!settings.read_only);
    assert_eq!(settings.status, StatusRule::Auto);
    assert_eq!(settings.stream_grace, Duration::from_secs(5));
    assert_eq!(settings.settle, Duration::ZERO);
    assert_eq!(settings.unsettled_memory, Duration::from_secs(60));
    assert_eq!((settings.retry_default.as_secs(), settings.retry_spread.as_secs()), (60, 30));
}

#[test]
fn the_whole_section_is_read_and_written_back() {
    let whole = json!({
        "read_only": true, "reason": "moving", "status": 423, "stream_grace": "1s", "settle": "2s",
        "unsettled_memory": "3s", "retry_after": { "default": "4s", "spread": "5s" },
        "windows": [{
            "id": "reindex", "start": "2030-01-05T02:00:00Z", "end": "2030-01-05T04:00:00+01:00",
            "reason": "rebuilding the index", "scope": { "routes": ["ingest", "tools"] },
        }],
    });
    let input = read(whole.clone()).unwrap();
    assert_eq!(serde_json::to_value(&input).unwrap(), whole);
    let settings = input.check().unwrap();
    assert_eq!(settings.status, StatusRule::Locked);
    let window = &settings.windows[0];
    assert_eq!(window.end.to_string(), "2030-01-05T03:00:00Z");
    assert_eq!(
        window.scope,
        Scope { routes: Some(vec!["ingest".into(), "tools".into()]), ..Scope::default() }
    );
    let paths: Vec<_> = input.scopes().map(|(path, _)| path).collect();
    assert_eq!(paths, ["windows[0].scope"]);
}

#[test]
fn a_status_is_a_word_or_a_number() {
    for (written, rule) in [
        (json!("auto"), StatusRule::Auto),
        (json!(423), StatusRule::Locked),
        (json!("423"), StatusRule::Locked),
        (json!(503), StatusRule::Unavailable),
    ] {
        assert_eq!(read(json!({ "status": written })).unwrap().status, rule);
    }
    for wrong in [json!(500), json!("never"), json!(-1), json!(true)] {
        let error = read(json!({ "status": wrong })).unwrap_err().to_string();
        assert!(error.contains("auto, 423 or 503"), "{error}");
    }
}

#[test]
fn unknown_keys_are_refused() {
    for wrong in [
        json!({ "readonly": true }),
        json!({ "retry_after": { "jitter": "1s" } }),
        json!({ "windows": [{ "id": "a", "start": "x", "end": "y", "cron": "* * * * *" }] }),
        json!({ "windows": [{ "id": "a", "start": "x", "end": "y", "scope": { "route": ["a"] } }] }),
    ] {
        assert!(read(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn each_fault_has_its_path_and_all_are_told_at_once() {
    let window = |id: &str, start: &str, end: &str| json!({ "id": id, "start": start, "end": end });
    let good = ("2030-01-05T02:00:00Z", "2030-01-05T03:00:00Z");
    let found = faults(json!({
        "reason": "x".repeat(1025),
        "stream_grace": "400d",
        "retry_after": { "default": "0s" },
        "windows": [
            window("a", good.1, good.0),
            window("a", good.0, good.1),
            window("config", good.0, good.1),
            window("with space", good.0, good.1),
            window("b", "tomorrow", "2030-01-05T03:00:00"),
            { "id": "c", "start": good.0, "end": good.1, "scope": { "routes": [], "tenants": [""] } },
        ],
    }));
    let mut paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "reason",
            "retry_after.default",
            "stream_grace",
            "windows[0].end",
            "windows[1].id",
            "windows[2].id",
            "windows[3].id",
            "windows[4].end",
            "windows[4].start",
            "windows[5].scope.routes",
            "windows[5].scope.tenants[0]",
        ]
    );
    let end = &found.iter().find(|(path, _)| path == "windows[0].end").unwrap().1;
    assert_eq!(end, "`2030-01-05T02:00:00Z` is not after the start, `2030-01-05T03:00:00Z`");
}

#[test]
fn the_schema_knows_every_key_and_default() {
    let schema = serde_json::to_value(schemars::schema_for!(FreezeInput)).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let keys: Vec<_> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    for key in [
        "read_only",
        "reason",
        "status",
        "stream_grace",
        "settle",
        "unsettled_memory",
        "retry_after",
        "windows",
    ] {
        assert!(keys.contains(&key), "{key} is not in {keys:?}");
    }
    assert_eq!(schema["properties"]["stream_grace"]["default"], "5s");
    assert_eq!(schema["$defs"]["WindowInput"]["properties"]["start"]["format"], "date-time");
}
