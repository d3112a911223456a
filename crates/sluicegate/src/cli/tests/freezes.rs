use std::thread;

use clap::Parser;
use serde_json::json;

use super::{Cli, Exit, Gateway};

#[test]
fn a_freeze_is_on_when_the_command_returns_and_thaw_lifts_it() {
    let gateway = Gateway::start();
    let frozen = gateway.type_in(&["freeze"]);
    assert_eq!((frozen.exit, frozen.err.as_str()), (Exit::Done, ""));
    assert_eq!(
        frozen.out,
        "frozen `manual`: writes to everything are stopped until it is lifted\n\
         no write is in flight; lift it with: sluicegate thaw\n\
         note: a restart of the gateway lifts it too: freezes are kept by `store.embedded` alone\n"
    );
    assert!(gateway.freezes.status().active);
    let more = [
        "freeze", "--id", "acme", "--for", "30m", "--reason", "reindex", "--route", "ingest", "--tenant",
        "acme",
    ];
    let more = gateway.type_in(&more);
    assert!(
        more.out.starts_with("frozen `acme`: writes to route ingest and tenant acme are stopped until 2"),
        "{}",
        more.out
    );
    assert!(more.out.contains("(in 29m") || more.out.contains("(in 30m"), "{}", more.out);
    assert!(more.out.contains("lift it with: sluicegate thaw --id acme\n"), "{}", more.out);
    let record = gateway.freezes.status().freezes.into_iter().find(|freeze| freeze.id == "acme").unwrap();
    assert_eq!(record.reason.as_deref(), Some("reindex"));

    let thawed = gateway.type_in(&["thaw"]);
    assert_eq!(
        (thawed.exit, thawed.out.as_str()),
        (Exit::Done, "thawed `manual`\nstill frozen by: `acme`\n")
    );
    let again = gateway.type_in(&["thaw"]);
    assert_eq!(again.exit, Exit::Failed);
    assert_eq!(again.err, "sluicegate: no freeze `manual` is on; on are: `acme`\nName one with --id.\n");
    assert_eq!(gateway.type_in(&["thaw", "--id", "acme"]).out, "thawed `acme`\n");
    let none = gateway.type_in(&["thaw"]);
    assert_eq!(none.err, "sluicegate: no freeze `manual` is on, and no other; writes are let through\n");
}

#[test]
fn waiting_ends_with_the_last_write() {
    let gateway = Gateway::start();
    let quiet = gateway.type_in(&["freeze", "--wait"]);
    assert_eq!(quiet.exit, Exit::Done, "{}{}", quiet.out, quiet.err);
    assert!(
        quiet.out.ends_with("drained: waited for 0 writes; none runs now and none can start\n"),
        "{}",
        quiet.out
    );
    gateway.type_in(&["thaw"]);

    let write = gateway.running_write();
    let busy = gateway.type_in(&["freeze"]);
    assert!(busy.out.contains("\n1 write still in flight, --wait waits for the end; lift"), "{}", busy.out);
    let short = gateway.type_in(&["freeze", "--wait", "50ms"]);
    assert_eq!(short.exit, Exit::NotDrained, "{}{}", short.out, short.err);
    assert!(
        short.out.contains("NOT drained after 50ms: 1 write still in flight; the freeze is on"),
        "{}",
        short.out
    );
    thread::scope(|scope| {
        let waiting = scope.spawn(|| gateway.type_in(&["freeze", "--wait", "30s"]));
        write.answer.send(()).unwrap();
        let drained = waiting.join().unwrap();
        assert_eq!(drained.exit, Exit::Done, "{}{}", drained.out, drained.err);
        assert!(drained.out.contains("drained: waited for 1 write; none runs"), "{}", drained.out);
    });
}

#[test]
fn writes_whose_end_is_unknown_are_counted_and_listed() {
    let gateway = Gateway::start();
    let write = gateway.running_write();
    let before = gateway.type_in(&["freeze"]);
    assert_eq!(before.exit, Exit::Done);
    write.task.abort();
    let ended = gateway.type_in(&["freeze", "--wait", "30s"]);
    assert_eq!(ended.exit, Exit::Unsettled, "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("but the end of 1 write cannot be known"), "{}", ended.out);
    assert!(ended.out.contains("  REQUEST ID"), "{}", ended.out);
    let json = gateway.type_in(&["freeze", "--wait", "30s", "--json"]);
    assert_eq!((json.exit, &json.json()["drain"]["unsettled"]), (Exit::Unsettled, &json!(1)), "{}", json.out);
}

#[test]
fn what_the_gateway_refuses_is_said_in_its_words() {
    let gateway = Gateway::start();
    let typo = gateway.type_in(&["freeze", "--route", "ingset"]);
    assert_eq!(typo.exit, Exit::Failed);
    assert!(
        typo.err.ends_with("the configuration has no route `ingset`; did you mean `ingest`?\n"),
        "{}",
        typo.err
    );
    let id = gateway.type_in(&["freeze", "--id", "a/b c"]);
    assert!(id.exit == Exit::Failed && id.err.contains("is not an id"), "{}", id.err);
    let own = gateway.type_in(&["thaw", "--id", "config"]);
    assert_eq!(own.exit, Exit::Failed, "{}", own.out);
    assert!(!gateway.freezes.status().active);
}

#[test]
fn a_freeze_that_would_not_survive_a_restart_is_an_error_though_it_is_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let gateway = Gateway::keeping(Some(&store.join("freeze.json")));
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::write(&store, "no folder").unwrap();
    let ended = gateway.type_in(&["freeze", "--wait"]);
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::Failed, ""));
    assert!(
        ended
            .err
            .starts_with("sluicegate: the freeze `manual` IS on now, but it would not survive a restart"),
        "{}",
        ended.err
    );
    assert!(gateway.freezes.status().active);
}

#[test]
fn what_cannot_be_meant_is_wrong_usage() {
    for line in [
        &["freeze", "--for", "30"][..],
        &["freeze", "--for", "0s"],
        &["freeze", "--until", "tomorrow"],
        &["freeze", "--for", "1m", "--until", "2030-01-05T03:00:00Z"],
        &["freeze", "--wait", "soon"],
        &["freeze", "now"],
        &["thaw", "manual"],
    ] {
        let error = Cli::try_parse_from([&["sluicegate"], line].concat()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line:?}");
    }
}
