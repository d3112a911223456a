//! The whole admin API of a real gateway under `schemathesis`, which makes requests from
//! `GET /openapi.json`: such as fit it, and such as do not.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use sluicegate_test_servers::PythonPackages;
use sluicegate_tests::{Folder, Upstream, repeat};
use tokio::task::spawn_blocking;

const SCHEMATHESIS: PythonPackages =
    PythonPackages { name: "schemathesis-4.32.5", packages: &["schemathesis==4.32.5"] };

/// Everything that the API is about is there.
const DOCUMENT: &str = r#"
listen: [{ address: "127.0.0.1:0" }]
admin: { address: "127.0.0.1:0", token_file: token }
store: { embedded: { path: data } }
upstreams:
  main: { endpoints: ["UPSTREAM"] }
  lab: { endpoints: ["UPSTREAM"] }
rollouts: { model: { active: main, candidate: lab } }
routes:
  - { name: read, match: { path: "/read/{*rest}" }, access: read, upstream: main,
      shadow: { to: lab, percent: 100, compare: {} } }
  - { name: ingest, match: { path: "/ingest" }, access: write, upstream: main, when_frozen: queue,
      idempotency: { required: true } }
  - { name: rest, match: { path: "/{*rest}" }, upstream: { rollout: model } }
"#;

/// What is right by its form and refused for what it says: names that the configuration does not
/// have, an end that is past, a document that is none, a command that this phase does not know.
const RULES: &str = r#"
# Nothing here ever changes by itself: whoever waits waits for all of it.
parameters = { wait = "10ms" }
[[operations]]
include-operation-id = "putFreeze"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 409]

[[operations]]
include-operation-id = "putConfig"
checks.positive_data_acceptance.expected-statuses = ["2xx", 422]
checks.negative_data_rejection.expected-statuses = ["4xx"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_keeps_to_its_description_whatever_it_is_sent() {
    let upstream = Upstream::start().await;
    let folder = Folder::default();
    folder.write("token", "open-sesame").write("schemathesis.toml", RULES);
    let gateway = folder.start(&DOCUMENT.replace("UPSTREAM", &upstream.url()));
    let url = format!("http://{}/openapi.json", gateway.admin_address());
    let folder = gateway.folder().path().to_owned();
    // Some Python versions may trip over their own parser at any time; that says nothing.
    let mut tries = 1..=3;
    let ran = loop {
        let seed = tries.next().expect("a run that Python itself does not break off");
        let (folder, url) = (folder.clone(), url.clone());
        let ran = spawn_blocking(move || attack(&folder, &url, seed));
        let ran = tokio::time::timeout(Duration::from_secs(400), ran).await.expect("it ends").unwrap();
        if !String::from_utf8_lossy(&ran.stdout).contains("AST constructor recursion depth mismatch") {
            break ran;
        }
    };
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("Tested: 4"), "as many operations as there are: {said}");
}

/// Sends requests of every kind, in a fixed order for each seed.
fn attack(folder: &Path, url: &str, seed: u32) -> Output {
    Command::new(SCHEMATHESIS.program("schemathesis").unwrap())
        .current_dir(folder)
        .args(["--config-file", "schemathesis.toml", "run", url])
        .args(["--header", "Authorization:Bearer open-sesame", "--checks", "all"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", &repeat(12, 300).to_string()])
        .args(["--seed", &seed.to_string(), "--workers", "1", "--request-timeout", "20"])
        .args(["--generation-database", "none", "--suppress-health-check", "all"])
        .args(["--continue-on-failure", "--no-color"])
        .output()
        .unwrap()
}
