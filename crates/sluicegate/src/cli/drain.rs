//! The progress of a drain, as a bar, where a person waits for it.
//!
//! On a terminal the gateway is asked twice a second how far the drain has come; elsewhere once, and
//! it answers when the drain is over. Both ask for the same thing and end alike.

use std::{
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use sluicegate_core::units::Span;

use super::client::{Client, ClientError};

/// How long the gateway is asked to wait before it tells how far it has come.
const LOOK: Span = Span(Duration::from_millis(500));

/// How the drain of the freeze at `path` went, after `limit` at most.
pub(super) fn wait(client: &Client, path: &str, limit: Span, terminal: bool) -> Result<Value, ClientError> {
    if !terminal {
        return client.send("GET", &format!("{path}?wait={limit}"), None, limit.0);
    }
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("  draining [{bar:30}] {pos} of {len} writes ended, {elapsed}")
    {
        bar.set_style(style.progress_chars("##-"));
    }
    let ended = follow(client, path, limit, &bar);
    bar.finish_and_clear();
    ended
}

fn follow(client: &Client, path: &str, limit: Span, bar: &ProgressBar) -> Result<Value, ClientError> {
    let end = Instant::now() + limit.0;
    loop {
        let left = Span(end.saturating_duration_since(Instant::now()).min(LOOK.0));
        let began = Instant::now();
        // Whole milliseconds, and never none: no time to wait would be told as none was asked for.
        let wait = Span(Duration::from_millis(u64::try_from(left.0.as_millis()).unwrap_or(500).max(1)));
        let answer = client.send("GET", &format!("{path}?wait={wait}"), None, wait.0)?;
        let drain = &answer["drain"];
        let number = |name: &str| drain[name].as_u64().unwrap_or_default();
        bar.set_length(number("waited_for"));
        bar.set_position(number("waited_for").saturating_sub(number("in_flight")));
        let over = ["drained", "ended"].iter().any(|name| drain[*name] == true);
        if over || Instant::now() >= end {
            return Ok(answer);
        }
        // A gateway that answers before its time is not asked in a loop.
        thread::sleep(wait.0.saturating_sub(began.elapsed()));
    }
}
