//! Writes that are kept during a freeze and applied after it.
//!
//! | file | holds |
//! |---|---|
//! | `whole` | a whole window under kills: nothing is lost, nothing is done twice, order is kept |
//! | `ends` | the ways in which an intent ends |
//! | `resource` | what a client sees of its intent |
//! | `lines` | what waits behind what |
//! | `secrets` | what is not stored |

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod ends;
mod lines;
mod resource;
mod secrets;
mod whole;

use serde_json::{Value, json};
use sluicegate_tests::{
    Fenced, Gateway, Raw, Write, comes_true,
    intents::{ask_for, intent_of},
    raw::RawAnswer,
};

/// A gateway that queues, with so many intents applied at one time.
fn queueing(concurrent: usize) -> Fenced {
    Fenced::embedded().queueing(concurrent)
}

/// The write of this number, in a line.
fn write(number: u64, line: &str) -> Write {
    Write { number, line: line.to_owned(), place: number }
}

/// Sends a write on a connection of its own.
async fn send(gateway: &Gateway, write: &Write) -> RawAnswer {
    Raw::connect(gateway.address()).await.ask(write.request(false, "")).await
}

/// Sends a write that is expected to be queued, and returns the path of its intent.
async fn queue(gateway: &Gateway, write: &Write) -> String {
    intent_of(&send(gateway, write).await)
}

/// What the status resource at `path` says.
async fn status(gateway: &Gateway, path: &str) -> Value {
    let answer = ask_for(&mut Raw::connect(gateway.address()).await, path, "").await;
    assert_eq!(answer.status, 200, "GET {path}: {answer:?} {}", answer.text());
    answer.json()
}

/// Waits until the intent at `path` is in this state, and returns what is said of it.
async fn until(gateway: &Gateway, path: &str, state: &str) -> Value {
    let mut shown = Value::Null;
    let there = async || {
        shown = status(gateway, path).await;
        shown["state"] == state
    };
    comes_true(&format!("{path} is {state}"), there).await;
    shown
}

/// The id in the path of an intent.
fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// Freezes everything and waits until it is drained.
async fn freeze(gateway: &Gateway) {
    gateway.freeze("window?wait=10s", &json!({ "reason": "reindex" })).await;
}
