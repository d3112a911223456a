use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::Arc,
    thread,
};

use clap::Parser;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use sluicegate_core::{Chance, Clock, pins::Pins};
use sluicegate_rollout::{Checked, Checks, Declared, OpenOptions, RolloutInput, Rollouts, Traffic};
use sluicegate_store::Store;

use super::{Cli, Exit, Gateway, timeless, type_in};

mod watching;

/// What is not as it should be with the arms, asked before a step or a switch.
#[derive(Default)]
pub(super) struct Arms(Mutex<Vec<String>>);

impl Checks for Arms {
    fn arms_ready(&self, _: Vec<Box<str>>) -> Checked<'_> {
        let wrong = self.0.lock().clone();
        Box::pin(async { if wrong.is_empty() { Ok(()) } else { Err(wrong) } })
    }
}

/// A rollout over this store, of which nothing was read yet.
pub(super) fn open(store: Store, registry: &mut Registry) -> (Rollouts, Arc<Arms>) {
    let arms = Arc::new(Arms::default());
    let options = OpenOptions {
        store,
        clock: Clock::system(),
        chance: Arc::new(Chance::seeded(1)),
        gateway: "gate-1".to_owned(),
        checks: arms.clone(),
        traffic: Traffic::register(registry),
        shards: 1,
    };
    let rollouts = Rollouts::open(options, registry);
    let input = json!({ "active": "stable", "candidate": "next", "steps": [5, 25, 100] });
    let input: RolloutInput = serde_json::from_value(input).unwrap();
    let pins = |hash| Arc::new(Pins::new([("INDEX_HASH", hash)]));
    let settings = input.check().unwrap();
    rollouts.apply(vec![Declared { name: "embed".into(), settings, pins: [pins("a1d9"), pins("b7f3")] }]);
    (rollouts, arms)
}

#[test]
fn each_order_says_who_serves_whom_after_it() {
    let gateway = Gateway::start();
    let said = |line: &[&str]| {
        let ended = gateway.type_in(&[&["rollout"], line].concat());
        assert_eq!((ended.exit, ended.err.as_str()), (Exit::Done, ""), "{line:?}");
        ended.out
    };
    assert_eq!(said(&["list"]), "embed (stable -> next): idle  0%\n");
    assert_eq!(
        said(&["start", "embed"]),
        "run 1 of `embed` is at step 1 of 3: 5% of keys are on next, the rest on stable\n\
         watch it with: sluicegate rollout status embed --watch\n"
    );
    assert!(
        said(&["advance", "embed"])
            .starts_with("run 1 of `embed` is at step 2 of 3: 25% of keys are on next")
    );
    assert_eq!(
        said(&["hold", "embed", "--reason", "lunch"]),
        "`embed` stays at step 2 of 3: 25% of keys on next; an abort is still judged\n\
         go on with: sluicegate rollout resume embed\n"
    );
    assert!(
        timeless(&said(&["status", "embed"]))
            .starts_with("embed (stable -> next): HELD at step 2 of 3  25%  for SOME TIME by ")
    );
    assert!(said(&["resume", "embed"]).starts_with("run 1 of `embed` is at step 2 of 3"));
    assert_eq!(
        said(&["weight", "embed", "10"]),
        "10% of keys of `embed` are on next, the rest on stable; no step is taken, an abort is still judged\n\
         back at once with: sluicegate rollout abort embed\n"
    );
    assert_eq!(
        said(&["promote", "embed"]),
        "next is the active arm of `embed` now and serves everything; stable is the way back: \
         sluicegate rollout rollback embed\n"
    );
    let aborted = "`embed` is aborted: everything is on stable, and nothing reaches next\n\
                   begin again with: sluicegate rollout start embed\n";
    assert_eq!(said(&["rollback", "embed", "--reason", "wrong index"]), aborted);
    assert_eq!(said(&["abort", "embed"]), aborted, "it may be said again");
    let switched = said(&["switch", "embed"]);
    assert!(
        switched
            .starts_with("next is the active arm of `embed` now and serves everything; it is watched for 1")
            && switched.ends_with("\nback at once with: sluicegate rollout rollback embed\n"),
        "{switched}"
    );
    // While it is watched, out means back.
    assert_eq!(said(&["abort", "embed", "--reason", "enough"]), aborted);
    let json = gateway.type_in(&["rollout", "weight", "embed", "100", "--json"]).json();
    assert_eq!((&json["weight"], &json["phase"]["name"]), (&json!(100), &json!("manual")));
    assert_eq!(gateway.type_in(&["rollout", "list", "--json"]).json()["rollouts"][0]["weight"], 100);
}

#[test]
fn a_refusal_says_what_to_type_instead() {
    let gateway = Gateway::start();
    let refused = gateway.type_in(&["rollout", "promote", "embed"]);
    assert_eq!((refused.exit, refused.out.as_str()), (Exit::Failed, ""));
    assert_eq!(
        refused.err,
        "sluicegate: promote is not possible: the rollout is idle, and no run goes that it could be done to\n\
         Possible now:\n  sluicegate rollout start embed\n  sluicegate rollout weight embed PERCENT\n  \
         sluicegate rollout switch embed\n  sluicegate rollout abort embed\n"
    );
    let json = gateway.type_in(&["rollout", "promote", "embed", "--json"]);
    assert_eq!((json.exit, &json.json()["code"]), (Exit::Failed, &json!("refused")));
    for line in [&["status", "embde"][..], &["abort", "embde"], &["history", "embde"]] {
        let unknown = gateway.type_in(&[&["rollout"], line].concat());
        assert_eq!(unknown.exit, Exit::Failed);
        assert!(unknown.err.contains("no rollout `embde`; there are: embed\n"), "{}", unknown.err);
    }
    let watched = gateway.type_in(&["rollout", "status", "embde", "--watch"]);
    assert_eq!(watched.err, "sluicegate: there is no rollout `embde`; there are: embed\n");
    *gateway.arms.0.lock() =
        vec!["upstream next: INDEX_HASH is \"c0de\"".into(), "no endpoint is used".into()];
    let unready = gateway.type_in(&["rollout", "switch", "embed"]);
    assert_eq!(unready.exit, Exit::Failed);
    assert!(
        unready.err.starts_with(
            "sluicegate: nothing was changed, because the arms are not ready:\n  upstream next: INDEX_HASH is \"c0de\"\n  \
             no endpoint is used\nPut that right"
        ),
        "{}",
        unready.err
    );
    for line in [
        &["rollout"][..],
        &["rollout", "abort"],
        &["rollout", "weight", "embed", "101"],
        &["rollout", "weight", "embed", "-1"],
        &["rollout", "weight", "embed"],
        &["rollout", "start", "embed", "--reason", "x"],
        &["rollout", "history", "embed", "--limit", "0"],
    ] {
        let error = Cli::try_parse_from([&["sluicegate"], line].concat()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line:?}");
    }
}

/// An admin address that gives one answer.
fn answers_once(listener: TcpListener, status: u16, body: &Value) -> thread::JoinHandle<()> {
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        stream.write_all((head + &body).as_bytes()).unwrap();
    })
}

#[test]
fn an_abort_that_the_others_do_not_know_is_an_error_though_it_holds_here() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = format!("http://{}", listener.local_addr().unwrap());
    let problem = json!({
        "code": "only_here", "detail": "the store gives no answer", "in_effect": true,
        "rollout": { "active": "stable" },
    });
    let server = answers_once(listener, 503, &problem);
    let ended = type_in(&["rollout", "abort", "embed", "--admin", &admin]);
    server.join().unwrap();
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::Failed, ""));
    let text = "sluicegate: `embed` IS aborted on this gateway: everything is on stable. The others have NOT been told: ";
    assert!(ended.err.starts_with(text), "{}", ended.err);
}

#[test]
fn the_history_tells_who_did_what_from_what() {
    let gateway = Gateway::start();
    gateway.type_in(&["rollout", "start", "embed"]);
    gateway.type_in(&["rollout", "abort", "embed", "--reason", "errors on the phones"]);
    let history = gateway.type_in(&["rollout", "history", "embed"]);
    assert_eq!((history.exit, history.err.as_str()), (Exit::Done, ""));
    let lines: Vec<_> = history.out.lines().collect();
    assert!(lines[0].contains("Z  configured  by the document of gateway gate-1"), "{}", history.out);
    for text in [
        "Z  started  by ",
        "\n    run 1: idle -> running step 1; 0% -> 5% of keys on next, active is stable\n",
        "\n    run 1: running step 1 -> aborted; 5% -> 0% of keys on next, active is stable\n    \
         reason: errors on the phones\n",
        "\n    pins: next INDEX_HASH=b7f3; stable INDEX_HASH=a1d9\n",
    ] {
        assert!(history.out.contains(text), "{text}\n{}", history.out);
    }
    let last = gateway.type_in(&["rollout", "history", "embed", "--limit", "1"]).out;
    assert!(last.contains("Z  aborted  by ") && !last.contains("started"), "{last}");
    let json = gateway.type_in(&["rollout", "history", "embed", "--json"]).json();
    assert_eq!((json["decisions"].as_array().unwrap().len(), &json["format"]), (3, &json!(1)));
    let json = gateway.type_in(&["rollout", "history", "embed", "--json", "--limit", "2"]).json();
    assert_eq!(json["decisions"][0]["act"], "started");
}

#[test]
fn the_status_of_the_gateway_has_a_line_for_each() {
    let gateway = Gateway::start();
    let quiet = gateway.type_in(&["status"]).out;
    assert!(quiet.contains("\nrollouts\n  embed (stable -> next): idle  0%\n"), "{quiet}");
    gateway.type_in(&["rollout", "abort", "embed", "--reason", "errors"]);
    let loud = timeless(&gateway.type_in(&["status"]).out);
    assert!(
        loud.contains("\n  embed (stable -> next): ABORTED  0%  SOME TIME ago by ")
            && loud.contains(": errors\n"),
        "{loud}"
    );
}
