//! The configuration is replaced while the gateway runs, and no client notices.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod continuity;
mod listeners;
mod refused;
mod sources;

use std::time::{Duration, Instant};

use serde_json::Value;
use sluicegate_tests::{Gateway, LIMIT};

/// Waits until `GET /config` satisfies `condition`, and returns it.
async fn until_config(gateway: &Gateway, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + LIMIT;
    loop {
        let shown = gateway.admin_get("/config").await;
        if condition(&shown) {
            return shown;
        }
        assert!(Instant::now() < end, "never came true: {what}: {shown}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until a later generation than `generation` runs.
async fn until_later(gateway: &Gateway, generation: &Value) -> Value {
    let before = generation.as_u64().unwrap();
    until_config(gateway, "a later generation", |shown| shown["generation"].as_u64().unwrap() > before).await
}
