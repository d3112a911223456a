//! What is not stored.

use std::{fs, path::Path};

use sluicegate_tests::{Fenced, Folder, Gateway, Raw, Upstream, eventually, intents::intent_of};

use crate::{freeze, queueing, until, write};

/// Whether any file below `folder` holds these bytes.
fn holds(folder: &Path, bytes: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        fs::read(&path).unwrap().windows(bytes.len()).any(|some| some == bytes.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_not_kept_and_the_gateways_own_are_sent() {
    let upstream = Upstream::start().await;
    let fenced = queueing(4);
    let own = "headers: { authorization: \"Bearer service-credential\" }";
    let intents = fenced.intents.replace("soak: 0s", &format!("soak: 0s, {own}"));
    let gateway = Gateway::start(&Fenced { intents, ..fenced }.document(&upstream.url()));
    freeze(&gateway).await;
    let secrets = ["qk3Zr8vLw1", "Xn5tB7yHc2", "Pd9sF4jGm6", "Lu6aV0eKo3"];
    let lines = format!(
        "Authorization: Bearer {}\r\nCookie: session={}\r\nX-Api-Key: {}\r\nProxy-Authorization: Basic {}\r\n",
        secrets[0], secrets[1], secrets[2], secrets[3]
    );
    let request = write(1, "d1").request(false, &lines);
    let at = intent_of(&Raw::connect(gateway.address()).await.ask(request).await);
    let data = gateway.folder().path().join("data");
    assert!(holds(&data, "the text"), "the write itself should be found in {}", data.display());
    for secret in secrets {
        assert!(!holds(&data, secret), "{secret} is in {}", data.display());
    }
    assert!(!holds(&data, "service-credential"), "what the configuration sets is not stored either");
    let gateway = gateway.kill_and_restart();
    gateway.thaw("window").await;
    until(&gateway, &at, "applied").await;
    eventually("it has come", || upstream.seen().len() == 1).await;
    let seen = &upstream.seen()[0];
    assert_eq!(seen.get("authorization"), Some("Bearer service-credential"));
    assert_eq!((seen.get("cookie"), seen.get("x-api-key")), (None, None));
    assert_eq!(seen.get("content-type"), Some("application/json"));
    assert_eq!(seen.get("idempotency-key").map(|key| key.trim_matches('"')), Some("write-1"));
    assert_eq!(
        (seen.line().as_str(), &seen.body[..]),
        ("POST /documents/d1", write(1, "d1").body(false).as_bytes())
    );
    for secret in secrets {
        assert!(!seen.head.contains(secret));
        assert!(!holds(&data, secret));
    }
    let config = gateway.admin_get("/config").await;
    assert!(!config.to_string().contains("service-credential"), "{config}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_later_is_changed_as_what_is_sent_at_once() {
    let (upstream, folder) = (Upstream::start().await, Folder::default());
    folder.write("key", "Bearer of-a-file\n").write("mark", "of the route\n");
    let fenced = queueing(4);
    let intents = fenced.intents.replace("soak: 0s", "soak: 0s, headers_file: { authorization: key }");
    let document = Fenced { intents, ..fenced }.document(&upstream.url()).replace(
        "match: { path: \"/{*rest}\" }",
        "match: { path: \"/documents/{*rest}\" }, strip_prefix: /documents, \
         request: { set_file: { x-mark: mark }, remove: [x-gone] }",
    );
    let gateway = folder.start(&document);
    let (at_once, kept) = (
        write(1, "documents").request(false, "X-Gone: 1\r\n"),
        write(2, "documents").request(false, "X-Gone: 1\r\n"),
    );
    assert_eq!(Raw::connect(gateway.address()).await.ask(at_once).await.status, 200);
    freeze(&gateway).await;
    let at = intent_of(&Raw::connect(gateway.address()).await.ask(kept).await);
    let data = gateway.folder().path().join("data");
    for secret in ["of-a-file", "of the route"] {
        assert!(!holds(&data, secret), "{secret} is in {}", data.display());
    }
    gateway.thaw("window").await;
    until(&gateway, &at, "applied").await;
    eventually("it has come", || upstream.seen().len() == 2).await;
    for (seen, authorization) in upstream.seen().iter().zip([None, Some("Bearer of-a-file")]) {
        assert_eq!(seen.line(), "POST /documents", "what follows the prefix, which is taken off once");
        assert_eq!((seen.get("x-mark"), seen.get("x-gone")), (Some("of the route"), None));
        assert_eq!(seen.get("authorization"), authorization);
    }
}
