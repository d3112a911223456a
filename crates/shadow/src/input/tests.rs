use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use sluicegate_core::{KeySource, Share};

use super::{ShadowInput, ShadowSettings, ShadowsInput};
use crate::AnswersInput;

fn check(input: &Value) -> Result<ShadowSettings, Vec<(String, String)>> {
    let input: ShadowInput = serde_json::from_value(input.clone()).unwrap();
    input.check(&AnswersInput::default(), &Path::to_path_buf)
}

#[test]
fn the_contract_is_taken_and_the_rest_has_defaults() {
    let settings = check(&json!({
        "to": "lab", "percent": 10, "max_rps": 50, "timeout": "5s", "sample_by": { "header": "x-user-id" }
    }))
    .unwrap();
    assert_eq!((&*settings.to, settings.share, settings.max_rps), ("lab", Share::percent(10), Some(50.0)));
    assert_eq!((settings.timeout, settings.max_in_flight), (Duration::from_secs(5), 100));
    assert_eq!((settings.max_body, settings.writes, settings.noise), (256 * 1024, false, Share::percent(10)));
    assert_eq!(settings.sample_by, Some(KeySource::Header(http::HeaderName::from_static("x-user-id"))));
    assert!(settings.compare.is_none() && settings.set.is_empty() && settings.strip.is_empty());
    let compares = check(&json!({ "to": "lab", "percent": 0.5, "compare": {} })).unwrap().compare.unwrap();
    assert_eq!(compares.max_answer, 1 << 20);
}

#[test]
fn one_or_several_are_read_and_secrets_are_not_shown() {
    let one = json!({ "to": "lab", "percent": 1, "set": { "authorization": "Bearer x" } });
    let mut read: ShadowsInput = serde_json::from_value(one.clone()).unwrap();
    assert_eq!(
        read.each().map(|(path, it)| (path, it.to.clone())).collect::<Vec<_>>(),
        [(String::new(), "lab".into())]
    );
    read.redact();
    assert_eq!(serde_json::to_value(&read).unwrap()["set"]["authorization"], "[redacted]");
    let mut read: ShadowsInput =
        serde_json::from_value(json!([one, { "to": "next", "percent": 2 }])).unwrap();
    let paths: Vec<_> = read.each().map(|(path, it)| format!("{path}={}", it.to)).collect();
    assert_eq!(paths, ["[0]=lab", "[1]=next"]);
    read.redact();
    assert_eq!(serde_json::to_value(&read).unwrap()[0]["set"]["authorization"], "[redacted]");
    let wrong = serde_json::from_value::<ShadowsInput>(json!("lab")).unwrap_err().to_string();
    assert!(wrong.contains("a shadow, such as { to: lab, percent: 1 }, or a list of them"), "{wrong}");
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let found = check(&json!({
        "to": "lab", "percent": 101, "noise": -1, "max_rps": 0, "max_in_flight": 0, "max_body": "65MiB",
        "timeout": "0s", "sample_by": { "header": "a b" }, "strip": ["ok", "not ok"],
        "set": { "bad name": "x", "x-ok": "a\nb", "host": "x", "shadow-id": "x" },
        "compare": { "max_answer": "65MiB" }
    }))
    .unwrap_err();
    let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    let expected = [
        "percent",
        "noise",
        "max_rps",
        "max_in_flight",
        "max_body",
        "timeout",
        "sample_by.header",
        "strip[1]",
        "set.bad name",
        "set.host",
        "set.shadow-id",
        "set.x-ok",
        "compare.max_answer",
    ];
    assert_eq!(paths, expected);
    assert!(found.iter().all(|(_, message)| message.len() > 20), "{found:?}");
}
