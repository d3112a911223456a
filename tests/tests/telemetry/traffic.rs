//! A gateway with everything that a document can ask for, and requests of all kinds through it.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{SinkExt, StreamExt};
use http::Request;
use serde_json::json;
use sluicegate_tests::{
    Client, Folder, Gateway, Raw, Step, Upstream,
    client::{full, get},
    eventually,
    grpc::{GrpcClient, GrpcUpstream, Line},
    upstream::response,
};
use tokio::net::TcpStream;
use tokio_tungstenite::{client_async, tungstenite::Message};

const DOCUMENT: &str = r#"
listen: [{ address: "127.0.0.1:0" }]
admin: { address: "127.0.0.1:0" }
store: { embedded: { path: data } }
access_log: { path: access.log }
tenants: { from: { header: x-tenant-id } }
lanes: { from: { header: x-lane }, interactive: { rps: 1000 }, batch: { rps: 1000 } }
limits: { global: { rps: 10000 }, concurrent: 64, shed: { queue_p95: 300ms, error_rate: 0.5 } }
upstreams:
  main: { endpoints: ["MAIN"], pins: { MODEL_VER: m-1 }, concurrent: 64, health: { path: /healthz } }
  lab: { endpoints: ["LAB"], manifest: { path: /manifest }, pins: { MODEL_VER: m-1 } }
  gone: { endpoints: ["http://127.0.0.1:1"], breaker: { consecutive: 1 } }
  talk: { endpoints: ["TALK"], protocol: http2 }
rollouts: { model: { active: main, candidate: lab, weight: 50 } }
freeze: { settle: 1ms }
webhooks: [{ name: pager, url: "MAIN/hook", secret: whsec_c2VjcmV0LW9mLXRoZS1wYWdlci1vZi10aGlzLXRlc3Q= }]
intents: { soak: 1ms }
retries: { base: 1ms, cap: 1ms }
routes:
  - { name: talk, match: { path: "/test.Talk/{*rest}" }, upstream: talk }
  - { name: read, match: { path: "/read/{*rest}" }, access: read, upstream: main,
      shadow: { to: lab, percent: 100, noise: 100, compare: {} } }
  - { name: docs, match: { path: "/docs/{*rest}" }, access: write, upstream: main, idempotency: {} }
  - { name: kept, match: { path: "/kept" }, access: write, upstream: main, when_frozen: queue,
      idempotency: { required: true } }
  - { name: limited, match: { path: "/limited" }, access: read, upstream: main,
      limits: { rps: 1, burst: 1, per: tenant } }
  - { name: llm, match: { path: "/llm" }, access: read, upstream: main,
      limits: { budget: { tokens: 100, per: 1m } } }
  - { name: model, match: { path: "/model" }, access: read, upstream: { rollout: model } }
  - { name: tools, match: { path: "/mcp" }, upstream: main, preset: mcp }
  - { name: gone, match: { path: "/gone" }, access: read, upstream: gone }
"#;

/// What clients sent where secrets travel: none of it may be told.
pub(crate) const SECRETS: [&str; 5] =
    ["query-secret", "bearer-secret", "cookie-secret", "key-secret", "body-secret"];

pub(crate) struct Traffic {
    pub(crate) gateway: Gateway,
    main: Upstream,
    _lab: Upstream,
    _talk: GrpcUpstream,
    sent: AtomicUsize,
}

impl Traffic {
    pub(crate) async fn start() -> Self {
        let (main, lab, talk) =
            (Upstream::start().await, Upstream::start().await, GrpcUpstream::start().await);
        let json =
            |body| response("200 OK", "Content-Type: application/json\r\nX-WFGY: MODEL_VER=m-1\r\n", body);
        for upstream in [&main, &lab] {
            upstream.on("/read/hang", [Step::Read, Step::Hang]);
            upstream.on("/read/socket", [Step::WebSocket]);
            upstream.answer("/model", json("{\"answer\":1}"));
            upstream.answer("/manifest", json("{\"MODEL_VER\":\"m-1\"}"));
        }
        main.answer("/read/a", json("{\"answer\":1}"));
        lab.answer("/read/a", json("{\"answer\":2}"));
        main.answer(
            "/llm",
            json("{\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}"),
        );
        let document =
            DOCUMENT.replace("MAIN", &main.url()).replace("LAB", &lab.url()).replace("TALK", &talk.url());
        let gateway = Folder::default().start(&document);
        Self { gateway, main, _lab: lab, _talk: talk, sent: AtomicUsize::new(0) }
    }

    /// How many requests were sent.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> u16 {
        self.sent.fetch_add(1, Ordering::SeqCst);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", "Bearer bearer-secret")
            .header("cookie", "session=cookie-secret")
            .header("x-tenant-id", "acme")
            .header("content-type", "application/json");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut client = Client::h1(self.gateway.address()).await;
        client.ask(request.body(full(body.to_owned())).unwrap()).await.status
    }

    /// Reads, writes, refusals, replays, aborts, upgrades, gRPC, and what becomes of intents.
    pub(crate) async fn send_everything(&self) {
        for lane in ["interactive", "batch"] {
            assert_eq!(self.ask("GET", "/read/a?token=query-secret", &[("x-lane", lane)], "").await, 200);
        }
        let key = [("idempotency-key", "key-secret")];
        for _ in 0..2 {
            assert_eq!(self.ask("POST", "/docs/keyed", &key, "{\"text\":\"body-secret\"}").await, 200);
        }
        assert_eq!(self.ask("POST", "/docs/keyed", &key, "{\"text\":\"another\"}").await, 422);
        for _ in 0..8 {
            assert_eq!(self.ask("GET", "/model", &[], "").await, 200);
        }
        assert_eq!(self.ask("GET", "/model", &[("x-wfgy", "MODEL_VER=m-9")], "").await, 409);
        assert_eq!(self.ask("GET", "/limited", &[], "").await, 200);
        assert_eq!(self.ask("GET", "/limited", &[], "").await, 429);
        let prompt = r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#;
        assert_eq!(self.ask("POST", "/llm", &[], prompt).await, 200);
        assert_eq!(self.ask("POST", "/llm", &[], &prompt.replace(":5,", ":99,")).await, 413);
        assert_eq!(self.ask("POST", "/mcp", &[], "no message").await, 200);
        for _ in 0..2 {
            assert!([502, 503].contains(&self.ask("GET", "/gone", &[], "").await));
        }
        assert_eq!(self.ask("GET", "/nowhere", &[], "").await, 404);
        self.frozen().await;
        self.broken_off().await;
        self.upgraded().await;
        let mut client = GrpcClient::connect(self.gateway.address()).await;
        self.sent.fetch_add(1, Ordering::SeqCst);
        client.say(tonic::Request::new(Line { text: "hello".to_owned(), number: 1 })).await.unwrap();
    }

    async fn frozen(&self) {
        self.gateway.freeze("manual", &json!({ "reason": "reindex" })).await;
        assert_eq!(self.ask("POST", "/docs/refused", &[], "{}").await, 423);
        assert_eq!(self.ask("POST", "/kept", &[("idempotency-key", "key-secret-2")], "{}").await, 202);
        self.gateway.thaw("manual").await;
        eventually("the intent is applied", || self.main.count("/kept") == 1).await;
    }

    async fn broken_off(&self) {
        self.sent.fetch_add(1, Ordering::SeqCst);
        let mut gone = Raw::connect(self.gateway.address()).await;
        gone.send("GET /read/hang HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        eventually("it hangs", || self.main.count("/read/hang") > 0).await;
    }

    async fn upgraded(&self) {
        self.sent.fetch_add(1, Ordering::SeqCst);
        let stream = TcpStream::connect(self.gateway.address()).await.unwrap();
        let (mut socket, _) = client_async("ws://localhost/read/socket", stream).await.unwrap();
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
        socket.close(None).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap().is_close());
        let mut client = Client::h2c(self.gateway.address()).await;
        self.sent.fetch_add(1, Ordering::SeqCst);
        assert_eq!(client.ask(get("/read/a")).await.status, 200);
    }
}
