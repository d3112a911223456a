//! The demo as its user has it: the program is started, and each command that it prints is
//! run as it stands.
//!
//! Commands of the program and of `sed` go to a shell. Those of `curl` are read here, option
//! by option, and sent over a socket, so that the tests need no curl; an option that is not
//! known here fails the test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(60);
const PROGRAM: &str = env!("CARGO_BIN_EXE_sluicegate");

/// A running demo, killed when dropped.
struct Demo {
    child: Child,
    out: Option<BufReader<ChildStdout>>,
    commands: Vec<String>,
    config: PathBuf,
}

impl Demo {
    fn start(options: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .arg("demo")
            .args(options)
            // Those of the test run would change what is printed.
            .env_remove("CARGO")
            .env_remove("SLUICEGATE_ADMIN")
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (mut commands, mut config) = (Vec::new(), None);
        loop {
            let mut line = String::new();
            assert!(out.read_line(&mut line).unwrap() > 0, "the tour has no end: {commands:#?}");
            let line = line.trim_end();
            if line.starts_with("Ctrl-C") {
                break;
            }
            config = config.or_else(|| Some(PathBuf::from(line.strip_prefix("  configuration  ")?)));
            if ["curl ", "sed ", PROGRAM].iter().any(|start| line.starts_with(start)) {
                commands.push(line.to_owned());
            }
        }
        Self { child, out: Some(out), commands, config: config.expect("the configuration is named") }
    }

    /// The next command of the tour, which must begin like this.
    fn next(&mut self, start: &str) -> String {
        let command = self.commands.remove(0);
        let start = start.replace("PROGRAM", PROGRAM);
        assert!(command.starts_with(&start), "{command:?} does not start with {start:?}");
        command
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the demo does not stop");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Nothing is left to do where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command printed, all of it on standard output, after it ended well.
fn run(command: &str) -> String {
    match command.split_once(" | ") {
        Some((curl, filter)) if curl.starts_with("curl ") => shell(filter, Some(curl_to_file(curl))),
        None if command.starts_with("curl ") => curl(command),
        _ => shell(command, None),
    }
}

/// Runs a command again until it prints this.
fn run_until(command: &str, wanted: &str) -> String {
    let end = Instant::now() + LIMIT;
    loop {
        let printed = run(command);
        if printed.contains(wanted) {
            return printed;
        }
        assert!(Instant::now() < end, "{command} does not come to print {wanted:?}:\n{printed}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn shell(command: &str, input: Option<std::fs::File>) -> String {
    let done = Command::new("sh")
        .args(["-c", command])
        .env_remove("SLUICEGATE_ADMIN")
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .output()
        .unwrap();
    let printed = String::from_utf8(done.stdout).unwrap();
    let errors = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{command}: {}\n{printed}\n{errors}", done.status);
    assert!(errors.is_empty(), "{command}: {errors}");
    printed
}

fn curl_to_file(command: &str) -> std::fs::File {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(curl(command).as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

/// Sends what curl would send, and returns what it would print.
fn curl(command: &str) -> String {
    let mut words = words(command).into_iter().skip(1);
    let (mut method, mut url, mut body, mut headers, mut head) = (None, None, None, Vec::new(), false);
    let mut status_alone = false;
    while let Some(word) = words.next() {
        let mut value = || words.next().expect("an option has its value");
        match word.as_str() {
            "-s" | "-sN" => {}
            "-sw" => assert_eq!(value(), r"\n"),
            "-siw" => {
                assert_eq!(value(), r"\n");
                head = true;
            }
            "-o" => assert_eq!(value(), "/dev/null"),
            "-w" => {
                assert_eq!(value(), r"%{http_code}\n");
                status_alone = true;
            }
            "-X" => method = Some(value()),
            "-H" => headers.push(value()),
            "-d" => body = Some(value()),
            _ if word.starts_with('-') => panic!("curl's option {word} is not known to this test"),
            _ => assert!(url.replace(word).is_none(), "two addresses in {command}"),
        }
    }
    let usual = if body.is_some() { "POST" } else { "GET" };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(LIMIT))
        .build()
        .into();
    let mut printed = String::new();
    for url in globbed(&url.expect("an address")) {
        let mut request = http::Request::builder().method(method.as_deref().unwrap_or(usual)).uri(url);
        for header in &headers {
            let (name, value) = header.split_once(": ").expect("a header has a value");
            request = request.header(name, value);
        }
        let mut answer = agent.run(request.body(body.clone().unwrap_or_default()).unwrap()).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        if status_alone {
            printed += &[answer.status().as_str(), "\n"].concat();
            continue;
        }
        if head {
            printed += &["HTTP/1.1 ", &answer.status().to_string(), "\n"].concat();
            for (name, value) in answer.headers() {
                printed += &[name.as_str(), ": ", value.to_str().unwrap(), "\n"].concat();
            }
        }
        printed += &text;
        printed.push('\n');
    }
    printed
}

/// The addresses that curl makes of one with `[1-n]` in it.
fn globbed(url: &str) -> Vec<String> {
    let Some((before, range)) = url.split_once("[1-") else { return vec![url.to_owned()] };
    let (last, after) = range.split_once(']').expect("a range ends");
    (1..=last.parse::<u32>().unwrap()).map(|number| format!("{before}{number}{after}")).collect()
}

/// The words of a command as a shell reads them, as far as the tour needs it.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for c in command.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().expect("it starts with one").push(c),
        }
    }
    words
}

#[test]
fn each_command_of_the_tour_does_what_it_says() {
    let mut demo = Demo::start(&[]);
    assert!(run(&demo.next("curl")).contains(r#""hits":[{"id":"#));
    let answer = run(&demo.next("curl -sN"));
    assert!(answer.contains("event: token\n") && answer.contains("event: done\n"), "{answer}");
    let codes = run(&demo.next("curl -s -H 'x-tenant-id: trial'"));
    assert!(codes.contains(" 200\n") && codes.contains(" 429\n"), "{codes}");
    let paced = run(&demo.next("curl -siw")).to_lowercase();
    for told in ["\nretry-after: 1", "\nratelimit: \"tenant\";r=0;t=1", r#""code":"rate_limited""#] {
        assert!(paced.contains(told), "{paced}");
    }
    let upserted = run(&demo.next("curl -sw"));
    assert!(upserted.contains(r#""result":"created""#), "{upserted}");

    let first = run(&demo.next("curl -sw"));
    let again = run(&demo.next("curl -siw")).to_lowercase();
    assert!(
        again.contains("\nidempotency-replayed: true") && again.contains(first.trim()),
        "{first} {again}"
    );

    let frozen = run(&demo.next("PROGRAM freeze --for 2m --reason"));
    assert!(frozen.starts_with("frozen `manual`: ") && frozen.contains("\ndrained: "), "{frozen}");
    let refused = run(&demo.next("curl -siw")).to_lowercase();
    assert!(refused.starts_with("http/1.1 503 "), "{refused}");
    assert!(refused.contains("\nretry-after: 1") && refused.contains(r#""code":"read_only""#), "{refused}");
    let kept = run(&demo.next("curl -sw"));
    assert!(kept.contains(r#""state":"queued""#), "{kept}");
    let read = run(&demo.next("curl -siw")).to_lowercase();
    assert!(read.starts_with("http/1.1 200 ") && read.contains("\nsluicegate-freeze: id=manual;"), "{read}");
    let status = run(&demo.next("PROGRAM status"));
    assert!(status.contains("manual") && status.contains("index rebuild"), "{status}");
    assert!(run(&demo.next("PROGRAM thaw")).starts_with("thawed `manual`"));
    run_until(&demo.next("PROGRAM intents list"), "applied");
    let applied = run(&demo.next("curl -sw"));
    assert!(applied.contains(r#""id":"hello""#), "{applied}");

    // It says with its exit code that too few pairs are there to tell.
    let report =
        run_until(&format!("{} || test $? = 7", demo.next("PROGRAM shadow report")), "A/B  own and shadow");
    assert!(report.starts_with("retrieve -> next: ") && report.contains("\n  answered "), "{report}");
    let pairs = run(&demo.next("PROGRAM shadow pairs"));
    assert!(pairs.contains("none is kept") || pairs.contains("POST /v1/retrieve"), "{pairs}");

    assert!(run(&demo.next("PROGRAM rollout weight")).contains("50% of keys"));
    let (ann, cem) = (run(&demo.next("curl -siw")), run(&demo.next("curl -siw")));
    assert!(ann.contains("MODEL_VER=m-1") && cem.contains("MODEL_VER=m-2"), "{ann}\n{cem}");
    let unmet = run(&demo.next("curl -sw"));
    assert!(unmet.contains(r#""code":"pin_mismatch""#) && unmet.contains(r#""got":"m-9""#), "{unmet}");
    assert!(run(&demo.next("PROGRAM rollout abort")).contains("nothing reaches next"));
    assert!(run(&demo.next("PROGRAM rollout history")).contains("wrong citations"));

    run(&demo.next("sed"));
    run_until(&demo.next("curl"), r#""MODEL_VER":"m-2""#);
    run(&demo.next("sed"));
    let refused = run_until(&demo.next("PROGRAM status"), "REFUSED");
    assert!(refused.contains("gateway.yaml:") && refused.contains("did you mean `freeze`?"), "{refused}");
    run(&demo.next("sed"));
    let counted = run_until(&demo.next("curl"), "sluicegate_config_generation 3");
    assert!(counted.contains("sluicegate_freeze_blocked_writes_total{"), "{counted}");
    assert_eq!(demo.commands, [""; 0], "a command that this test does not try");

    let folder = demo.config.parent().unwrap().to_owned();
    assert!(folder.is_dir());
    demo.signal("TERM");
    assert_eq!(demo.wait().code(), Some(0));
    assert!(!folder.exists(), "{} is left behind", folder.display());
}

#[test]
fn traffic_is_told_line_by_line_and_ends_with_a_summary() {
    let mut demo = Demo::start(&["--traffic"]);
    let mut out = demo.out.take().unwrap();
    // One each second; the gateway may need a moment on a machine that is busy.
    let lines = out.by_ref().lines().take(60).map(Result::unwrap);
    let line = { lines }.find(|line| line.starts_with("reads ") && !line.starts_with("reads 0/s"));
    let line = line.expect("no read was answered");
    assert!(line.contains("  errors 0  p50 ") && line.ends_with("  writes let through"), "{line}");
    demo.signal("INT");
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(rest.trim_end().ends_with(", 0 errors"), "{rest}");
    assert_eq!(demo.wait().code(), Some(0));
}

#[test]
fn a_closed_standard_output_ends_nothing() {
    let mut demo = Demo::start(&["--traffic"]);
    // Closed under the live line, which is written each second.
    demo.out = None;
    let metrics = demo.commands.pop().unwrap();
    let url = words(&metrics)[2].clone();
    let asked = || {
        let text = curl(&format!("curl -s {url}"));
        let counts = text.lines().filter(|line| line.starts_with("rag_request_count_total{"));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum::<u64>()
    };
    let (first, end) = (asked(), Instant::now() + LIMIT);
    // More than two lines' worth of requests.
    while asked() < first + 120 {
        assert!(Instant::now() < end && demo.child.try_wait().unwrap().is_none(), "it stands still");
        thread::sleep(Duration::from_millis(50));
    }
    demo.signal("TERM");
    assert_eq!(demo.wait().code(), Some(0));
}
