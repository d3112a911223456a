use sluicegate_core::units::Span;

use super::{Durability, RedisInput, redacted};

fn faults(input: &RedisInput) -> String {
    let faults = input.check().map(|_| ()).unwrap_err();
    faults.into_iter().flat_map(|(field, message)| [field, ": ".into(), message, "\n".into()]).collect()
}

#[test]
fn the_url_is_enough() {
    let input: RedisInput = serde_json::from_str(r#"{"url": "redis://:hush@db:6380/2"}"#).unwrap();
    assert_eq!(input, RedisInput::at("redis://:hush@db:6380/2"));
    let options = input.check().unwrap();
    assert_eq!(
        (options.address().as_str(), options.key_prefix().as_str()),
        ("db:6380", "sluicegate:default:")
    );
    assert_eq!(options.server.redis_settings().db(), 2);
    let text = r#"{"url": "redis://db", "durability": "accept_loss", "lease": "30s", "group": "eu"}"#;
    let input: RedisInput = serde_json::from_str(text).unwrap();
    assert_eq!((input.durability, input.lease), (Durability::AcceptLoss, Span::secs(30)));
    assert!(serde_json::from_str::<RedisInput>(r#"{"url": "redis://db", "lese": "3s"}"#).is_err());
}

#[test]
fn a_password_is_never_shown() {
    let url = "redis://me:hu@sh@db:6380/2?password=hush";
    assert_eq!(redacted(url), "redis://[redacted]@db:6380/2?[redacted]");
    assert_eq!(redacted("unix:///run/redis?pass=hush"), "unix:///run/redis?[redacted]");
    assert_eq!(redacted("me:hush@db"), "[redacted]");
    assert_eq!(redacted("redis://db:1"), "redis://db:1");
    let input = RedisInput { url: "redis://me:hush@db".into(), lease: Span::secs(1), ..RedisInput::at("") };
    let mut hidden = input.clone();
    hidden.redact();
    let options = RedisInput { lease: Span::secs(9), ..input.clone() }.check().unwrap();
    for shown in [format!("{input:?}"), format!("{hidden:?}"), format!("{options:?}"), faults(&input)] {
        assert!(!shown.contains("hush"), "{shown}");
    }
    let wrong = RedisInput::at("http://me:hush@db");
    assert!(faults(&wrong).contains("[redacted]@db"), "{}", faults(&wrong));
    for broken in ["redis://me:hush@db:port", "redis://me:hush@", "redis://:hush@db/base"] {
        assert!(!faults(&RedisInput::at(broken)).contains("hush"), "{}", faults(&RedisInput::at(broken)));
    }
}

#[test]
fn everything_wrong_is_said_at_once() {
    let input = RedisInput {
        url: "rediss://db/#insecure".into(),
        password_file: None,
        prefix: "a b".into(),
        group: String::new(),
        lease: Span::secs(2),
        connect_timeout: Span::millis(1),
        response_timeout: Span::secs(1),
        durability: Durability::OnDisk,
    };
    let said = faults(&input);
    for part in [
        "url: `#insecure`",
        "prefix: `a b`",
        "group: ``",
        "lease: `2s`",
        "connect_timeout: `1ms`",
        "third of the lease",
    ] {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
}
