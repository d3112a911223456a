use std::{net::TcpListener, sync::Arc, time::Duration};

use bytes::Bytes;
use clap::Parser;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;
use sluicegate_body::{Budget, Gathered};
use sluicegate_core::{Access, Classified, Facts, Lane, Refusal, RoutePlan, Tenant};
use sluicegate_intents::{IntentsInput, IntentsLayer, RouteRules};
use sluicegate_store::{
    Change, Changed, EntryState, RecordKey, Store, Tag,
    fingerprint::FingerprintRules,
    keyed::Keyed,
    redis::{Redis, RedisInput},
};
use tower::ServiceExt;
use tower_layer::Layer;

use super::{Cli, Exit, Gateway, timeless};

/// Sends a write during a freeze that keeps it: through the real layer. Returns its id.
fn queue(gateway: &Gateway, n: u8, tenant: &'static str) -> String {
    let settings = Arc::new(IntentsInput::default().check().unwrap());
    let plan = gateway.intents.plan("ingest", settings, RouteRules::default());
    let request_id = HeaderValue::from_static("req-1");
    let facts = Facts::new(request_id, None, tokio::time::Instant::now(), false);
    facts.classify(Classified {
        route: Arc::new(RoutePlan::new("ingest", "stable").with(plan)),
        access: Access::Write,
        tenant: Tenant::from_header(&HeaderValue::from_static(tenant)),
        lane: Lane::Interactive,
        cost: 1,
        deadline: None,
        rpc: None,
    });
    facts.defer();
    let key = format!("order-{n}");
    let rules = Arc::new(FingerprintRules::default());
    let keyed = Keyed::new(RecordKey([n; 32]), key.as_str().into(), Some(tenant.into()), rules);
    let mut request = Request::post(format!("/v1/documents/{n}"))
        .header("idempotency-key", &key)
        .body(Gathered::untouched(Full::from("text")))
        .unwrap();
    request.extensions_mut().insert(facts);
    request.extensions_mut().insert(keyed);
    let inner = tower::service_fn(|_| async { Ok::<Response<Full<Bytes>>, Refusal>(Response::default()) });
    let layer = IntentsLayer::new(gateway.intents.clone(), Budget::new(1 << 20)).layer(inner);
    let answer = gateway.handle.block_on(layer.oneshot(request)).unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let place = answer.headers()["location"].to_str().unwrap();
    place.rsplit('/').next().unwrap().to_owned()
}

/// What the backfill does with the head of a line, up to an end.
fn end(gateway: &Gateway, id: &str, state: EntryState) {
    gateway.handle.block_on(async {
        let claimed = gateway.store.claim((100..116).map(Tag).collect()).await.unwrap();
        for (n, entry) in (200..).zip(claimed) {
            let change = Change {
                expect: entry.tag,
                tag: Tag(n),
                // Of several heads the right one is taken; the others go back.
                state: if entry.id.to_text() == id { state } else { EntryState::Queued },
                note: entry.note,
                delay: Duration::ZERO,
                ttl: Duration::from_secs(3600),
                record: None,
            };
            assert_eq!(gateway.store.change(entry.id, change).await.unwrap(), Changed::Done);
        }
    });
}

#[test]
fn intents_are_listed_with_how_many_stand_where() {
    let gateway = Gateway::start();
    let none = gateway.type_in(&["intents", "list"]);
    assert_eq!((none.exit, none.out.as_str()), (Exit::Done, "no intent; in all: none\n"), "{}", none.err);
    let first = queue(&gateway, 1, "acme");
    queue(&gateway, 2, "acme");
    queue(&gateway, 3, "bolt");
    let quiet = gateway.type_in(&["intents", "list"]).out;
    assert!(quiet.starts_with("  ID  "), "{quiet}");
    assert!(quiet.contains(&format!("\n  {first}  queued  order-1  ingest  acme    ")), "{quiet}");
    assert!(quiet.ends_with("\nin all: 3 queued\n"), "{quiet}");
    end(&gateway, &first, EntryState::InDoubt);
    let doubt = gateway.type_in(&["intents", "list", "--state", "in_doubt", "--route", "ingest"]).out;
    assert!(doubt.contains("in_doubt") && !doubt.contains("order-2"), "{doubt}");
    assert!(
        doubt.ends_with(
            "\nin all: 2 queued, 1 in doubt\nwhat to do about one that is in doubt or dead: sluicegate intents show ID\n"
        ),
        "{doubt}"
    );
    let none = gateway.type_in(&["intents", "list", "--tenant", "nobody"]).out;
    assert_eq!(none, "no such intent; in all: 2 queued, 1 in doubt\n");
    let one = gateway.type_in(&["intents", "list", "--limit", "1"]).out;
    assert!(one.contains("\nthere are more: --all shows all"), "{one}");
    let json = gateway.type_in(&["intents", "list", "--all", "--json"]).json();
    assert_eq!((json["intents"].as_array().unwrap().len(), &json["tally"]["in_doubt"]), (3, &json!(1)));
}

#[test]
fn one_in_doubt_is_shown_with_the_ways_out_and_each_says_what_it_did() {
    let gateway = Gateway::start();
    let tenants = ["one", "two", "three", "four"];
    let ids: Vec<_> = (1..).zip(tenants).map(|(n, tenant)| queue(&gateway, n, tenant)).collect();
    for id in &ids {
        end(&gateway, id, EntryState::InDoubt);
    }
    let shown = gateway.type_in(&["intents", "show", &ids[0]]).out;
    for text in [
        "state       in doubt\nrequest     POST /v1/documents/1, 4 bytes\nkey         order-1\n",
        &format!("\n  sluicegate intents settle {} --applied --status 201\n", ids[0]),
        &format!("\n  sluicegate intents retry {}\n      it is sent again, which does it twice if", ids[0]),
    ] {
        assert!(shown.contains(text), "{text}\n{shown}");
    }
    let said = |line: &[&str]| {
        let ended = gateway.type_in(&[&["intents"], line].concat());
        assert_eq!((ended.exit, ended.err.as_str()), (Exit::Done, ""), "{line:?}");
        ended.out
    };
    assert_eq!(
        said(&["settle", &ids[0], "--applied", "--status", "201"]),
        "settled `order-1` as applied: requests under it get 201 without a body; what was behind it goes on\n"
    );
    assert_eq!(
        said(&["settle", &ids[1], "--not-applied"]),
        "settled `order-2` as not applied: it is dead, and the key is free: the next request under it will run; what was \
         behind it goes on\n"
    );
    assert_eq!(
        said(&["retry", &ids[2]]),
        "`order-3` was in doubt and is queued again: it will be sent; if it had been applied, and the upstream ignores \
         keys, it is done twice\n"
    );
    assert_eq!(
        said(&["drop", &ids[3]]),
        "dropped `order-4`: it will not be sent again; it may have been applied, so its key stays unknown; what was \
         behind it goes on\n"
    );
    assert_eq!(
        said(&["drop", &ids[2]]),
        "dropped `order-3`: it will not be sent, and the key is free: the next request under it will run\n"
    );
    assert!(said(&["show", &ids[1]]).contains("\nIt will not be sent again by itself."));
    assert_eq!(said(&["retry", &ids[1]]), "`order-2` is queued again, with all its tries\n");
    assert!(said(&["show", &ids[1]]).contains("\nIt will be sent in its turn;"));
    assert!(said(&["show", &ids[0]]).ends_with("answer      201; its body was not kept\n"));
    end(&gateway, &ids[1], EntryState::InDoubt);
    let json = gateway.type_in(&["intents", "settle", &ids[1], "--applied", "--json"]).json();
    assert_eq!((&json["state"], &json["response"]["status"]), (&json!("applied"), &json!(200)));
}

#[test]
fn what_cannot_be_done_is_said_with_what_to_try() {
    let gateway = Gateway::start();
    let id = queue(&gateway, 1, "acme");
    let refused = gateway.type_in(&["intents", "retry", &id]);
    assert_eq!((refused.exit, refused.out.as_str()), (Exit::Failed, ""));
    assert!(
        refused.err.contains("is queued; only one that is dead or in_doubt can be retried\n"),
        "{}",
        refused.err
    );
    assert!(refused.err.ends_with("`sluicegate intents show` tells what can be done.\n"), "{}", refused.err);
    let json = gateway.type_in(&["intents", "settle", &id, "--applied", "--json"]);
    assert_eq!((json.exit, &json.json()["code"]), (Exit::Failed, &json!("intent_state")));
    let none = gateway.type_in(&["intents", "drop", "nonsense"]);
    assert!(none.err.ends_with("`sluicegate intents list` shows what there is.\n"), "{}", none.err);
    for line in [
        &["intents"][..],
        &["intents", "list", "--state", "doubt"],
        &["intents", "settle", "ab"],
        &["intents", "settle", "ab", "--status", "201"],
        &["intents", "retry", "ab", "--applied"],
        &["intents", "pause", "why"],
    ] {
        let error = Cli::try_parse_from([&["sluicegate"], line].concat()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line:?}");
    }
}

#[test]
fn the_backfill_is_paused_and_the_status_says_by_whom_and_what_needs_an_operator() {
    let gateway = Gateway::start();
    let quiet = gateway.type_in(&["intents", "status"]);
    assert_eq!((quiet.exit, quiet.out.as_str()), (Exit::Done, "none\n"), "{}", quiet.err);
    let status = gateway.type_in(&["status"]).out;
    // What the rollout keeps in the store is counted among them.
    for text in [
        "\nstore\n  memory: up\n  keys: ",
        " of 1000000 remembered, ",
        "; 0 running, 0 waiting\n\nintents\n  none\n",
    ] {
        assert!(status.contains(text), "{text}\n{status}");
    }

    let id = queue(&gateway, 1, "acme");
    queue(&gateway, 2, "acme");
    end(&gateway, &id, EntryState::InDoubt);
    let paused = gateway.type_in(&["intents", "pause", "--reason", "the upstream is being moved"]);
    assert_eq!(paused.exit, Exit::Done, "{}", paused.err);
    assert!(paused.out.starts_with("the backfill is paused, on every gateway"), "{}", paused.out);
    for status in [gateway.type_in(&["intents", "status"]).out, gateway.type_in(&["status"]).out] {
        let status = timeless(&status);
        for text in [
            "1 queued, 1 in doubt; the oldest waits for SOME TIME; ",
            "PAUSED  for SOME TIME by ",
            ": the upstream is being moved; go on with: sluicegate intents resume\n",
            "IN DOUBT  what is behind waits: sluicegate intents list --state in_doubt\n",
        ] {
            assert!(status.contains(text), "{text}\n{status}");
        }
    }
    let resumed = gateway.type_in(&["intents", "resume"]);
    assert_eq!(
        resumed.out, "the backfill goes on; watch it with: sluicegate intents status\n",
        "{}",
        resumed.err
    );
    assert!(!gateway.type_in(&["intents", "status"]).out.contains("PAUSED"));
    let json = gateway.type_in(&["intents", "pause", "--json"]).json();
    assert!(json["paused"]["since_ms"].is_u64(), "{json}");
}

#[test]
fn a_store_that_is_down_is_loud_and_hides_nothing_else() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = RedisInput::at(format!("redis://{gone}")).check().unwrap();
    let gateway = Gateway::over(Store::new(runtime.block_on(Redis::open(options))));
    let status = gateway.type_in(&["status"]);
    assert_eq!(status.exit, Exit::Done, "{}", status.err);
    assert!(status.out.contains("\nstore\n  redis: DOWN\n    "), "{}", status.out);
    assert!(status.out.contains("\nintents\n  cannot be told: the store cannot be used: "), "{}", status.out);
    assert!(status.out.contains("\nupstreams\n"), "{}", status.out);
    let failed = gateway.type_in(&["intents", "pause"]);
    assert_eq!((failed.exit, failed.out.as_str()), (Exit::Failed, ""));
    assert!(failed.err.contains("it may or may not have been done"), "{}", failed.err);
}
