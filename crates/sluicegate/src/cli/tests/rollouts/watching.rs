use std::{
    io::{self, Write},
    net::TcpListener,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use clap::Parser;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::answers_once;
use crate::cli::{Cli, Command, Exit, Streams, run, tests::Gateway};

/// Gives on what is written, and breaks when it was told to.
struct Pipe {
    to: mpsc::Sender<String>,
    broken: Arc<Mutex<bool>>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if *self.broken.lock() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.to.send(String::from_utf8_lossy(bytes).into_owned()).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `rollout status embed --watch` writes, until its reader goes.
fn watched(gateway: &Gateway, more: &[&str], terminal: bool, with: impl FnOnce(&dyn Fn(&str) -> String)) {
    let admin = format!("http://{}", gateway.address);
    let line = ["sluicegate", "rollout", "status", "embed", "--watch", "--admin", &admin];
    let cli = Cli::try_parse_from([&line[..], more].concat()).unwrap();
    let Command::Client(command) = cli.command else { panic!("no client's") };
    let (to, from) = mpsc::channel();
    let broken = Arc::new(Mutex::new(false));
    let mut out = Pipe { to, broken: broken.clone() };
    let watching = thread::spawn(move || {
        let mut err = Vec::new();
        let exit = run(&command, None, &mut Streams { out: &mut out, err: &mut err, terminal });
        (exit, String::from_utf8(err).unwrap())
    });
    // Everything up to and with a text.
    let until = |text: &str| {
        let mut seen = String::new();
        while !seen.contains(text) {
            seen +=
                &from.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("{text} in {seen}"));
        }
        seen
    };
    with(&until);
    *broken.lock() = true;
    gateway.type_in(&["rollout", "weight", "embed", "77"]);
    assert_eq!(
        watching.join().unwrap(),
        (Exit::Failed, String::new()),
        "a reader that goes is no error worth a word"
    );
}

#[test]
fn watching_prints_a_line_for_each_change() {
    let gateway = Gateway::start();
    watched(&gateway, &[], false, |until| {
        let first = until("\n");
        assert!(first.ends_with("Z  embed (stable -> next): idle  0%\n"), "{first}");
        gateway.type_in(&["rollout", "start", "embed"]);
        let started = until("step 1 of 3  5%");
        // The numbers of the step are told anew each second, and make no line of their own.
        let elapsed = || {
            gateway.type_in(&["rollout", "status", "embed", "--json"]).json()["progress"]["elapsed_ms"]
                .as_u64()
        };
        while elapsed().is_none_or(|elapsed| elapsed < 2500) {}
        gateway.type_in(&["rollout", "hold", "embed"]);
        let held = until("HELD at step 1 of 3  5%");
        assert!((started + &held).lines().count() <= 3, "{held}");
    });
    watched(&gateway, &["--json"], false, |until| {
        let line = until("\n");
        let status: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&status["name"], line.lines().count()), (&json!("embed"), 1));
    });
}

#[test]
fn on_a_terminal_the_screen_is_drawn_over_itself() {
    let gateway = Gateway::start();
    watched(&gateway, &[], true, |until| {
        let first = until("\u{1b}[?7h");
        assert!(first.starts_with("\u{1b}[?7lembed (stable -> next): idle  0%\n"), "{first}");
        let lines = first.lines().count() - 1;
        gateway.type_in(&["rollout", "weight", "embed", "10"]);
        let second = until("by hand  10%");
        assert!(second.contains(&format!("\u{1b}[{lines}A\r\u{1b}[J\u{1b}[?7lembed ")), "{second:?}");
    });
}

#[test]
fn a_gateway_that_is_away_for_a_while_is_waited_for() {
    let gateway = Gateway::start();
    let address = gateway.address;
    let admin = format!("http://{address}");
    let line = ["sluicegate", "rollout", "status", "embed", "--watch", "--admin", &admin];
    let Command::Client(command) = Cli::try_parse_from(line).unwrap().command else { panic!("no client's") };
    let (to, from) = mpsc::channel();
    let pipe = || Pipe { to: to.clone(), broken: Arc::default() };
    let (mut out, mut err) = (pipe(), pipe());
    let watching = thread::spawn(move || {
        run(&command, None, &mut Streams { out: &mut out, err: &mut err, terminal: false })
    });
    let until = |text: &str| {
        let mut seen = String::new();
        while !seen.contains(text) {
            seen +=
                &from.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("{text} in {seen}"));
        }
    };
    until("idle");
    drop(gateway);
    until("the gateway does not answer; trying on\n");
    // It comes back with another document.
    let back = TcpListener::bind(address).unwrap();
    let server = answers_once(back, 200, &json!({ "version": 1, "rollouts": [] }));
    until("there is no rollout `embed`; there is none");
    server.join().unwrap();
    assert_eq!(watching.join().unwrap(), Exit::Failed);
}
