use std::time::Duration;

use serde_json::json;

use super::{IntentsInput, IntentsSettings, OrderBy};

fn read(value: serde_json::Value) -> Result<IntentsInput, serde_json::Error> {
    serde_json::from_value(value)
}

#[test]
fn an_empty_section_is_the_documented_defaults() {
    let settings = read(json!({})).unwrap().check().unwrap();
    assert_eq!(settings, IntentsSettings::default());
    assert_eq!((settings.caps.max_count, settings.caps.max_bytes), (10_000, 256 << 20));
    assert_eq!((settings.max_body, settings.soak), (1 << 20, Duration::from_secs(30)));
    assert_eq!((settings.ttl, settings.keep), (Duration::from_secs(86_400), Duration::from_secs(86_400)));
    assert_eq!((settings.backfill.concurrent, settings.backfill.order_by), (4, OrderBy::Route));
}

#[test]
fn the_section_of_the_contract_is_taken() {
    let section = json!({
        "max_count": 10000, "max_bytes": "256MiB", "ttl": "24h", "soak": "30s",
        "backfill": { "rps": 20, "concurrent": 4, "order_by": { "header": "x-document-id" } },
    });
    let settings = read(section).unwrap().check().unwrap();
    assert_eq!(settings.backfill.order_by, OrderBy::Header("x-document-id".parse().unwrap()));
}

#[test]
fn the_whole_section_is_read_and_written_back() {
    let whole = json!({
        "max_count": 5, "max_bytes": "2MiB", "tenant_share": 0.5, "max_body": "1KiB", "max_answer": "2KiB",
        "ttl": "1h", "soak": "0s", "keep": "2h", "keep_headers": ["X-Doc"],
        "headers": { "authorization": "Bearer s3cret" },
        "backfill": {
            "rps": 1.5, "concurrent": 2, "order_by": { "tenant": true }, "tries": 3, "base": "10ms", "cap": "1s",
        },
    });
    let input = read(whole.clone()).unwrap();
    assert_eq!(serde_json::to_value(&input).unwrap(), whole);
    let settings = input.check().unwrap();
    assert_eq!(settings.keep_headers, ["x-doc"]);
    assert_eq!(settings.headers["authorization"], "Bearer s3cret");
    assert!(!format!("{settings:?}").contains("s3cret"), "the value is not shown");
    assert_eq!(settings.backfill.order_by, OrderBy::Tenant);
    assert!((settings.caps.share - 0.5).abs() < f64::EPSILON);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let section = json!({
        "max_count": 0, "max_bytes": "1KiB", "tenant_share": 0, "max_body": "2KiB", "ttl": "0s", "keep": "400d",
        "keep_headers": ["Authorization", "a b", "transfer-encoding", "X-Api-Key"],
        "headers": { "host name": "x", "content-length": "5", "x-ok": "a\nsecret" },
        "backfill": {
            "rps": 0, "concurrent": 0, "order_by": { "tenant": false }, "tries": 0, "base": "10s", "cap": "1s",
        },
    });
    let faults = read(section).unwrap().check().unwrap_err();
    let paths: Vec<_> = faults.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "max_count",
            "max_body",
            "tenant_share",
            "backfill.rps",
            "backfill.concurrent",
            "backfill.tries",
            "ttl",
            "keep",
            "backfill.cap",
            "keep_headers[0]",
            "keep_headers[1]",
            "keep_headers[2]",
            "keep_headers[3]",
            "headers.content-length",
            "headers.host name",
            "headers.x-ok",
            "backfill.order_by.tenant",
        ]
    );
    let of = |path: &str| &faults.iter().find(|(known, _)| known == path).unwrap().1;
    assert!(
        of("keep_headers[0]").contains("credentials, which are never stored"),
        "{}",
        of("keep_headers[0]")
    );
    assert!(!of("headers.x-ok").contains("secret"));
}

#[test]
fn unknown_keys_are_errors() {
    for section in [json!({ "maxcount": 1 }), json!({ "backfill": { "order_by": { "cookie": "a" } } })] {
        assert!(read(section).is_err());
    }
}

#[test]
fn the_tenants_header_can_be_added_and_credentials_cannot() {
    let settings = IntentsSettings::default()
        .keeping("x-tenant-id".parse().unwrap())
        .keeping("x-tenant-id".parse().unwrap())
        .keeping("x-api-key".parse().unwrap());
    assert_eq!(settings.keep_headers, ["x-tenant-id"]);
}
