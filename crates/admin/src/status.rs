//! `GET /status`: what an operator looks at first, in one document.
//!
//! The admin API knows the configuration, the freezes and the readiness; listeners,
//! upstreams, the store and whatever else the gateway runs add a section each. A section that
//! does not come in time says so in its place: a store that hangs must not hide the rest.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use futures_util::future::{BoxFuture, join_all};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sluicegate_freeze::FreezeStatus;

use crate::{
    Shared,
    config::ConfigSummary,
    endpoint::{self, Endpoint},
    problem::fresh_json,
    readiness::View,
};

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let status = Endpoint::get("/status", get)
        .named("status", "configuration, freezes, readiness, upstreams")
        .answers::<Status>();
    endpoint::of("gateway", vec![status])
}

/// What the gateway is doing; besides what is named here each of its parts has a member of its own.
#[derive(Serialize, JsonSchema)]
struct Status {
    /// Of the gateway.
    version: &'static str,
    /// When it began.
    started_at: Timestamp,
    /// Whether it should get traffic.
    readiness: View,
    /// Its configuration, without the document.
    config: ConfigSummary,
    /// The freezes.
    freeze: FreezeStatus,
}

/// A part of the gateway with something to show in `GET /status`.
pub trait StatusSection: Send + Sync {
    /// The member under which it stands; not one of the API's own (`version`, `started_at`,
    /// `readiness`, `config`, `freeze`), which are kept.
    fn name(&self) -> &'static str;

    /// What it shows: best a list of objects with the same members, which the command line
    /// prints as a table.
    fn status(&self) -> BoxFuture<'_, Value>;
}

/// A section must have come by then.
const SECTION_LIMIT: Duration = Duration::from_secs(5);

async fn in_time(section: &dyn StatusSection) -> (String, Value) {
    let status = tokio::time::timeout(SECTION_LIMIT, section.status()).await;
    let late = |_| json!({ "error": format!("nothing came within {} s", SECTION_LIMIT.as_secs()) });
    (section.name().to_owned(), status.unwrap_or_else(late))
}

pub(crate) async fn get(State(shared): State<Arc<Shared>>) -> Response {
    let sections = join_all(shared.sections.iter().map(|section| in_time(&**section))).await;
    let mut status: Map<_, _> = sections.into_iter().collect();
    let own = Status {
        version: shared.version,
        started_at: shared.started_at,
        readiness: shared.readiness.view(),
        config: shared.config.view().summary,
        freeze: shared.freezes.status(),
    };
    if let Value::Object(own) = json!(own) {
        status.extend(own);
    }
    fresh_json(&Value::Object(status))
}
