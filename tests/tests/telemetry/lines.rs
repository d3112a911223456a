//! The access log under requests of all kinds.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;
use sluicegate_tests::eventually;

use crate::traffic::{SECRETS, Traffic};

const SCHEMA: &str = include_str!("../../../docs/access-log.schema.json");
const PAGE: &str = include_str!("../../../docs/access-log.md");

/// The lines of a log.
pub(crate) fn read(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_is_as_the_schema_says_and_holds_no_secret() {
    let traffic = Traffic::start().await;
    traffic.send_everything().await;
    let log = traffic.gateway.folder().path().join("access.log");
    eventually("a line for each", || read(&log).len() >= traffic.sent()).await;
    let lines = read(&log);

    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap();
    let described: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    for line in &lines {
        let faults: Vec<_> =
            validator.iter_errors(line).map(|it| format!("{}: {it}", it.instance_path())).collect();
        assert!(faults.is_empty(), "{faults:#?}\n{line:#}");
        let told: BTreeSet<_> = line.as_object().unwrap().keys().cloned().collect();
        assert_eq!(told, described, "the schema tells every field, and each is in every line");
    }
    let text = fs::read_to_string(&log).unwrap();
    for secret in SECRETS {
        assert!(!text.contains(secret), "`{secret}` stands in the access log");
    }
    let of = |path: &str, test: &dyn Fn(&Value) -> bool| {
        lines.iter().any(|line| line["path"] == path && test(line))
    };
    assert!(of("/docs/refused", &|line| line["status"] == 423 && line["code"] == "read_only"), "{lines:#?}");
    assert!(of("/read/a", &|line| line["status"] == 200
        && line["code"].is_null()
        && line["complete"] == true));
    assert!(of("/docs/keyed", &|line| line["replayed"] == true && line["status"] == 200), "{lines:#?}");
    assert!(of("/read/hang", &|line| line["status"].is_null() && line["complete"] == false), "{lines:#?}");
    assert!(of("/read/socket", &|line| line["status"] == 101 && line["complete"] == true), "{lines:#?}");
    assert!(
        of("/test.Talk/Say", &|line| line["protocol"] == "HTTP/2" && line["complete"] == true),
        "{lines:#?}"
    );
    assert!(of("/nowhere", &|line| line["code"] == "no_route" && line["route"].is_null()), "{lines:#?}");
}

#[test]
fn the_page_tells_the_same_fields_as_the_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let schema: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    let mut page: Vec<_> = PAGE
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .collect();
    page.sort();
    let mut schema = schema;
    schema.sort();
    assert_eq!(page, schema);
}
