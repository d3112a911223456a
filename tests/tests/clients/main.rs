//! The products' own clients through the gateway, frozen and not: what goes on, what is refused, and
//! what each client makes of a refusal (docs/clients.md).
//!
//! Clients and servers come from `PyPI` in fixed versions; the scripts beside this file use them as
//! their manuals show.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sluicegate_test_servers::{Process, PythonPackages, free_port};
use sluicegate_tests::{Gateway, Upstream, comes_true, config_where, upstream::response};
use tempfile::TempDir;
use tokio::{net::TcpStream, task::spawn_blocking};

const CHROMA: PythonPackages = PythonPackages { name: "chroma-1.5.9", packages: &["chromadb==1.5.9"] };
const MCP: PythonPackages = PythonPackages { name: "mcp-2.3.0", packages: &["mcp==2.3.0"] };
const OPENAI: PythonPackages = PythonPackages { name: "openai-3.54.0", packages: &["openai==3.54.0"] };

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients/scripts").join(name)
}

/// Installs what is missing, which takes a while once.
async fn program(packages: PythonPackages, name: &'static str) -> PathBuf {
    spawn_blocking(move || packages.program(name)).await.unwrap().unwrap_or_else(|error| panic!("{error}"))
}

/// What a script told of each step.
type Told = BTreeMap<String, Value>;

/// A script that has loaded what it needs and waits for its word to begin: what a freeze lasts is not
/// used up by that.
struct Ready {
    name: String,
    child: Child,
}

impl Ready {
    async fn start(python: PathBuf, name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(python);
        command.arg(script(name)).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = format!("{name} {arguments:?}");
        let load = move || {
            let mut child = command.spawn().unwrap();
            let mut line = String::new();
            // Nothing comes after the line before the word, so that nothing is lost with the reader.
            BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            (child, line)
        };
        let (child, line) = spawn_blocking(load).await.unwrap();
        let ready = Self { name, child };
        if line.trim() != "ready" {
            let (name, output) = ready.go().await;
            panic!("{name} did not begin: {line}{}", String::from_utf8_lossy(&output.stderr));
        }
        ready
    }

    /// Lets it go on to its end.
    async fn go(mut self) -> (String, Output) {
        // Where it has ended already there is nobody to read the word.
        let _ = self.child.stdin.as_mut().unwrap().write_all(b"go\n");
        let output = spawn_blocking(|| self.child.wait_with_output()).await.unwrap().unwrap();
        (self.name, output)
    }

    /// What it tells until its end.
    async fn told(self) -> Told {
        let (name, output) = self.go().await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {text}{complaint}");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|told| (told["step"].as_str().unwrap().to_owned(), told))
            .inspect(|told| println!("{}", told.1))
            .collect()
    }
}

/// Runs a script to its end.
async fn run(python: PathBuf, name: &str, arguments: &[&str]) -> Told {
    Ready::start(python, name, arguments).await.told().await
}

/// A server on a port of its own.
struct Served {
    process: Process,
    folder: TempDir,
    port: u16,
}

/// How long a server may take to listen: three load Python side by side, on whatever runs the tests.
const COMES_UP: Duration = Duration::from_secs(120);

impl Served {
    async fn start(make: impl FnOnce(&TempDir, u16) -> Command) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port().unwrap());
        let log = File::create(folder.path().join("log")).unwrap();
        let process = Process::spawn(&mut make(&folder, port), log).unwrap();
        let mut served = Self { process, folder, port };
        let end = Instant::now() + COMES_UP;
        while served.process.runs() && Instant::now() < end {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return served;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(served.folder.path().join("log")).unwrap_or_default();
        let how = if served.process.runs() { "does not listen" } else { "has ended" };
        panic!("the server {how}: {log}");
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn gateway(url: &str, route: &str) -> Gateway {
    Gateway::start(&config_where(url, route, "freeze: { retry_after: { default: 1s, spread: 0s } }"))
}

/// How many writes the freeze has refused.
async fn refusals(gateway: &Gateway) -> u64 {
    gateway.count("sluicegate_refusals_total", "code=\"read_only\"").await
}

/// What every step came to: that it went well, or an error, be it raised or a result.
fn outcomes(told: &Told) -> Vec<(&str, &str)> {
    let failed = |told: &Value| told["error"].is_string() || told["is_error"] == true;
    let of = |told: &'_ Value| if failed(told) { "refused" } else { "ok" };
    told.iter().map(|(step, told)| (step.as_str(), of(told))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn chroma_by_its_own_client() {
    let (chroma, python) = (program(CHROMA, "chroma").await, program(CHROMA, "python").await);
    let served = Served::start(|folder, port| {
        let mut command = Command::new(chroma);
        command
            .args(["run", "--host", "127.0.0.1", "--port", &port.to_string(), "--path"])
            .arg(folder.path().join("data"));
        command
    })
    .await;
    let gateway = gateway(&served.url(), "preset: chroma");
    let port = gateway.address().port().to_string();
    let ask = async |steps: &[&str], name: &str| {
        let arguments = [&["127.0.0.1", &port], steps, &[name]].concat();
        run(python.clone(), "chroma_client.py", &arguments).await
    };
    let told = ask(&["create", "add", "query", "get", "count"], "documents").await;
    assert!(outcomes(&told).iter().all(|(_, outcome)| *outcome == "ok"), "{told:?}");

    let before = refusals(&gateway).await;
    gateway.freeze("reindex", &json!({ "reason": "rebuilding the index" })).await;
    let (reads, writes) = (
        ["count", "get", "list", "peek", "query"],
        ["add", "create", "delete", "drop", "get_or_create", "update", "upsert"],
    );
    let told = ask(&[&reads[..], &writes].concat(), "more").await;
    for step in reads {
        assert!(told[step]["error"].is_null(), "{step} goes on: {}", told[step]);
    }
    assert_eq!((&told["count"]["ok"], &told["get"]["ok"]), (&json!(2), &json!(["one"])));
    for step in writes {
        let message = told[step]["message"].as_str().unwrap_or_default();
        assert!(message.contains("\"read_only\""), "{step}: {}", told[step]);
    }
    assert_eq!(refusals(&gateway).await - before, writes.len() as u64, "each was tried once");
    gateway.thaw("reindex").await;
    let before = refusals(&gateway).await;
    gateway.freeze("window", &json!({ "for": "10m" })).await;
    let told = ask(&["add", "count"], "more").await;
    assert_eq!(outcomes(&told), [("add", "refused"), ("count", "ok")]);
    let message = told["add"]["message"].as_str().unwrap();
    assert!(message.contains("\"read_only\"") && message.contains("\"status\":503"), "{}", told["add"]);
    assert_eq!(refusals(&gateway).await - before, 1, "it was tried once");
    gateway.thaw("window").await;
    let told = ask(&["upsert", "update", "delete", "get_or_create", "create", "count"], "more").await;
    assert!(outcomes(&told).iter().all(|(_, outcome)| *outcome == "ok"), "{told:?}");
    assert_eq!(told["count"]["ok"], 1, "nothing was lost, and what was refused was not done");
}

#[tokio::test(flavor = "multi_thread")]
async fn mcp_by_its_own_client() {
    let python = program(MCP, "python").await;
    let served = Served::start(|_, port| {
        let mut command = Command::new(&python);
        command.arg(script("mcp_server.py")).arg(port.to_string());
        command
    })
    .await;
    for refusal in ["json_rpc", "rpc"] {
        let gateway = gateway(
            &served.url(),
            &format!("preset: mcp, read_tools: [search_documents], refusal: {refusal}"),
        );
        let url = format!("http://{}/mcp", gateway.address());
        let told = run(python.clone(), "mcp_client.py", &[&url, "list", "search", "add"]).await;
        assert!(outcomes(&told).iter().all(|(_, outcome)| *outcome == "ok"), "{told:?}");

        let before = refusals(&gateway).await;
        gateway.freeze("reindex", &json!({ "reason": "rebuilding the index" })).await;
        let told = run(python.clone(), "mcp_client.py", &[&url, "list", "search", "add"]).await;
        assert_eq!(outcomes(&told), [("add", "refused"), ("list", "ok"), ("search", "ok")], "{refusal}");
        // The session outlives the refusal.
        let told = run(python.clone(), "mcp_client.py", &[&url, "add", "search"]).await;
        assert_eq!(outcomes(&told), [("add", "refused"), ("search", "ok")], "{refusal}");
        assert!(told["add"].to_string().contains("rebuilding the index"), "{refusal}: {}", told["add"]);
        gateway.thaw("reindex").await;
        gateway.freeze("window", &json!({ "for": "10m" })).await;
        let told = run(python.clone(), "mcp_client.py", &[&url, "add", "search"]).await;
        assert_eq!(outcomes(&told), [("add", "refused"), ("search", "ok")], "{refusal}");
        assert_eq!(told["add"]["data"]["status"], 503, "{refusal}: {}", told["add"]);
        assert_eq!(refusals(&gateway).await - before, 3, "{refusal}: each was tried once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_by_its_own_client() {
    let python = program(OPENAI, "python").await;
    let upstream = Upstream::start().await;
    let json = "Content-Type: application/json\r\n";
    let chat = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "hi" } }] });
    let embedded = json!({ "object": "list", "model": "m", "usage": { "prompt_tokens": 1, "total_tokens": 1 },
        "data": [{ "object": "embedding", "index": 0, "embedding": [0.5] }] });
    let file = json!({ "id": "f", "object": "file", "bytes": 4, "created_at": 1, "filename": "a.txt",
        "purpose": "assistants", "status": "processed" });
    let response_object = json!({ "id": "r", "object": "response", "created_at": 1, "model": "m", "output": [],
        "status": "completed" });
    let answers = [
        ("/v1/chat/completions", chat),
        ("/v1/embeddings", embedded),
        ("/v1/files", file),
        ("/v1/responses", response_object),
    ];
    for (path, answer) in answers {
        upstream.answer(path, response("200 OK", json, &answer.to_string()));
    }
    let gateway = gateway(&upstream.url(), "preset: openai");
    let url = format!("http://{}/v1", gateway.address());
    let steps = ["embed", "chat", "chat_stored", "respond", "respond_unstored", "upload"];
    let ask = async |retries: &str, steps: &[&str]| {
        run(python.clone(), "openai_client.py", &[&[url.as_str(), retries], steps].concat()).await
    };
    let told = ask("0", &steps).await;
    assert!(outcomes(&told).iter().all(|(_, outcome)| *outcome == "ok"), "{told:?}");

    // Without a known end: 423, which the SDK does not try again.
    let before = refusals(&gateway).await;
    gateway.freeze("open", &json!({ "reason": "rebuilding the index" })).await;
    let told = ask("2", &steps).await;
    let expected = [
        ("chat", "ok"),
        ("chat_stored", "refused"),
        ("embed", "ok"),
        ("respond", "refused"),
        ("respond_unstored", "ok"),
        ("upload", "refused"),
    ];
    assert_eq!(outcomes(&told), expected);
    for step in ["chat_stored", "respond", "upload"] {
        assert_eq!(told[step]["status"], 423, "{}", told[step]);
        assert_eq!(told[step]["body"]["code"], "read_only", "{}", told[step]);
    }
    assert_eq!(refusals(&gateway).await - before, 3, "each was tried once");
    gateway.thaw("open").await;

    // With an end that is further away than it waits for: 503, which it does not try again either.
    let before = refusals(&gateway).await;
    gateway.freeze("long", &json!({ "for": "10m" })).await;
    let told = ask("2", &["upload"]).await;
    assert_eq!(outcomes(&told), [("upload", "refused")]);
    let raised = (&told["upload"]["error"], &told["upload"]["status"]);
    assert_eq!(raised, (&json!("InternalServerError"), &json!(503)), "{}", told["upload"]);
    assert_eq!(refusals(&gateway).await - before, 1, "it was tried once");
    gateway.thaw("long").await;

    // With an end that it waits for: it tries again by `Retry-After`, and comes through.
    let before = refusals(&gateway).await;
    let upload = Ready::start(python.clone(), "openai_client.py", &[&url, "8", "upload"]).await;
    gateway.freeze("short", &json!({ "for": "10s" })).await;
    let told = upload.told().await;
    assert_eq!(outcomes(&told), [("upload", "ok")], "{told:?}");
    assert!(refusals(&gateway).await > before, "the first try came after the freeze: {told:?}");
    let is_over = async || gateway.freeze_shown("short").await.is_null();
    comes_true("the freeze has ended", is_over).await;
}
