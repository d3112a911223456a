use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use http::{HeaderMap, Method};
use serde_json::json;
use sluicegate_core::Clock;
use sluicegate_store::{
    EntryId, Expect, Put, RecordKey, Store, Swapped, Tag,
    fence::{Fence, FenceState, StoredAnswer, StoredBody},
    fingerprint::{Fingerprint, FingerprintRules},
    memory::Memory,
};

use super::{Cli, Exit, Gateway};

fn sealed() -> FenceState {
    FenceState::Sealed(StoredAnswer {
        status: 201,
        headers: Vec::new(),
        body: StoredBody::Whole(Bytes::from_static(b"done")),
        trailers: Vec::new(),
    })
}

fn unknown() -> FenceState {
    FenceState::Unknown("the upstream broke off".into())
}

/// Writes a key into the store; returns its id.
fn put(gateway: &Gateway, n: u16, key: &str, state: FenceState) -> String {
    let uri = "/v1/documents".parse().unwrap();
    let rules = FingerprintRules::default();
    let now = Clock::system().unix_millis();
    let mut id = [0; 32];
    id[..2].copy_from_slice(&n.to_be_bytes());
    let held = state == FenceState::Running;
    let fence = Fence {
        key: key.into(),
        route: "ingest".into(),
        method: "POST".into(),
        tenant: Some("acme".into()),
        request_id: "req-1".into(),
        print: Fingerprint::of(&Method::POST, &uri, &HeaderMap::new(), Some(&Bytes::new()), &rules),
        created_ms: now - 7_230_000,
        changed_ms: now - 3_630_000,
        state,
    };
    let value = fence.encode().unwrap();
    let put = Put { tag: Tag(n.into()), value, owner: "acme".into(), ttl: Duration::from_secs(7230), held };
    let swapped = gateway.handle.block_on(gateway.store.swap(RecordKey(id), Expect::Absent, Some(put)));
    assert_eq!(swapped.unwrap(), Swapped::Done);
    format!("{n:04x}{}", "00".repeat(30))
}

#[test]
fn keys_are_listed_and_a_stuck_one_is_pointed_out() {
    let gateway = Gateway::start();
    let none = gateway.type_in(&["keys", "list"]);
    assert_eq!((none.exit, none.out.as_str()), (Exit::Done, "no key is remembered\n"), "{}", none.err);
    let first = put(&gateway, 1, "order-1", sealed());
    let quiet = gateway.type_in(&["keys", "list"]).out;
    assert_eq!(
        quiet,
        format!(
            "  STATE   KEY      ROUTE   TENANT  STATUS  CHANGED  ID\n  \
             sealed  order-1  ingest  acme    201     1h ago   {first}\n"
        )
    );
    put(&gateway, 2, "order-2\u{1b}[2J", unknown());
    let stuck = gateway.type_in(&["keys", "list", "--state", "unknown"]).out;
    assert!(stuck.contains("  unknown  order-2\\u{1b}[2J  "), "{stuck}");
    assert!(stuck.ends_with("\nwhat to do about one that is unknown: sluicegate keys show ID\n"), "{stuck}");
    assert!(!stuck.contains("order-1"), "{stuck}");
    let none = gateway.type_in(&["keys", "list", "--tenant", "a b&c"]);
    assert_eq!(none.out, "no such key is remembered\n", "{}", none.err);
}

#[test]
fn a_list_goes_on_over_pages_as_far_as_it_is_asked_to() {
    let gateway = Gateway::start();
    for n in 0..600 {
        put(&gateway, n, &format!("order-{n}"), sealed());
    }
    let lines = |line: &[&str]| gateway.type_in(&[&["keys", "list"], line].concat()).out.lines().count();
    assert_eq!(lines(&[]), 102, "a head, a hundred, and that there are more");
    assert_eq!(lines(&["--limit", "550"]), 552);
    assert_eq!(lines(&["--all"]), 601);
    let more = gateway.type_in(&["keys", "list", "--limit", "1"]).out;
    assert!(more.contains("\nthere are more: --all shows all"), "{more}");
    let json = gateway.type_in(&["keys", "list", "--all", "--json"]).json();
    assert_eq!(json["keys"].as_array().unwrap().len(), 600);
    assert_eq!(json.get("next"), None);
    assert!(gateway.type_in(&["keys", "list", "--limit", "1", "--json"]).json()["next"].is_string());
}

#[test]
fn one_key_is_shown_with_what_can_be_done_about_it() {
    let gateway = Gateway::start();
    let (open, done) = (put(&gateway, 1, "order-1", unknown()), put(&gateway, 2, "order-2", sealed()));
    let (kept, runs) = (
        put(&gateway, 3, "order-3", FenceState::Deferred(EntryId(7))),
        put(&gateway, 4, "o", FenceState::Running),
    );
    let shown = gateway.type_in(&["keys", "show", &open]).out;
    for text in [
        "key           order-1\nstate         unknown: the upstream broke off\nroute         ingest\n",
        "request id    req-1\n",
        "forgotten in  2h\n",
        &format!("\n  sluicegate keys resolve {open} --applied --status 201\n"),
        "the key is free: the next request under it will run\n",
    ] {
        assert!(shown.contains(text), "{text}\n{shown}");
    }
    for (id, text) in [
        (&done, "answer        201, with a body of 4 bytes\n"),
        (&done, "Requests under the key get this answer again.\n"),
        (&kept, "sluicegate intents show 00000000-0000-0000-0000-000000000007\n"),
        (&runs, "An attempt is under way;"),
    ] {
        let shown = gateway.type_in(&["keys", "show", id]);
        assert!(shown.exit == Exit::Done && shown.out.contains(text), "{text}\n{}{}", shown.out, shown.err);
    }
    assert_eq!(gateway.type_in(&["keys", "show", &open, "--json"]).json()["state"], "unknown");
    let none = gateway.type_in(&["keys", "show", &"0".repeat(64)]);
    assert_eq!((none.exit, none.out.as_str()), (Exit::Failed, ""));
    assert!(
        none.err.ends_with("it may have expired\n`sluicegate keys list` shows what is remembered.\n"),
        "{}",
        none.err
    );
    let name = gateway.type_in(&["keys", "show", "order-1/../x"]);
    assert!(name.exit == Exit::Failed && name.err.contains("is not the id of a key"), "{}", name.err);
}

#[test]
fn a_stuck_key_is_resolved_and_the_command_says_what_that_means() {
    let memory = Memory::new(Clock::system());
    let gateway = Gateway::over(Store::new(memory.clone()));
    let (one, two) = (put(&gateway, 1, "order-1", unknown()), put(&gateway, 2, "order-2", unknown()));
    let applied = gateway.type_in(&["keys", "resolve", &one, "--applied", "--status", "201"]);
    assert_eq!((applied.exit, applied.err.as_str()), (Exit::Done, ""));
    assert_eq!(
        applied.out,
        "resolved `order-1` as applied: requests under it get 201 without a body, for 2h more\n"
    );
    let shown = gateway.type_in(&["keys", "show", &one]).out;
    assert!(shown.contains("answer        201; its body was not kept\n"), "{shown}");
    let again = gateway.type_in(&["keys", "resolve", &one, "--not-applied"]);
    assert_eq!(again.exit, Exit::Failed);
    assert!(
        again.err.ends_with(
            "is sealed: nothing about it is unknown\n`sluicegate keys show` tells how it ended.\n"
        ),
        "{}",
        again.err
    );

    let free = gateway.type_in(&["keys", "resolve", &two, "--not-applied"]);
    assert_eq!(
        (free.exit, free.out.as_str()),
        (
            Exit::Done,
            "resolved `order-2` as not applied: the key is free, the next request under it will run\n"
        )
    );
    assert_eq!(gateway.type_in(&["keys", "show", &two]).exit, Exit::Failed);

    let runs = put(&gateway, 3, "order-3", FenceState::Running);
    let refused = gateway.type_in(&["keys", "resolve", &runs, "--not-applied", "--json"]);
    assert_eq!((refused.exit, &refused.json()["code"]), (Exit::Failed, &json!("key_running")));
    assert!(refused.err.contains("wait for its end\n"), "{}", refused.err);
    memory.lose_holders();
    let shown = gateway.type_in(&["keys", "show", &runs]).out;
    assert!(shown.ends_with("a slow one might still send the write.\n"), "{shown}");
    let json = gateway.type_in(&["keys", "resolve", &runs, "--applied", "--json"]);
    assert_eq!((json.exit, &json.json()["status"]), (Exit::Done, &json!(200)), "{}", json.err);

    let kept = put(&gateway, 4, "order-4", FenceState::Deferred(EntryId(7)));
    let refused = gateway.type_in(&["keys", "resolve", &kept, "--not-applied"]).err;
    assert!(
        refused.ends_with("See `sluicegate intents show 00000000-0000-0000-0000-000000000007`.\n"),
        "{refused}"
    );
}

#[test]
fn what_cannot_be_meant_is_wrong_usage() {
    for line in [
        &["keys"][..],
        &["keys", "show"],
        &["keys", "list", "--state", "stuck"],
        &["keys", "list", "--limit", "0"],
        &["keys", "list", "--limit", "5", "--all"],
        &["keys", "resolve", "ab"],
        &["keys", "resolve", "ab", "--applied", "--not-applied"],
        &["keys", "resolve", "ab", "--status", "201"],
        &["keys", "resolve", "ab", "--not-applied", "--status", "201"],
        &["keys", "resolve", "ab", "--applied", "--status", "500"],
    ] {
        let error = Cli::try_parse_from([&["sluicegate"], line].concat()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line:?}");
    }
}
