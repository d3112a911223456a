//! `GET /`: what there is.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use axum::{extract::State, response::Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::{Shared, problem::fresh_json};

/// The endpoints.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Index {
    /// `sluicegate`.
    name: &'static str,
    /// Of the gateway.
    version: &'static str,
    /// What each does, by its method and path.
    endpoints: &'static BTreeMap<String, &'static str>,
}

static ENDPOINTS: LazyLock<BTreeMap<String, &'static str>> = LazyLock::new(|| {
    let all = crate::endpoints().into_iter();
    all.map(|endpoint| (format!("{} {}", endpoint.method, endpoint.path), endpoint.says)).collect()
});

pub(crate) async fn get(State(shared): State<Arc<Shared>>) -> Response {
    fresh_json(&json!(Index { name: "sluicegate", version: shared.version, endpoints: &ENDPOINTS }))
}
