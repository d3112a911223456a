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
fn every_file_whose_content_counts_is_watched() {
    let text = "\
listen: [{ address: \"127.0.0.1:0\", tls: { cert: a.pem, key: a.key } }]
admin: { address: \"127.0.0.1:0\", token_file: admin }
upstreams: { one: { endpoints: [\"https://a:1\"], tls: { ca: up-ca, cert: up-cert, key: up-key } }, two: { endpoints: [\"http://b:1\"] } }
routes:
  - name: all
    match: { path: \"/{*rest}\" }
    upstream: one
    request: { set_file: { x-a: asked } }
    response: { set_file: { x-b: answered } }
    shadow: { to: two, percent: 1, set_file: { x-c: shadow } }
jwt: { jwks_url: \"https://id/\", ca: jwt-ca, issuer: i }
intents: { headers_file: { authorization: intents } }
webhooks: [{ name: pager, url: \"https://p/\", secret_file: hook, ca: hook-ca }]
telemetry: { otlp: { endpoint: \"https://c:4317\", ca: otlp-ca, headers_file: { x-key: otlp-key } } }
";
    let loaded =
        parse(text, &Source::sent("/etc/gateway".as_ref())).unwrap_or_else(|rejected| panic!("{rejected}"));
    let mut files: Vec<_> =
        loaded.files().iter().map(|it| it.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    files.sort();
    let mut all = [
        "a.pem", "a.key", "admin", "up-ca", "up-cert", "up-key", "asked", "answered", "shadow", "jwt-ca",
        "intents", "hook", "hook-ca", "otlp-ca", "otlp-key",
    ];
    all.sort_unstable();
    assert_eq!(files, all);
}

#[test]
fn what_stands_in_the_environment_is_taken_in_any_value() {
    let read = |limits: &str| {
        let text = format!(
            "listen: [{{ address: \"127.0.0.1:0\" }}]\nupstreams: {{ one: {{ endpoints: [\"http://a:1\"] }} }}\n\
             routes: [{{ name: all, match: {{ path: /x }}, upstream: one, limits: {{ {limits} }} }}]\n"
        );
        parse(&text, &Source::sent(".".as_ref())).map(|loaded| loaded.document.routes[0].clone())
    };
    // Each value as it is written, and from the environment: numbers, a word, a rule's text.
    for (key, value) in [
        ("cost", "5"),
        ("rps", "2.5"),
        ("burst", "7"),
        ("deadline", "2s"),
        ("enforce", "false"),
        ("per", "tenant"),
    ] {
        let base = if matches!(key, "rps") { "" } else { "rps: 9, " };
        let written = read(&format!("{base}{key}: {value}")).unwrap_or_else(|rejected| panic!("{rejected}"));
        let referred = read(&format!("{base}{key}: \"${{SLUICEGATE_NO_SUCH:-{value}}}\""));
        assert_eq!(referred.unwrap_or_else(|rejected| panic!("{key}: {rejected}")), written, "{key}");
    }
    for wrong in ["x", "-1", "1.5", "99999999999"] {
        let error = read(&format!("cost: \"${{SLUICEGATE_NO_SUCH:-{wrong}}}\"")).unwrap_err().to_string();
        assert!(error.contains("routes[0].limits.cost: "), "{wrong}: {error}");
    }
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
