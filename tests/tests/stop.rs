//! Stopping: SIGTERM loses no request of a client that goes by `/readyz`, SIGINT does not
//! wait, and a socket may come from outside.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs::File,
    io::Read,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sluicegate_tests::{
    Client, Folder, Gateway, LIMIT, Raw, Step, Upstream,
    client::get,
    comes_true, config, eventually,
    gateway::binary,
    load::Load,
    tick::within,
    upstream::{Gate, response},
};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Waits until `/readyz` is something else than 200.
async fn until_not_ready(gateway: &Gateway) {
    let end = Instant::now() + LIMIT;
    while gateway.ready().await == 200 {
        assert!(Instant::now() < end, "it stays ready");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_by_readiness_loses_no_request() {
    let upstream = Upstream::start().await;
    let slow = [Step::Read, Step::Pause(Duration::from_millis(20)), Step::Send(response("200 OK", "", "ok"))];
    upstream.on("/load", slow);
    let mut gateway = Gateway::start(&config(&upstream.url(), "shutdown: { drain_delay: 2s, limit: 10s }"));
    comes_true("it is ready", async || gateway.ready().await == 200).await;
    let load = Load::start(gateway.address(), 32, "/load");
    eventually("the load runs", || load.reads() > 200).await;

    gateway.signal(Signal::TERM);
    until_not_ready(&gateway).await;
    // An endpoints controller needs a moment until nobody sends any more; new connections
    // are made all that time.
    let then = load.reads();
    eventually("requests are still served", || load.reads() > then + 100).await;
    let account = load.stop().await;
    assert_eq!(account.failed().len(), 0, "{:?}", account.failed().first());
    assert_eq!(account.closed, 0, "connections closed without a word");
    assert!(account.announced > 0, "answers say Connection: close while it drains");
    assert_eq!(gateway.exit_code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_finished_before_it_ends() {
    let upstream = Upstream::start().await;
    let gate = Gate::default();
    upstream
        .on("/slow", [Step::Read, Step::Wait(gate.clone()), Step::Send(response("200 OK", "", "at last"))]);
    let mut gateway =
        Gateway::start(&config(&upstream.url(), "shutdown: { drain_delay: 100ms, limit: 15s }"));
    let address = gateway.address();
    let mut h1 = Client::h1(address).await;
    let mut h2 = Client::h2c(address).await;
    let one = tokio::spawn(async move { h1.ask(get("/slow")).await });
    let two = tokio::spawn(async move { h2.ask(get("/slow")).await });
    eventually("both run", || upstream.running() == 2).await;
    gateway.signal(Signal::TERM);
    let end = Instant::now() + LIMIT;
    while Raw::try_connect(address).await.is_ok() {
        assert!(Instant::now() < end, "the listener stays open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(gateway.runs());
    gate.open();
    for answer in [one.await.unwrap(), two.await.unwrap()] {
        assert_eq!((answer.status, &answer.body[..]), (200, &b"at last"[..]));
    }
    assert_eq!(gateway.exit_code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_past_the_limit_is_dropped() {
    let upstream = Upstream::start().await;
    upstream.on("/hang", [Step::Read, Step::Hang]);
    let mut gateway =
        Gateway::start(&config(&upstream.url(), "shutdown: { drain_delay: 100ms, limit: 500ms }"));
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send("GET /hang HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    eventually("it runs", || upstream.running() == 1).await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.exit_code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigint_leaves_out_the_delay() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::start(&config(&upstream.url(), "shutdown: { drain_delay: 60s, limit: 5s }"));
    let mut raw = Raw::connect(gateway.address()).await;
    assert_eq!(raw.ask(GET).await.status, 200);
    let start = Instant::now();
    gateway.signal(Signal::INT);
    assert_eq!(gateway.exit_code(), 0);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(raw.rest().await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_does_not_wait() {
    let upstream = Upstream::start().await;
    let gateway_config = config(&upstream.url(), "shutdown: { drain_delay: 60s, limit: 60s }");
    let mut gateway = Gateway::start(&gateway_config);
    gateway.signal(Signal::TERM);
    until_not_ready(&gateway).await;
    gateway.signal(Signal::INT);
    assert_eq!(gateway.exit_code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_clients_are_told_by_goaway() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::start(&config(&upstream.url(), "shutdown: { drain_delay: 3s, limit: 5s }"));
    let mut client = Client::h2c(gateway.address()).await;
    assert_eq!(client.ask(get("/")).await.status, 200);
    gateway.signal(Signal::TERM);
    until_not_ready(&gateway).await;
    // The request in whose answer's wake the GOAWAY comes is served itself.
    if let Ok(answer) = client.send(get("/")).await {
        assert_eq!(answer.status, 200);
    }
    assert!(within(Duration::from_secs(2), || client.is_closed()).await, "no GOAWAY came");
    assert_eq!(Client::h2c(gateway.address()).await.ask(get("/")).await.status, 200, "new ones are served");
    assert_eq!(gateway.exit_code(), 0);
}

/// Holds a listening socket and gives it to the gateway as systemd would.
const LAUNCHER: &str = r"
import os, socket, sys
listener = socket.socket()
listener.bind(('127.0.0.1', int(sys.argv[1])))
listener.listen(128)
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ['LISTEN_FDS'] = '1'
os.environ['LISTEN_PID'] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
";

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_systemd_holds_is_taken_over() {
    let upstream = Upstream::start().await;
    // A port that was free a moment ago: the configuration has to name it.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let yaml = config(&upstream.url(), "").replacen("127.0.0.1:0", &free.to_string(), 1);
    let folder = Folder::default();
    folder.write("gateway.yaml", &yaml);
    let mut command = Command::new("python3");
    command.args(["-c", LAUNCHER, &free.port().to_string()]);
    command.arg(binary()).arg("serve").arg("--config").arg(folder.config());
    // The launcher's socket does not allow a second bind: the gateway serves on it or not at all.
    let mut gateway = Gateway::launch(&mut command, folder, 1, 1);
    assert_eq!(gateway.address(), free);
    assert_eq!(Client::h1(free).await.ask(get("/")).await.status, 200);
    gateway.signal(Signal::INT);
    assert_eq!(gateway.exit_code(), 0);
}

/// Requests whose lines together are much more than a pipe holds.
const MANY: usize = 600;

/// A gateway that has answered [`MANY`] requests, and the end of the pipe that their lines go into:
/// a disk that is as slow as this is read.
async fn logging_into_a_pipe(upstream: &Upstream) -> (Gateway, File) {
    let folder = Folder::default();
    let path = folder.path().join("access.log");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // An end that reads and writes is opened without waiting for another.
    let both = File::options().read(true).write(true).open(&path).unwrap();
    let gateway = folder.start(&config(&upstream.url(), "access_log: { path: access.log }"));
    let lines = File::open(&path).unwrap();
    drop(both);
    let mut client = Client::h1(gateway.address()).await;
    for _ in 0..MANY {
        assert_eq!(client.ask(get(&format!("/{}", "x".repeat(4000)))).await.status, 200);
    }
    (gateway, lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_the_access_log_that_still_wait_are_written_before_it_ends() {
    let upstream = Upstream::start().await;
    let (mut gateway, mut lines) = logging_into_a_pipe(&upstream).await;
    let admin = gateway.admin_address();
    gateway.signal(Signal::INT);
    comes_true("all but the log is closed", async || Raw::try_connect(admin).await.is_err()).await;
    let read = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        lines.read_to_string(&mut text).map(|_| text)
    });
    let text = read.await.unwrap().unwrap();
    assert_eq!(text.lines().filter(|line| line.ends_with('}')).count(), MANY);
    assert_eq!(gateway.exit_code(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_no_lines_does_not_hold_it_up_and_is_told_of() {
    let upstream = Upstream::start().await;
    let (mut gateway, _lines) = logging_into_a_pipe(&upstream).await;
    let begin = Instant::now();
    gateway.signal(Signal::INT);
    assert_eq!(gateway.exit_code(), 0);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    let told = |line: &String| line.contains("the access log could not be written out");
    eventually("it says what is lost", || gateway.log().iter().any(told)).await;
}
