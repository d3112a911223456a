//! Where fences are kept: what outlives a gateway, and what is no store.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use sluicegate_tests::{Fenced, Folder, Gate, Gateway, Step, Upstream, comes_true, eventually, raw::Raw};

use crate::{answers, assert_refused, replayed, request, start, write};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_is_replayed_after_a_kill() {
    let (upstream, mut gateway) = start(&Fenced::embedded()).await;
    upstream.on("/", answers("201 Created", "X-Made: here\r\n", "made"));
    for round in 0..3 {
        let key = format!("k{round}");
        assert!(!replayed(&write(&gateway, "/", &key, "{}").await));
        // At once: nothing has been synced.
        gateway = gateway.kill_and_restart();
        for key in (0..=round).map(|round| format!("k{round}")) {
            let answer = write(&gateway, "/", &key, "{}").await;
            assert_eq!(
                (answer.status, answer.text().as_str(), replayed(&answer)),
                (201, "made", true),
                "{key}"
            );
            assert_eq!(answer.fields.get("x-made"), Some("here"));
        }
    }
    assert_eq!(upstream.count("/"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_when_the_gateway_was_killed_is_unknown() {
    let (upstream, gateway) = start(&Fenced::embedded()).await;
    upstream.on("/", [Step::Read, Step::Hang]);
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(request("/", "Idempotency-Key: k\r\n", "{}")).await;
    eventually("it runs", || upstream.running() == 1).await;
    let gateway = gateway.kill_and_restart();
    upstream.on("/", answers("200 OK", "", "ok"));
    assert_refused(&write(&gateway, "/", "k", "{}").await, 409, "idempotency_outcome_unknown");
    assert_refused(&write(&gateway, "/", "k", "{\"a\":1}").await, 422, "idempotency_conflict");
    let gateway = gateway.kill_and_restart();
    assert_refused(&write(&gateway, "/", "k", "{}").await, 409, "idempotency_outcome_unknown");
    assert_eq!(upstream.count("/"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_good_order_finishes_what_its_client_has_left() {
    let fenced =
        Fenced { extra: "shutdown: { drain_delay: 0s, limit: 20s }".to_owned(), ..Fenced::embedded() };
    let (upstream, mut gateway) = start(&fenced).await;
    let gate = Gate::default();
    let made = sluicegate_tests::upstream::response("201 Created", "", "made");
    upstream.on("/", [Step::Read, Step::Wait(gate.clone()), Step::Send(made)]);
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(request("/", "Idempotency-Key: k\r\n", "{}")).await;
    eventually("it runs", || upstream.running() == 1).await;
    raw.reset();
    gateway.signal(Signal::TERM);
    assert!(!sluicegate_tests::tick::within(std::time::Duration::from_millis(300), || !gateway.runs()).await);
    gate.open();
    assert_eq!(gateway.exit_code(), 0);
    let gateway = gateway.kill_and_restart();
    let answer = write(&gateway, "/", "k", "{}").await;
    assert_eq!((answer.status, replayed(&answer), upstream.count("/")), (201, true, 1), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_counts_a_key_as_soon_as_its_write_is_answered() {
    for store in ["memory: {}", "embedded: { path: data }", "embedded: { path: data, sync: always }"] {
        let fenced = Fenced { store: store.to_owned(), ..Fenced::default() };
        let (_upstream, gateway) = start(&fenced).await;
        for key in 1..=3 {
            write(&gateway, "/", &format!("k{key}"), "{}").await;
            let status = gateway.admin_get("/status").await;
            assert_eq!(status["fences"]["keys"], key, "{store}: {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_cannot_share_a_folder() {
    let (upstream, first) = start(&Fenced::embedded()).await;
    assert_eq!(write(&first, "/", "k", "{}").await.status, 200);
    let data = first.folder().path().join("data");
    let store = format!("embedded: {{ path: \"{}\" }}", data.display());
    let second = Fenced { store, ..Fenced::default() }.document(&upstream.url());
    let output = Folder::default().refused(&second);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains(data.to_str().unwrap()), "{output:?}");
    assert!(replayed(&write(&first, "/", "k", "{}").await), "the first one is not disturbed");
}

/// Every file below `folder` with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

/// A folder in which a gateway has kept keys and then stopped; its configuration, and where
/// its store is.
async fn kept(upstream: &Upstream) -> (Folder, String, PathBuf) {
    let document = Fenced::embedded().document(&upstream.url());
    let gateway = Gateway::start(&document);
    for number in 0..200 {
        assert_eq!(write(&gateway, "/", &format!("k{number}"), "{}").await.status, 200);
    }
    let folder = Folder::default();
    let data = folder.path().join("data");
    let from = gateway.folder().path().join("data");
    let mut gateway = gateway;
    gateway.kill();
    for (path, bytes) in files(&from) {
        folder.write(Path::new("data").join(path.strip_prefix(&from).unwrap()).to_str().unwrap(), bytes);
    }
    (folder, document, data)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_store_is_a_store() {
    let upstream = Upstream::start().await;
    let (folder, document, _) = kept(&upstream).await;
    let gateway = folder.start(&document);
    assert!(replayed(&write(&gateway, "/", "k17", "{}").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_damaged_is_refused_and_left_alone() {
    let upstream = Upstream::start().await;
    let (folder, document, data) = kept(&upstream).await;
    let whole = files(&data);
    assert!(whole.values().any(|bytes| !bytes.is_empty()), "nothing was kept in {data:?}");
    // All of it, so that no part can be taken for the tail of a write that was cut off.
    for (path, bytes) in &whole {
        fs::write(path, bytes.iter().map(|byte| byte ^ 0xa5).collect::<Vec<_>>()).unwrap();
    }
    let damaged = files(&data);
    let output = folder.refused(&document);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains(data.to_str().unwrap()), "{output:?}");
    assert!(!output.stderr.contains("panicked"), "{output:?}");
    let after = files(&data);
    for (path, bytes) in &damaged {
        assert_eq!(after.get(path), Some(bytes), "{} was changed", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_something_else_is_refused_and_left_alone() {
    let upstream = Upstream::start().await;
    let (folder, document, data) = kept(&upstream).await;
    for path in files(&data).into_keys() {
        fs::write(path, "This belongs to somebody else.\n".repeat(1000)).unwrap();
    }
    let foreign = files(&data);
    let output = folder.refused(&document);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains(data.to_str().unwrap()), "{output:?}");
    let after = files(&data);
    for (path, bytes) in &foreign {
        assert_eq!(after.get(path), Some(bytes), "{} was changed", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_written_is_refused() {
    let upstream = Upstream::start().await;
    let folder = Folder::default();
    folder.write("data", "a file where the folder should be");
    let output = folder.refused(&Fenced::embedded().document(&upstream.url()));
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains(folder.path().join("data").to_str().unwrap()), "{output:?}");
}

/// A gateway whose files can be kept from growing while it runs, as on a disk that is full.
fn start_bounded(document: &str) -> Gateway {
    let folder = Folder::default();
    folder.write("gateway.yaml", document);
    // Without the signal the write itself fails, as it does on a full disk.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(sluicegate_tests::gateway::binary());
    command.args(["serve", "--config"]).arg(folder.config()).current_dir("/");
    Gateway::launch(&mut command, folder, 1, 1)
}

fn bound_files(gateway: &Gateway, most: Option<u64>) {
    let id = Pid::from_raw(i32::try_from(gateway.id()).unwrap());
    prlimit(id, Resource::Fsize, Rlimit { current: most, maximum: None }).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_closes_keyed_writes_until_there_is_room() {
    let upstream = Upstream::start().await;
    let gateway = start_bounded(&Fenced::embedded().queueing(4).document(&upstream.url()));
    assert!(!replayed(&write(&gateway, "/", "old", "{}").await));
    bound_files(&gateway, Some(0));
    // What fits into a buffer of the engine may still be taken; then it is over.
    let mut taken = 0;
    let full = async || {
        let answer = write(&gateway, "/", &format!("k{taken}"), "{}").await;
        taken += usize::from(answer.status == 200);
        answer.status == 503
    };
    comes_true("there is no room", full).await;
    let sent = upstream.seen().len();
    for _ in 0..3 {
        let answer = write(&gateway, "/", "new", "{}").await;
        assert_refused(&answer, 503, "store_unavailable");
        assert!(answer.fields.get("retry-after").is_some(), "{answer:?}");
    }
    assert_eq!(upstream.seen().len(), sent, "nothing goes out without its fence");
    let readiness = gateway.readiness().await;
    let said = String::from_utf8_lossy(&readiness.body).into_owned();
    assert!(readiness.status == 200 && said.contains("embedded"), "{readiness:?} {said}");
    let read = Raw::connect(gateway.address()).await.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(read.status, 200);

    bound_files(&gateway, None);
    let room = async || write(&gateway, "/", "new", "{}").await.status == 200;
    comes_true("keyed writes pass again", room).await;
    assert!(replayed(&write(&gateway, "/", "new", "{}").await));
    assert!(replayed(&write(&gateway, "/", "old", "{}").await));
    // What was sealed meanwhile is there after a kill, too.
    let gateway = gateway.kill_and_restart();
    for key in ["old", "new"] {
        assert!(replayed(&write(&gateway, "/", key, "{}").await), "{key}");
    }
}
