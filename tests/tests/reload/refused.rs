//! A document that is valid by itself but cannot be run here and now changes nothing at all.

use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use sluicegate_tests::{
    Client, Folder, Gateway, Raw, Upstream,
    client::{get, post},
    config,
};

/// A document in which everything is different, and these parts cannot be made.
struct Broken {
    /// What is wrong, and what the refusal must name.
    names: &'static str,
    listen: String,
    endpoint: &'static str,
    extra: String,
}

impl Broken {
    fn document(&self, upstream: &Upstream, new: SocketAddr) -> String {
        format!(
            r#"listen: [{{ address: "{new}" }}{}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ memory: {{}} }}
upstreams: {{ another: {{ endpoints: ["{}"{}], tls: {{ ca: none.pem }} }} }}
routes: [{{ name: other, match: {{ path: "/other" }}, upstream: another }}]
freeze: {{ read_only: true }}
limits: {{ deadline: 11s }}
{}
"#,
            self.listen,
            upstream.url(),
            self.endpoint,
            self.extra
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_document_that_cannot_be_run_takes_effect() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&config(&upstream.url(), "workers: 1"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = (taken.local_addr().unwrap(), taken);
    let table = [
        Broken {
            names: "listen[1].address",
            listen: format!(", {{ address: \"{}\" }}", taken.0),
            endpoint: "",
            extra: String::new(),
        },
        Broken {
            names: "listen[1]",
            listen: ", { address: \"127.0.0.1:0\", tls: { cert: none.pem, key: none.pem } }".into(),
            endpoint: "",
            extra: String::new(),
        },
        Broken {
            names: "upstreams.another",
            listen: String::new(),
            endpoint: ", \"https://localhost:1\"",
            extra: String::new(),
        },
        Broken {
            names: "access_log",
            listen: String::new(),
            endpoint: "",
            extra: "access_log: { path: none/access.log }".into(),
        },
    ];
    let mut client = Client::h1(gateway.address()).await;
    let before = state(&gateway).await;
    for broken in table {
        let new = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let answer = gateway.put_config("", &broken.document(&upstream, new)).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "config_invalid"), "{answer:?}");
        let problems = answer.json()["problems"].as_array().unwrap().clone();
        assert_eq!(problems.len(), 1, "{}: {problems:?}", broken.names);
        assert!(problems[0]["path"].as_str().unwrap().starts_with(broken.names), "{problems:?}");

        assert_eq!(state(&gateway).await, before, "{}", broken.names);
        // The one connection that was there, and new ones: the old routes, and no freeze.
        for client in [&mut client, &mut Client::h1(gateway.address()).await] {
            assert_eq!(client.ask(post("/", "hello")).await.status, 200, "{}", broken.names);
            assert_eq!(client.ask(get("/elsewhere")).await.status, 200, "{}", broken.names);
        }
        assert!(Raw::try_connect(new).await.is_err(), "{}: a listener was left behind", broken.names);
    }
    drop(taken);
    // What is carried over to the next document is what ran, connections too.
    let good = config(&upstream.url(), "workers: 1\nlimits: { deadline: 12s }");
    assert_eq!(gateway.put_config("", &good).await.status, 200);
    assert_eq!(client.ask(get("/")).await.status, 200);
    assert_eq!(upstream.connections(), 1);
}

/// All that an operator can see of what runs, but the refusals.
async fn state(gateway: &Gateway) -> Vec<Value> {
    let (shown, status) = (gateway.admin_get("/config").await, gateway.admin_get("/status").await);
    let config = ["generation", "hash", "document", "needs_restart"].map(|member| shown[member].clone());
    let running = ["listeners", "upstreams"].map(|member| status[member].clone());
    let freezes = gateway.admin_get("/freeze").await["freezes"].clone();
    let used = gateway.metric("sluicegate_upstream_endpoint_available").await;
    let used = used.into_iter().map(|(labels, value)| format!("{labels} {value}").into());
    config.into_iter().chain(running).chain([freezes]).chain(used).collect()
}

/// What reads files is asked only when the document is to be run, and each by itself.
#[test]
fn what_is_wrong_in_several_places_is_told_at_once() {
    let document = r#"listen: [{ address: "127.0.0.1:0" }]
admin: { address: "127.0.0.1:0" }
store: { memory: {} }
upstreams:
  main: { endpoints: ["http://127.0.0.1:1"] }
  secured: { endpoints: ["https://127.0.0.1:1"], tls: { ca: none.pem } }
tenants: { from: { claim: org } }
jwt: { jwks_file: none.json, issuer: i }
intents: { headers_file: { authorization: none } }
routes:
  - { name: a, match: { path: /a }, upstream: main, request: { set_file: { x-key: none } } }
  - { name: b, match: { path: /b }, upstream: secured }
  - { name: c, match: { path: /c }, upstream: main, response: { set_file: { x-key: none } } }
"#;
    let refused = Folder::default().refused(document);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    let expected = [
        "6:61: upstreams.secured.tls.ca",
        "8:19: jwt.jwks_file",
        "9:43: intents.headers_file.authorization",
        "11:83: routes[0].request.set_file.x-key",
        "13:84: routes[2].response.set_file.x-key",
    ];
    let lines: Vec<_> = refused.stderr.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, at) in lines.iter().zip(expected) {
        assert!(line.contains(at), "{at}: {line}");
    }
}
