//! Budgets of LLM tokens over real sockets: a provider that counts what it generates, tenants
//! that share nothing, and books that must balance whatever ends an answer.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod abort;
mod answers;
mod ask;
mod bound;
mod cut;
mod learned;
mod refuse;

use http::Request;
use serde_json::{Value, json};
use sluicegate_tests::{
    Answer, Client, Gateway, Llm, Raw,
    client::{Body, full},
    comes_true,
    llm::Manner,
};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

/// A budget that does not come back while a test runs: one token in a year.
fn budget(burst: u64) -> String {
    format!("{{ tokens: 1, per: 365d, burst: {burst}, default_max_tokens: 50 }}")
}

/// A configuration with a budget on its one route.
fn document(endpoint: &str, budget: &str, extra: &str) -> String {
    format!(
        r#"listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ memory: {{}} }}
upstreams: {{ main: {{ endpoints: ["{endpoint}"], breaker: {{ consecutive: 0 }} }} }}
routes: [{{ name: llm, match: {{ path: "/{{*rest}}" }}, upstream: main, limits: {{ budget: {budget} }} }}]
{extra}
"#
    )
}

/// By whom a request is made.
const TENANTS: &str = "tenants: { from: { header: x-tenant-id } }";

/// A provider that treats requests so, and a gateway with this budget in front of it.
async fn start(budget: &str, choice: impl Fn(&Value) -> Manner + Send + Sync + 'static) -> (Llm, Gateway) {
    let llm = Llm::start(choice).await;
    let gateway = Gateway::start(&document(&llm.url(), budget, TENANTS));
    (llm, gateway)
}

/// A request for so many tokens, with a prompt of so many words: each is one token to the
/// provider, and more than that by the rule of the estimate.
fn prompt(words: usize, max: u64, stream: bool) -> Value {
    json!({ "model": "small", "messages": [{ "role": "user", "content": "words ".repeat(words) }],
            "max_tokens": max, "stream": stream })
}

/// What the prompt of this body is estimated at: a token for each four bytes of it.
fn prompt_estimate(body: &str) -> u64 {
    (body.len() as u64).div_ceil(4)
}

/// A request of a tenant.
fn post(path: &str, tenant: &str, body: &Value) -> Request<Body> {
    let builder =
        Request::post(path).header("x-tenant-id", tenant).header("content-type", "application/json");
    builder.body(full(body.to_string())).unwrap()
}

/// The same, to be written by hand.
fn raw_post(path: &str, tenant: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Tenant-Id: {tenant}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

async fn send(gateway: &Gateway, path: &str, tenant: &str, body: &Value) -> Answer {
    Client::h1(gateway.address()).await.ask(post(path, tenant, body)).await
}

/// What the metrics say of the budget.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Books {
    /// Requests that were settled, and the tokens they were charged.
    by_usage: (u64, u64),
    by_estimate: (u64, u64),
    unused: u64,
    /// What is held by requests that have not ended.
    held: u64,
    reservations: u64,
}

impl Books {
    async fn of(gateway: &Gateway) -> Self {
        let settled = async |by: &str| {
            let times = gateway.count("sluicegate_budget_settlements_total", by).await;
            (times, gateway.count("sluicegate_budget_tokens_total", by).await)
        };
        Self {
            by_usage: settled("by=\"usage\"").await,
            by_estimate: settled("by=\"estimate\"").await,
            unused: gateway.count("sluicegate_budget_settlements_total", "by=\"unused\"").await,
            held: gateway.count("sluicegate_budget_held_tokens", "budget=").await,
            reservations: gateway.count("sluicegate_budget_reservations", "budget=").await,
        }
    }

    /// Once nothing is under way any more.
    async fn closed(gateway: &Gateway) -> Self {
        comes_true("all is settled", async || Self::of(gateway).await.reservations == 0).await;
        let books = Self::of(gateway).await;
        assert_eq!(books.held, 0, "{books:?}");
        books
    }

    /// All that was charged.
    fn charged(&self) -> u64 {
        self.by_usage.1 + self.by_estimate.1
    }
}

/// What a tenant has left of a budget out of which something was taken: what a refusal says that
/// asks for all but one token.
async fn left(gateway: &Gateway, tenant: &str, burst: u64) -> u64 {
    let mut body = prompt(0, burst, false);
    let most = burst - 1 - prompt_estimate(&body.to_string());
    body["max_tokens"] = most.into();
    let mut raw = Raw::connect(gateway.address()).await;
    let answer = raw.ask(raw_post(CHAT, tenant, &body.to_string())).await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "rate_limited"), "{answer:?}");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    let number = detail.split_once(" has ").and_then(|(_, rest)| rest.split(' ').next()).expect("a number");
    number.parse().unwrap_or_else(|_| panic!("{detail}"))
}
