//! The recipes of docs/webhooks.md for receivers, run as they stand there on what was really sent.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use ring::hmac;
use serde_json::json;
use sluicegate_tests::{Folder, Gateway, Seen, Upstream, comes_true, config};

use crate::{SECRET, recipe};

const DOCS: &str = include_str!("../../../docs/webhooks.md");

/// A message as a receiver hands it to the recipe.
#[derive(Clone)]
struct Message {
    secret: String,
    id: String,
    timestamp: String,
    signatures: String,
    body: Vec<u8>,
}

impl Message {
    fn of(seen: &Seen) -> Self {
        let field = |name| seen.get(name).unwrap().to_owned();
        Self {
            secret: SECRET.to_owned(),
            id: field("webhook-id"),
            timestamp: field("webhook-timestamp"),
            signatures: field("webhook-signature"),
            body: seen.body.clone(),
        }
    }

    /// The same, sent and signed at another time.
    fn at(&self, seconds_ago: i64) -> Self {
        let timestamp = (Timestamp::now().as_second() - seconds_ago).to_string();
        let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap();
        let signed = [format!("{}.{timestamp}.", self.id).as_bytes(), &self.body].concat();
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed);
        Self { timestamp, signatures: format!("v1,{}", STANDARD.encode(signature)), ..self.clone() }
    }
}

/// Whether the recipe takes the message.
fn takes(runner: &str, file: &str, message: &Message) -> bool {
    let folder = Folder::default();
    folder.write(file, format!("{}\n", recipe(DOCS, file)));
    let mut command = Command::new(runner);
    command.arg(folder.path().join(file)).args([&message.id, &message.timestamp, &message.signatures]);
    command
        .env("WEBHOOK_SECRET", &message.secret)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{runner}: {error}; install it to run this test"));
    // It may have refused before it reads.
    drop(child.stdin.take().unwrap().write_all(&message.body));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => assert_eq!(said, ""),
        Some(1) => assert!(said.starts_with("refused: "), "{said}"),
        other => panic!("{runner} ended with {other:?}: {said}"),
    }
    output.status.success()
}

async fn holds(runner: &str, file: &str) {
    let (upstream, receiver) = (Upstream::start().await, Upstream::start().await);
    let webhook = format!("webhooks: [{{ name: a, url: \"{}/hook\", secret: {SECRET} }}]", receiver.url());
    let gateway = Gateway::start(&config(&upstream.url(), &webhook));
    gateway.freeze("move", &json!({ "reason": "Größe, \u{1f9ca} and \"quotes\"" })).await;
    comes_true("it is told", async || gateway.admin_get("/status").await["webhooks"][0]["delivered"] == 2)
        .await;
    for seen in receiver.seen_at("/hook") {
        assert!(takes(runner, file, &Message::of(&seen)));
    }
    let good = Message::of(&receiver.seen_at("/hook")[0]);
    assert!(takes(runner, file, &good.at(200)) && takes(runner, file, &good.at(-200)));
    let several = format!("v1,AAAA v2,BBBB {} v1,*", good.signatures);
    assert!(takes(runner, file, &Message { signatures: several, ..good.clone() }), "while secrets change");
    let body = String::from_utf8(good.body.clone()).unwrap().replace("move", "mowe").into_bytes();
    let cut = good.signatures[..good.signatures.len() - 2].to_owned();
    for (what, bad) in [
        ("another body", Message { body, ..good.clone() }),
        ("a line more", Message { body: [&good.body[..], b"\n"].concat(), ..good.clone() }),
        ("another id", Message { id: format!("{}0", good.id), ..good.clone() }),
        (
            "another secret",
            Message { secret: "whsec_AAAA9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(), ..good.clone() },
        ),
        ("no signature", Message { signatures: String::new(), ..good.clone() }),
        ("a part of one", Message { signatures: cut, ..good.clone() }),
        (
            "one of another form",
            Message { signatures: good.signatures.replace("v1,", "v1a,"), ..good.clone() },
        ),
        ("no ASCII", Message { signatures: "v1,ü".into(), ..good.clone() }),
        ("old", good.at(400)),
        ("from the future", good.at(-400)),
        ("no time", Message { timestamp: "now".into(), ..good.clone() }),
        ("an expression", Message { timestamp: format!("{}+0", good.timestamp), ..good.clone() }),
    ] {
        assert!(!takes(runner, file, &bad), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_recipe_takes_what_was_signed_and_nothing_else() {
    holds("sh", "verify-webhook.sh").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_recipe_takes_what_was_signed_and_nothing_else() {
    holds("python3", "verify_webhook.py").await;
}
