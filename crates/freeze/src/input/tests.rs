use std::time::Duration;

use serde_json::json;

use super::{FreezeInput, FreezeSettings, Moments, Scope, StatusRule};

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
        "banner": { "enabled": false, "reason": false, "routes": false, "next": false, "max_age": "6s" },
        "windows": [{
            "id": "reindex", "start": "2030-01-05T02:00:00Z", "end": "2030-01-05T04:00:00+01:00",
            "reason": "rebuilding the index", "scope": { "routes": ["ingest", "tools"] },
        }, {
            "id": "nightly", "rule": "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2", "time_zone": "Europe/Berlin",
            "from": "2030-01-06T02:00:00", "duration": "1h", "except": ["2030-12-22"], "announce": "1d",
        }],
    });
    let input = read(whole.clone()).unwrap();
    assert_eq!(serde_json::to_value(&input).unwrap(), whole);
    let settings = input.check().unwrap();
    assert_eq!(settings.status, StatusRule::Locked);
    let window = &settings.windows[0];
    let Moments::Once { end, .. } = &window.moments else { panic!("{window:?}") };
    assert_eq!(end.to_string(), "2030-01-05T03:00:00Z");
    assert!(matches!(settings.windows[1].moments, Moments::Rule(_)));
    assert_eq!(settings.windows[1].announce.as_hours(), 24);
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
fn a_window_is_one_of_two_forms_and_what_is_missing_or_too_much_is_told() {
    let words = |window: serde_json::Value| {
        let found = faults(json!({ "windows": [window] }));
        found.iter().map(|(path, message)| format!("{path}: {message}")).collect::<Vec<_>>()
    };
    let nothing = words(json!({ "id": "a" }));
    assert_eq!(nothing.len(), 2);
    assert!(nothing[0].starts_with("windows[0].start: a window needs `start`"), "{nothing:?}");
    let mixed = words(json!({
        "id": "a", "rule": "FREQ=DAILY", "start": "2030-01-05T02:00:00Z", "from": "2030-01-06T02:00:00",
    }));
    assert_eq!(
        mixed,
        [
            "windows[0].start: stands beside a `rule`; a rule has `from` and `duration` instead",
            "windows[0].duration: a `rule` needs `duration`: how long each time lasts, such as 1h",
        ]
    );
    let without = words(json!({
        "id": "a", "start": "2030-01-05T02:00:00Z", "end": "2030-01-05T03:00:00Z", "time_zone": "UTC",
    }));
    assert!(without[0].starts_with("windows[0].time_zone: belongs to a `rule`"), "{without:?}");
    let bare = words(json!({ "id": "a", "rule": "FREQ=DAILY" }));
    assert_eq!(bare.len(), 2, "{bare:?}");
    let several = words(json!({
        "id": "a", "rule": "FREQ=SECONDLY", "time_zone": "Mars/Base", "from": "soon", "duration": "0s",
    }));
    assert_eq!(several.len(), 4, "all are told at once: {several:?}");
}

#[test]
fn there_are_at_most_500_windows() {
    let all = |n: usize| {
        let one = |at| json!({ "id": format!("w{at}"), "start": "2030-01-05T02:00:00Z", "end": "2030-01-05T03:00:00Z" });
        json!({ "windows": (0..n).map(one).collect::<Vec<_>>() })
    };
    assert_eq!(faults(all(501)).len(), 1);
    assert!(faults(all(501))[0].1.starts_with("has 501 entries; 500 is the most"));
    assert_eq!(read(all(500)).unwrap().check().unwrap().windows.len(), 500);
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
