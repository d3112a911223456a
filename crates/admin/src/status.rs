//! `GET /status`: what an operator looks at first, in one document.
//!
//! The admin API knows the configuration, the freezes and the readiness; listeners,
//! upstreams, the store and whatever else the gateway runs add a section each. A section that
//! does not come in time says so in its place: a store that hangs must not hide the rest.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use futures_util::future::{BoxFuture, join_all};
use serde_json::{Map, Value, json};

use crate::{Shared, problem::fresh_json};

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
    let mut config = json!(shared.config.view());
    if let Value::Object(config) = &mut config {
        config.remove("document");
    }
    let sections = join_all(shared.sections.iter().map(|section| in_time(&**section))).await;
    let mut status: Map<_, _> = sections.into_iter().collect();
    status.insert("version".into(), shared.version.into());
    status.insert("started_at".into(), shared.started_at.to_string().into());
    status.insert("readiness".into(), shared.readiness.view());
    status.insert("config".into(), config);
    status.insert("freeze".into(), json!(shared.freezes.status()));
    fresh_json(&Value::Object(status))
}
