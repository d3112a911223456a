//! `GET /status`: what an operator looks at first, in one document.
//!
//! The admin API knows the configuration, the freezes and the readiness; listeners,
//! upstreams and whatever else the gateway runs add a section each.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde_json::{Map, Value, json};

use crate::{Shared, problem::fresh_json};

/// A part of the gateway with something to show in `GET /status`.
pub trait StatusSection: Send + Sync {
    /// The member under which it stands; not one of the API's own (`version`, `started_at`,
    /// `readiness`, `config`, `freeze`), which are kept.
    fn name(&self) -> &'static str;

    /// What it shows: best a list of objects with the same members, which the command line
    /// prints as a table.
    fn status(&self) -> Value;
}

pub(crate) async fn get(State(shared): State<Arc<Shared>>) -> Response {
    let mut config = json!(shared.config.view());
    if let Value::Object(config) = &mut config {
        config.remove("document");
    }
    let mut status = Map::new();
    for section in &shared.sections {
        status.insert(section.name().to_owned(), section.status());
    }
    status.insert("version".into(), shared.version.into());
    status.insert("started_at".into(), shared.started_at.to_string().into());
    status.insert("readiness".into(), shared.readiness.view());
    status.insert("config".into(), config);
    status.insert("freeze".into(), json!(shared.freezes.status()));
    fresh_json(&Value::Object(status))
}
