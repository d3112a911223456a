//! What each kind of error says, word for word: what was wrong, where, and what to try next.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::Duration,
};

use http::StatusCode;
use sluicegate_admin::{NamedToken, Role};

use super::{Exit, Gateway, type_in};
use crate::cli::client::ClientError;

/// What a command said in vain, with the address as `ADDRESS`.
fn said(line: &[&str], address: &str) -> String {
    let ended = type_in(&[line, &["--admin", &format!("http://{address}")]].concat());
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::Failed, ""), "{line:?}");
    ended.err.replace(address, "ADDRESS")
}

#[test]
fn a_gateway_that_is_not_there() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    assert_eq!(
        said(&["status"], &gone),
        "sluicegate: no gateway can be reached at http://ADDRESS: Connection refused (os error 111)\n\
         Is it running? Its admin address stands under `admin.address`; name it with --admin URL or \
         SLUICEGATE_ADMIN.\n"
    );
}

#[test]
fn an_address_that_is_none() {
    let ended = type_in(&["status", "--admin", "ftp://gateway"]);
    assert_eq!(
        ended.err,
        "sluicegate: `ftp://gateway` is not an address: it is not of the form http://HOST:PORT\n\
         Write it as http://127.0.0.1:9901.\n"
    );
}

#[test]
fn something_else_at_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let other = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let read = stream.read(&mut [0; 4096]).unwrap();
        assert!(read > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello").unwrap();
    });
    assert_eq!(
        said(&["status"], &address),
        "sluicegate: http://ADDRESS answered 200 OK, but not as a Sluicegate admin address does\n\
         Is it the admin address, and not a listener or another service? See --admin.\n"
    );
    other.join().unwrap();
}

#[test]
fn a_gateway_that_does_not_answer() {
    let error = ClientError::NoAnswer { url: "http://ADDRESS".to_owned(), limit: Duration::from_secs(30) };
    assert_eq!(
        error.to_string(),
        "the gateway at http://ADDRESS did not answer within 30 s; it may still do what was asked: see \
         `sluicegate status`"
    );
}

#[test]
fn tokens_that_are_missing_unreadable_or_not_enough() {
    let gateway = Gateway::start();
    let address = gateway.address.to_string();
    let token = |name: &str, role| NamedToken { name: name.to_owned(), role, secret: name.to_owned() };
    gateway.tokens.set(&[token("operate", Role::Operate), token("read", Role::Read)]);
    assert_eq!(
        said(&["status"], &address),
        "sluicegate: the gateway at http://ADDRESS refused: send `Authorization: Bearer TOKEN` with a token of \
         `admin.token_file`, `admin.read_token_file` or `admin.tokens`; the command line takes --token-file or \
         SLUICEGATE_TOKEN\nGive the token with --token-file FILE or SLUICEGATE_TOKEN.\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let path = file.to_str().unwrap();
    assert_eq!(
        said(&["status", "--token-file", path], &address).replace(path, "FILE"),
        "sluicegate: cannot read the token file FILE: No such file or directory (os error 2)\n\
         Write the token into it, or name another with --token-file FILE.\n"
    );
    fs::write(&file, "read\n").unwrap();
    assert_eq!(
        said(&["freeze", "--token-file", path], &address),
        "sluicegate: the gateway at http://ADDRESS refused: the token `read` has the role read, and PUT \
         /freeze/manual needs the role operate; send a token that has it (`admin.token_file`, or one of \
         `admin.tokens` with `role: operate`)\n"
    );
    assert!(!gateway.freezes.status().active);
}

#[test]
fn a_token_that_cannot_be_sent_is_told_before_anybody_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let path = file.to_str().unwrap();
    for token in ["two\nlines", "caf\u{e9}", "a\u{1b}[31m"] {
        fs::write(&file, token).unwrap();
        assert_eq!(
            said(&["status", "--token-file", path], "127.0.0.1:1").replace(path, "FILE"),
            "sluicegate: the token in FILE is none that can be sent: a token is one line of visible ASCII\n\
             Write the gateway's token there as it stands in its file.\n"
        );
    }
}

#[test]
fn with_json_a_refusal_is_an_answer_too() {
    let gateway = Gateway::start();
    let admin = format!("http://{}", gateway.address);
    let refused = |line: &[&str], code: &str| {
        let ended = type_in(&[line, &["--json", "--admin", &admin]].concat());
        assert_eq!((ended.exit, &ended.json()["code"]), (Exit::Failed, &code.into()), "{line:?}");
        assert!(ended.err.starts_with("sluicegate: "), "{line:?}: {}", ended.err);
    };
    refused(&["freeze", "--route", "ingst"], "scope_unknown");
    refused(&["thaw", "--id", "x"], "freeze_unknown");
    refused(&["rollout", "status", "embd"], "unknown_rollout");
    refused(&["rollout", "promote", "embed"], "refused");
    refused(&["shadow", "report", "x"], "shadow_unknown");
    refused(&["intents", "show", "x"], "intent_unknown");
    gateway.tokens.set(&[NamedToken {
        name: "operate".to_owned(),
        role: Role::Operate,
        secret: "secret".to_owned(),
    }]);
    let commands: [&[&str]; 12] = [
        &["status"],
        &["status", "--watch"],
        &["freeze"],
        &["thaw"],
        &["reload"],
        &["keys", "list"],
        &["intents", "list"],
        &["intents", "status"],
        &["intents", "status", "--watch"],
        &["rollout", "list"],
        &["rollout", "status", "embed", "--watch"],
        &["shadow", "list"],
    ];
    for line in commands {
        refused(line, "unauthorized");
    }
}

#[test]
fn names_that_are_not_there() {
    let gateway = Gateway::start();
    let address = gateway.address.to_string();
    let table: [(&[&str], &str); 4] = [
        (
            &["freeze", "--route", "ingst"],
            "sluicegate: the gateway at http://ADDRESS refused: the configuration has no route `ingst`; did you mean \
             `ingest`?\n",
        ),
        (&["thaw", "--id", "x"], "sluicegate: no freeze `x` is on, and no other; writes are let through\n"),
        (
            &["rollout", "status", "embd", "--watch"],
            "sluicegate: there is no rollout `embd`; there are: embed\n",
        ),
        (
            &["intents", "show", "x"],
            "sluicegate: there is no intent `x`; what is over is kept for `intents.keep` and then gone\n\
             `sluicegate intents list` shows what there is.\n",
        ),
    ];
    for (line, expected) in table {
        assert_eq!(said(line, &address), expected, "{line:?}");
    }
}

#[test]
fn a_refusal_without_a_hint_is_told_as_the_gateway_said_it() {
    let problem = crate::cli::client::Problem {
        code: "internal".to_owned(),
        detail: "the change was broken off; ask for the status to see what holds".to_owned(),
        body: serde_json::Value::Null,
    };
    let error = ClientError::Refused {
        url: "http://ADDRESS".to_owned(),
        status: StatusCode::INTERNAL_SERVER_ERROR,
        problem: Box::new(problem),
    };
    assert_eq!(
        error.to_string(),
        "the gateway at http://ADDRESS refused: the change was broken off; ask for the status to see what holds"
    );
}
