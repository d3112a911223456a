//! The files that are shipped, and the contract's own.

use std::path::{Path, PathBuf};

use sluicegate_config::{Source, load, parse, problem_at};

fn config(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(file)
}

#[test]
fn the_files_to_run_with_are_taken_without_a_warning() {
    for file in ["quickstart.yaml", "sidecar.yaml", "edge.yaml", "maintenance.yaml"] {
        match load(&config(file)) {
            Ok(loaded) => assert_eq!(loaded.warnings, [], "{file}"),
            Err(rejected) => panic!("{rejected}"),
        }
    }
}

#[test]
fn what_is_shown_of_a_document_is_the_same_document() {
    for file in ["quickstart.yaml", "edge.yaml", "maintenance.yaml"] {
        let loaded = load(&config(file)).unwrap();
        let shown = serde_json::to_string_pretty(&loaded.document.to_json()).unwrap();
        let again = parse(&shown, &loaded.source).unwrap_or_else(|rejected| panic!("{rejected}"));
        assert_eq!(again.document, loaded.document);
        assert_ne!(again.hash, loaded.hash);
    }
}

#[test]
fn files_start_from_the_folder_of_the_document_and_problems_have_their_place() {
    let loaded = load(&config("edge.yaml")).unwrap();
    let files: Vec<_> =
        ["certs/server.pem", "certs/server.key", "certs/internal-ca.pem", "secrets/admin-token"]
            .map(config)
            .into();
    assert_eq!(loaded.files(), files);
    let problem = problem_at(&loaded, "listen[0].tls.cert", "cannot be read");
    assert_eq!((problem.line, problem.column), (7, 18));
    assert!(problem.to_string().ends_with("edge.yaml:7:18: listen[0].tls.cert: cannot be read"), "{problem}");
}

#[test]
fn the_contract_is_taken() {
    let text = include_str!("data/gateway.yaml");
    let loaded = parse(text, &Source::file("gateway.yaml".as_ref())).unwrap();
    assert_eq!(loaded.warnings, []);
}

#[test]
fn passwords_are_not_shown() {
    let redis = sluicegate_store::redis::RedisInput::at("redis://user:pa@ss@127.0.0.1:6379");
    let mut document = (*load(&config("quickstart.yaml")).unwrap().document).clone();
    document.store = sluicegate_config::document::StoreInput::Redis(redis);
    document.intents.headers.insert("authorization".into(), "Bearer abc".into());
    assert_eq!(document.redacted()["intents"]["headers"]["authorization"], "[redacted]");
    assert_eq!(document.redacted()["store"]["redis"]["url"], "redis://[redacted]@127.0.0.1:6379");
    assert_eq!(document.to_json()["store"]["redis"]["url"], "redis://user:pa@ss@127.0.0.1:6379");
}
