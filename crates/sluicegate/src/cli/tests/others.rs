use std::{fs, net::TcpListener};

use serde_json::json;
use sluicegate_admin::{LastError, NamedToken, Role};

use super::{Exit, Gateway, problem, type_in};

#[test]
fn the_status_fits_on_a_screen() {
    let gateway = Gateway::start();
    let quiet = gateway.type_in(&["status"]);
    assert_eq!(quiet.exit, Exit::Done, "{}", quiet.err);
    let expected = [
        format!("sluicegate 1.2.3 at http://{}: serving, up ", gateway.address),
        "\nconfiguration\n  generation 4 (0123456789ab) from gateway.yaml, loaded ".into(),
        "\n  at the next start only: admin.address\n".into(),
        "\nfreezes\n  none; writes are let through\n".into(),
        "\nupstreams\n".into(),
        "http://127.0.0.1:7001".into(),
    ];
    for text in expected {
        assert!(quiet.out.contains(&text), "{text}\n{}", quiet.out);
    }
    gateway.type_in(&["freeze", "--id", "reindex", "--for", "2h", "--reason", "a new index"]);
    gateway.readiness.set_degraded("store", Some("no answer".into()));
    *gateway.config.refused.lock() = Some(LastError { problem: problem(), at: jiff::Timestamp::now() });
    let busy = gateway.type_in(&["status"]).out;
    for text in [
        "\n  DEGRADED  store: no answer\n",
        "and the generation above kept:\n    gateway.yaml:12:5: routes[0].upstream: no upstream `stabel`;",
        "\n  ID ",
        "  everything  ",
        "a new index\n",
    ] {
        assert!(busy.contains(text), "{text}\n{busy}");
    }
    let json = gateway.type_in(&["status", "--json"]).json();
    assert_eq!(json["freeze"]["freezes"][0]["id"], "reindex");
}

#[test]
fn a_reload_says_what_runs_or_what_is_wrong() {
    let gateway = Gateway::start();
    let good = gateway.type_in(&["reload"]);
    assert_eq!((good.exit, good.err.as_str()), (Exit::Done, ""));
    assert_eq!(good.out, "generation 5 runs (fedcba987654)\nat the next start only: admin.address\n");
    *gateway.config.refused.lock() = Some(LastError { problem: problem(), at: jiff::Timestamp::now() });
    let bad = gateway.type_in(&["reload"]);
    assert_eq!((bad.exit, bad.out.as_str()), (Exit::Invalid, ""));
    assert_eq!(
        bad.err,
        "sluicegate: the document has 1 problem(s); the running configuration was kept\n  \
         gateway.yaml:12:5: routes[0].upstream: no upstream `stabel`; did you mean `stable`?\n"
    );
    let json = gateway.type_in(&["reload", "--json"]);
    assert_eq!((json.exit, &json.json()["problems"][0]["line"]), (Exit::Invalid, &json!(12)));
}

#[test]
fn a_gateway_that_cannot_be_asked_is_told_with_what_to_try() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ended = type_in(&["status", "--admin", &gone]);
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::Failed, ""));
    assert!(
        ended.err.starts_with(&format!("sluicegate: no gateway can be reached at http://{gone}: ")),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("Is it running?") && ended.err.contains("--admin"), "{}", ended.err);
    let ended = type_in(&["status", "--admin", "http://"]);
    assert_eq!(ended.exit, Exit::Failed);
    assert!(ended.err.contains("`http://` is not an address"), "{}", ended.err);
}

#[test]
fn a_token_is_taken_from_a_file() {
    let gateway = Gateway::start();
    gateway.tokens.set(&[NamedToken {
        name: "operate".to_owned(),
        role: Role::Operate,
        secret: "secret".to_owned(),
    }]);
    let without = gateway.type_in(&["status"]);
    assert_eq!(without.exit, Exit::Failed);
    assert!(
        without.err.contains("Give the token with --token-file FILE or SLUICEGATE_TOKEN."),
        "{}",
        without.err
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let missing = gateway.type_in(&["status", "--token-file", file.to_str().unwrap()]);
    assert!(missing.err.contains("cannot read the token file"), "{}", missing.err);
    fs::write(&file, "secret\n").unwrap();
    assert_eq!(gateway.type_in(&["status", "--token-file", file.to_str().unwrap()]).exit, Exit::Done);
}

#[test]
fn a_file_is_checked_with_every_problem_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    let file = path.to_str().unwrap();
    let good = "listen:\n  - address: 127.0.0.1:0\nupstreams:\n  stable:\n    endpoints: [\"http://127.0.0.1:7001\"]\n\
                routes:\n  - name: rest\n    match: { path: \"/{*rest}\" }\n    upstream: stable\n";
    fs::write(&path, good).unwrap();
    let valid = type_in(&["check", file]);
    assert_eq!(valid.out, format!("{file}: valid; 1 listener, 1 upstream, 1 route\n"), "{}", valid.err);
    assert_eq!(valid.exit, Exit::Done);

    fs::write(&path, good.replace("upstream: stable", "upstreem: stable")).unwrap();
    let invalid = type_in(&["check", file]);
    assert_eq!((invalid.exit, invalid.out.as_str()), (Exit::Invalid, ""));
    assert!(invalid.err.contains(&format!("{file}:9:5: routes[0]")), "{}", invalid.err);
    assert!(invalid.err.contains("upstreem"), "{}", invalid.err);
    let json = type_in(&["check", file, "--json"]);
    assert_eq!((json.exit, &json.json()["valid"]), (Exit::Invalid, &json!(false)));
    assert_eq!(json.json()["problems"][0]["line"], 9);

    fs::write(&path, good.replace("127.0.0.1:0", "127.0.0.1:0\n    tls: { cert: no.pem, key: no.key }"))
        .unwrap();
    let certificate = type_in(&["check", file]);
    assert_eq!(certificate.exit, Exit::Invalid, "{}", certificate.out);
    assert!(certificate.err.contains("no.pem"), "{}", certificate.err);

    let more = "jwt: { jwks_file: keys.json, issuer: i }\nadmin: { token_file: none }\n\
                store: { redis: { url: \"redis://127.0.0.1:1\", password_file: none } }\n\
                intents: { headers_file: { authorization: lines } }\n\
                webhooks: [{ name: w, url: \"https://127.0.0.1:1/\", secret_file: none }]\n";
    let route = "upstream: stable\n    request: { set_file: { authorization: lines } }\n    \
                 shadow: { to: tls, percent: 1, set_file: { a: none } }\n";
    let upstream =
        "7001\"]\n  tls:\n    endpoints: [\"https://no-such-name.invalid\"]\n    tls: { ca: none.pem }";
    fs::write(&path, good.replace("7001\"]", upstream).replace("upstream: stable\n", route) + more).unwrap();
    fs::write(folder.path().join("keys.json"), "{\"keys\": \"hush-4711\"}").unwrap();
    fs::write(folder.path().join("lines"), "Bearer hush-4711\nx: y\n").unwrap();
    let files = type_in(&["check", file]);
    for at in [
        "upstreams.tls.tls.ca: ",
        "routes[0].request.set_file.authorization: ",
        "routes[0].shadow.set_file.a: ",
        "jwt.jwks_file: ",
        "admin.token_file: ",
        "store.redis.password_file: ",
        "intents.headers_file.authorization: ",
        "webhooks[0].secret_file: ",
    ] {
        assert!(files.err.contains(at), "{at}{}", files.err);
    }
    assert!(files.exit == Exit::Invalid && !files.err.contains("hush"), "{}", files.err);

    let missing = type_in(&["check", folder.path().join("other.yaml").to_str().unwrap()]);
    assert_eq!(missing.exit, Exit::Invalid);
    assert!(missing.err.contains("there is no such file"), "{}", missing.err);
}

#[test]
fn the_schema_is_json() {
    let schema = type_in(&["schema"]);
    assert_eq!((schema.exit, &schema.json()["type"]), (Exit::Done, &json!("object")));
}
