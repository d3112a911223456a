//! Tokens from files: who may look, who may change, and what a reload makes of it.

use http::{Method, Request};
use serde_json::Value;
use sluicegate_tests::{
    Answer, Client, Folder, Gateway, Upstream,
    client::{full, get},
    comes_true, eventually,
};

async fn ask(gateway: &Gateway, method: Method, path: &str, token: &str) -> Answer {
    let mut client = Client::h1(gateway.admin_address()).await;
    let request =
        Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
    client.ask(request.body(full("")).unwrap()).await
}

fn document(upstream: &str, admin: &str) -> String {
    format!(
        r#"listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0", {admin} }}
store: {{ memory: {{}} }}
upstreams: {{ main: {{ endpoints: ["{upstream}"] }} }}
routes: [{{ name: all, match: {{ path: "/{{*rest}}" }}, upstream: main }}]
"#
    )
}

const TOKENS: &str = "token_file: operate, read_token_file: read, \
    tokens: [{ name: night, role: operate, file: night }, { name: board, role: read, file: board }]";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_what_its_role_says_and_told_by_its_name() {
    let upstream = Upstream::start().await;
    let folder = Folder::default();
    for name in ["operate", "read", "night", "board"] {
        folder.write(name, format!("{name}-secret\n"));
    }
    let gateway = folder.start(&document(&upstream.url(), TOKENS));
    assert_eq!(gateway.admin(Method::GET, "/status", "").await.status, 401);
    for (token, may_change) in [("operate", true), ("read", false), ("night", true), ("board", false)] {
        let secret = format!("{token}-secret");
        assert_eq!(ask(&gateway, Method::GET, "/status", &secret).await.status, 200, "{token}");
        let frozen = ask(&gateway, Method::PUT, "/freeze/manual", &secret).await;
        assert_eq!(frozen.status, if may_change { 200 } else { 403 }, "{token}: {:?}", frozen.body);
        if !may_change {
            let problem: Value = frozen.json();
            assert_eq!(problem["code"], "role_required");
            assert!(
                problem["detail"].as_str().unwrap().contains(&format!("the token `{token}`")),
                "{problem}"
            );
        }
    }
    let audit = ask(&gateway, Method::GET, "/audit", "board-secret").await.json();
    let who: Vec<_> =
        audit["entries"].as_array().unwrap().iter().map(|entry| entry["actor"]["token"].clone()).collect();
    assert_eq!(who, ["night", "operate"], "{audit}");
    assert!(!audit.to_string().contains("-secret"), "{audit}");
    let said = gateway.cli(&["thaw"]).await;
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("--token-file"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_replaced_in_its_file_is_the_only_one_from_then_on() {
    let upstream = Upstream::start().await;
    let folder = Folder::default();
    folder.write("operate", "first").write("read", "look");
    let gateway = folder.start(&document(&upstream.url(), "token_file: operate, read_token_file: read"));
    assert_eq!(ask(&gateway, Method::GET, "/status", "look").await.status, 200);
    gateway.folder().replace("read", "look-again");
    comes_true("it is taken", async || {
        ask(&gateway, Method::GET, "/status", "look-again").await.status == 200
    })
    .await;
    assert_eq!(ask(&gateway, Method::GET, "/status", "look").await.status, 401);
    assert_eq!(ask(&gateway, Method::GET, "/status", "first").await.status, 200);
    // The same token under two names would leave open who asked: the ones before go on.
    gateway.folder().replace("read", "first");
    eventually("it is refused", || gateway.log().iter().any(|line| line.contains("holds the same token")))
        .await;
    assert_eq!(ask(&gateway, Method::GET, "/status", "look-again").await.status, 200);
    let mut client = Client::h1(gateway.address()).await;
    assert_eq!(client.ask(get("/a")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_no_request_can_carry_is_refused_with_its_place() {
    for (token, said) in [
        ("two\nlines", "holds what no request can carry as a token"),
        ("caf\u{e9}", "holds what no request can carry as a token"),
        (" \n", "is empty; write the token into it"),
        (&"t".repeat(70_000), "has more than 65536 bytes, which is no secret"),
    ] {
        let folder = Folder::default();
        folder.write("operate", token);
        let refused = folder.refused(&document("http://127.0.0.1:1", "token_file: operate"));
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(
            refused.stderr.contains("admin.token_file: ") && refused.stderr.contains(said),
            "{token:?}: {}",
            refused.stderr
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nothing_but_loopback_is_listened_on() {
    for (address, may) in [
        ("127.0.0.1:0", true),
        ("127.8.8.8:0", true),
        ("[::1]:0", true),
        ("0.0.0.0:0", false),
        ("[::]:0", false),
        ("[::ffff:127.0.0.1]:0", false),
        ("192.0.2.7:0", false),
    ] {
        let folder = Folder::default();
        let document = document("http://127.0.0.1:1", "").replacen(
            "admin: { address: \"127.0.0.1:0\",",
            &format!("admin: {{ address: \"{address}\","),
            1,
        );
        folder.write("gateway.yaml", &document);
        let mut command = std::process::Command::new(sluicegate_tests::gateway::binary());
        let checked = sluicegate_tests::gateway::run(command.arg("check").arg(folder.config()));
        assert_eq!(checked.code, if may { 0 } else { 2 }, "{address}: {}", checked.stderr);
        assert_eq!(checked.stderr.contains("needs a token"), !may, "{address}: {}", checked.stderr);
    }
}
