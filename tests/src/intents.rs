//! Intents and keys, as operators handle them and as clients ask for them.

use http::Method;
use serde_json::{Value, json};

use crate::{
    client::Answer,
    gateway::Gateway,
    raw::{Raw, RawAnswer},
};

impl Gateway {
    /// The intents in `state`, or all of them where it is empty, as the admin port lists them.
    pub async fn intents(&self, state: &str) -> Vec<Value> {
        let state = if state.is_empty() { String::new() } else { format!("&state={state}") };
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.admin_get(&format!("/intents?limit=500{state}{after}")).await;
            all.extend(page["intents"].as_array().expect("a list of intents").iter().cloned());
            let Some(next) = page["next"].as_str() else { return all };
            after = format!("&after={next}");
        }
    }

    /// How many intents stand in each state: `{"queued": 3, ...}`.
    pub async fn intents_tally(&self) -> Value {
        self.admin_get("/intents?limit=1").await["tally"].clone()
    }

    /// How many intents stand in `state`.
    pub async fn intents_in(&self, state: &str) -> u64 {
        self.intents_tally().await[state].as_u64().unwrap_or_default()
    }

    /// Says that an intent was applied with this status.
    pub async fn settle(&self, id: &str, status: u16) -> Answer {
        self.admin_json(Method::POST, &format!("/intents/{id}/settle"), &json!({ "status": status })).await
    }

    /// Decides about an intent: `retry` or `drop`.
    pub async fn intent_do(&self, id: &str, verb: &str) -> Answer {
        self.admin_json(Method::POST, &format!("/intents/{id}/{verb}"), &json!({})).await
    }

    /// Stops the backfill, or lets it go on: `pause` or `resume`.
    pub async fn backfill(&self, verb: &str) -> Answer {
        self.admin(Method::POST, &format!("/intents/{verb}"), "").await
    }

    /// The keys that `query` asks for.
    pub async fn keys(&self, query: &str) -> Vec<Value> {
        let page = self.admin_get(&format!("/keys?{query}")).await;
        page["keys"].as_array().expect("a list of keys").clone()
    }

    /// What `/readyz` says.
    pub async fn readiness(&self) -> Answer {
        self.admin(Method::GET, "/readyz", "").await
    }
}

/// The path of the intent that an answer of 202 names; panics where it names none.
pub fn intent_of(answer: &RawAnswer) -> String {
    assert_eq!(answer.status, 202, "{answer:?} {}", answer.text());
    let place = answer.fields.get("location").expect("a Location").to_owned();
    assert!(place.starts_with("/.sluicegate/intents/"), "Location: {place}");
    place
}

/// Asks for what stands at `path`.
pub async fn ask_for(raw: &mut Raw, path: &str, lines: &str) -> RawAnswer {
    raw.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")).await
}
