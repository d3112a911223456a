//! The command line as a process of its own: what it writes into pipes, and when it ends.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sluicegate_tests::{Folder, Gateway, Upstream, gateway};

const DOCUMENT: &str = r#"
listen: [{ address: "127.0.0.1:0" }]
admin: { address: "127.0.0.1:0" }
store: { memory: {} }
upstreams: { main: { endpoints: ["UPSTREAM"] }, lab: { endpoints: ["UPSTREAM"] } }
rollouts: { model: { active: main, candidate: lab } }
routes: [{ name: all, match: { path: "/{*rest}" }, upstream: { rollout: model } }]
"#;

async fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let gateway = Folder::default().start(&DOCUMENT.replace("UPSTREAM", &upstream.url()));
    (upstream, gateway)
}

fn typed(gateway: &Gateway, line: &[&str], colours: &[(&str, &str)]) -> Command {
    // As at a terminal: who runs the tests in the background has them ignore interrupts, and what they
    // start would inherit that.
    let mut command = Command::new("env");
    command.arg("--default-signal=INT").arg(gateway::binary()).args(line);
    command.env("SLUICEGATE_ADMIN", format!("http://{}", gateway.admin_address()));
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").envs(colours.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn printed(gateway: &Gateway, line: &[&str], colours: &[(&str, &str)]) -> String {
    let ran = typed(gateway, line, colours).output().unwrap();
    assert!(ran.status.success(), "{line:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_people_and_never_for_programs() {
    let (_upstream, gateway) = start().await;
    gateway.freeze("manual", &json!({ "reason": "the index is DOWN" })).await;
    let (forced, refused) = (("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1"));
    for (colours, painted) in [(&[][..], false), (&[forced], true), (&[refused], false)] {
        let status = printed(&gateway, &["status"], colours);
        assert_eq!(status.contains("\u{1b}[1;31mDOWN\u{1b}[0m"), painted, "{colours:?}: {status}");
        assert_eq!(status.contains('\u{1b}'), painted, "{colours:?}: {status}");
    }
    let status = printed(&gateway, &["status", "--json"], &[forced]);
    let status: Value = serde_json::from_str(&status).unwrap_or_else(|_| panic!("no JSON: {status}"));
    assert_eq!(status["freeze"]["freezes"][0]["reason"], "the index is DOWN");
    for line in [&["schema"][..], &["completions", "zsh"], &["completions", "bash"]] {
        assert_eq!(printed(&gateway, line, &[forced]), printed(&gateway, line, &[]), "{line:?}");
    }
}

/// Waits for the end of what watches; panics where it goes on.
fn ends(mut watching: Child, why: &str) -> std::process::ExitStatus {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(30) {
        if let Some(status) = watching.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = watching.kill();
    let _ = watching.wait();
    panic!("it goes on: {why}");
}

const WATCHED: [&[&str]; 5] = [
    &["status", "--watch"],
    &["status", "--watch", "--json"],
    &["rollout", "status", "model", "--watch"],
    &["rollout", "status", "model", "--watch", "--json"],
    &["intents", "status", "--watch"],
];

#[tokio::test(flavor = "multi_thread")]
async fn what_watches_ends_with_its_reader_and_with_an_interrupt() {
    let (_upstream, gateway) = start().await;
    for line in WATCHED {
        let mut watching = typed(&gateway, line, &[]).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(watching.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(!first.contains('\u{1b}'), "nothing is drawn into a pipe: {first:?}");
        // Nothing changes any more, so nothing may have to be written.
        let status = ends(watching, &format!("{line:?} with nobody who reads"));
        assert_eq!(status.code(), Some(1), "{line:?}");

        let mut watching = typed(&gateway, line, &[]).spawn().unwrap();
        let mut out = BufReader::new(watching.stdout.take().unwrap());
        out.read_line(&mut first).unwrap();
        kill_process(Pid::from_child(&watching), Signal::INT).unwrap();
        assert_eq!(ends(watching, &format!("{line:?} interrupted")).code(), None, "{line:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_is_waited_for_draws_nothing_into_a_pipe() {
    let (_upstream, gateway) = start().await;
    let ran = typed(&gateway, &["freeze", "--wait", "5s"], &[("CLICOLOR_FORCE", "1")]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert_eq!((ran.status.code(), &*err), (Some(0), ""), "{out}");
    assert_eq!(out.lines().count(), 4, "what it did, and how the drain went: {out}");
    assert!(out.ends_with("drained: waited for 0 writes; none runs now and none can start\n"), "{out}");
}
