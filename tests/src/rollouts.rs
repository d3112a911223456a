//! Rollouts, as operators see and steer them.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use http::Method;
use serde_json::{Value, json};

use crate::{
    LIMIT,
    client::Answer,
    gateway::Gateway,
    raw::{Raw, RawAnswer},
};

/// Where a rollout stands, as one gateway shows it.
#[derive(Clone, Debug)]
pub struct Stand {
    /// Rises whenever all assignments are void.
    pub epoch: u64,
    /// Rises with each change.
    pub version: u64,
    /// Its phase's name.
    pub phase: String,
    /// Percent of keys on the candidate, at this gateway.
    pub weight: u64,
    /// The upstream that serves.
    pub active: String,
    /// The upstream that is tried.
    pub candidate: String,
    /// All that was shown.
    pub shown: Value,
}

impl Stand {
    /// Reads what the admin port shows.
    pub fn of(shown: Value) -> Self {
        let number = |name: &str| shown[name].as_u64().unwrap_or_else(|| panic!("no {name}: {shown}"));
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text: {shown}")).to_owned();
        Self {
            epoch: number("epoch"),
            version: number("version"),
            weight: number("weight"),
            phase: text(&shown["phase"]["name"]),
            active: text(&shown["active"]),
            candidate: text(&shown["candidate"]),
            shown,
        }
    }

    /// The place in the order of states: it never goes back.
    pub fn place(&self) -> (u64, u64) {
        (self.epoch, self.version)
    }

    /// The step it is at, from 0.
    pub fn step(&self) -> Option<u64> {
        self.shown["phase"]["step"].as_u64()
    }

    /// What is wrong with it at this gateway.
    pub fn troubles(&self) -> Vec<String> {
        let troubles = self.shown["troubles"].as_array().cloned().unwrap_or_default();
        troubles.iter().map(|trouble| trouble.as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// Asks an admin port that may be gone; nothing where no whole answer comes.
pub async fn ask(admin: SocketAddr, line: &str, headers: &str, body: &str) -> Option<RawAnswer> {
    let mut raw = Raw::try_connect(admin).await.ok()?;
    ask_on(&mut raw, line, headers, body).await
}

/// As [`ask`], on a connection that is kept.
pub async fn ask_on(raw: &mut Raw, line: &str, headers: &str, body: &str) -> Option<RawAnswer> {
    let length = body.len();
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    raw.send(format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\n{headers}{kind}Content-Length: {length}\r\n\r\n{body}"
    ))
    .await;
    raw.answer().await.ok().filter(|answer| answer.complete)
}

impl Gateway {
    /// Where a rollout stands.
    pub async fn rollout(&self, name: &str) -> Stand {
        Stand::of(self.admin_get(&format!("/rollouts/{name}")).await)
    }

    /// Gives a rollout a command: `start`, `abort`, ...
    pub async fn try_steer(&self, name: &str, command: &str) -> Answer {
        self.admin_json(Method::POST, &format!("/rollouts/{name}/{command}"), &json!({})).await
    }

    /// As [`Gateway::try_steer`]; panics where it is refused.
    pub async fn steer(&self, name: &str, command: &str) -> Stand {
        let answer = self.try_steer(name, command).await;
        assert_eq!(answer.status, 200, "{command}: {:?}", answer.body);
        Stand::of(answer.json())
    }

    /// Puts so many percent of the keys on the candidate.
    pub async fn try_weigh(&self, name: &str, weight: u8) -> Answer {
        let body = json!({ "weight": weight });
        self.admin_json(Method::PUT, &format!("/rollouts/{name}/weight"), &body).await
    }

    /// As [`Gateway::try_weigh`]; panics where it is refused.
    pub async fn weigh(&self, name: &str, weight: u8) -> Stand {
        let answer = self.try_weigh(name, weight).await;
        assert_eq!(answer.status, 200, "weight {weight}: {:?}", answer.body);
        Stand::of(answer.json())
    }

    /// Its decisions, oldest first.
    pub async fn decisions(&self, name: &str) -> Vec<Value> {
        let history = self.admin_get(&format!("/rollouts/{name}/history")).await;
        history["decisions"].as_array().unwrap_or_else(|| panic!("no decisions: {history}")).clone()
    }

    /// Waits until a rollout stands so, and says how.
    pub async fn until(&self, name: &str, what: &str, mut stands: impl FnMut(&Stand) -> bool) -> Stand {
        let end = Instant::now() + LIMIT;
        loop {
            let stand = self.rollout(name).await;
            if stands(&stand) {
                return stand;
            }
            assert!(Instant::now() < end, "never came true: {what}; it stands {stand:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
