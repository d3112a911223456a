//! `GET /openapi.json`: the whole API, for people and for programs that are made from it.
//!
//! `OpenAPI` 3.1. It is made from the same values as the router, so what it says is what is served;
//! schemas are those of the types that are written as answers. Parameters, bodies and refusals that
//! an endpoint has by its kind are added here: who needs a token may be told 401 or 403, what has a name
//! in its path or a query may be misspelt.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use axum::{extract::State, response::Response};
use http::StatusCode;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{
    Shared,
    endpoint::{Endpoint, Takes},
    problem::fresh_json,
};

/// The document without its version: that of the gateway is put in when it is asked for.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| document(&crate::endpoints()));

pub(crate) async fn get(State(shared): State<Arc<Shared>>) -> Response {
    let mut document = DOCUMENT.clone();
    document["info"]["version"] = shared.version.into();
    fresh_json(&document)
}

/// What is said of the API as a whole.
const ABOUT: &str = "How operators, schedulers, scrapers and probes see and steer the gateway. With a token \
    configured everything but the probes needs it: one with the role `read` may look, one with the role `operate` \
    may change. Without a token nothing but the probes is answered except over loopback and under its names, and \
    nothing is changed for a page of another origin. Errors are \
    `application/problem+json` with a stable `code`. Name who asks in `X-Sluicegate-Actor`: it goes into the audit log.";

/// The document of these endpoints.
pub(crate) fn document(endpoints: &[Endpoint]) -> Value {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|it| it.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for endpoint in endpoints {
        let operations = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        operations[endpoint.method.to_ascii_lowercase()] = operation(endpoint, &mut generator);
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sluicegate admin API",
            "version": "",
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let mut answers: BTreeMap<u16, Map<String, Value>> = BTreeMap::new();
    for answer in &endpoint.answers {
        let schema = (answer.schema)(generator);
        answers.entry(answer.status).or_default().insert(answer.kind.to_owned(), json!({ "schema": schema }));
    }
    let mut responses: Map<String, Value> = answers
        .into_iter()
        .map(|(status, content)| (status.to_string(), described(status, &Value::Object(content))))
        .collect();
    for (status, codes) in refusals(endpoint) {
        let schema = json!({
            "allOf": [{ "$ref": "#/components/schemas/Problem" }],
            "properties": { "code": { "enum": codes }, "status": { "const": status } },
        });
        let content = json!({ "application/problem+json": { "schema": schema } });
        responses.insert(status.to_string(), described(status, &content));
    }
    let segment = (endpoint.segment)(generator);
    let in_path = endpoint.path.split(['{', '}']).skip(1).step_by(2).map(|name| {
        json!({ "name": name, "in": "path", "required": true, "description": "Which one.", "schema": segment })
    });
    let in_query: Vec<Value> = endpoint
        .query
        .iter()
        .map(|it| {
            json!({
                "name": it.name, "in": "query", "required": false, "description": it.about,
                "schema": (it.schema)(generator),
            })
        })
        .collect();
    let mut operation = json!({
        "operationId": endpoint.id,
        "tags": [endpoint.topic],
        "summary": endpoint.says,
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": responses,
        // Without a token configured none is needed.
        "security": if endpoint.open { json!([]) } else { json!([{ "token": [] }, {}]) },
    });
    if let Some(Takes { kinds, required, schema }) = &endpoint.takes {
        let schema = schema(generator);
        let content: Map<_, _> =
            kinds.iter().map(|kind| ((*kind).to_owned(), json!({ "schema": schema }))).collect();
        operation["requestBody"] = json!({ "required": required, "content": content });
    }
    operation
}

fn described(status: u16, content: &Value) -> Value {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    json!({ "description": reason.unwrap_or("An answer"), "content": content })
}

/// Statuses and codes: the endpoint's own, and those of its kind.
fn refusals(endpoint: &Endpoint) -> BTreeMap<u16, Vec<&'static str>> {
    let mut all = endpoint.refuses.clone();
    if endpoint.path.contains('{') || !endpoint.query.is_empty() || endpoint.changes() {
        all.push((400, "bad_request"));
    }
    if !endpoint.open {
        all.extend([(401, "unauthorized"), (403, "forbidden_origin")]);
    }
    if endpoint.changes() {
        all.extend([(403, "role_required"), (500, "internal")]);
        if endpoint.method != "DELETE" {
            all.extend([(408, "request_timeout"), (413, "body_too_large")]);
        }
    }
    let mut refusals = BTreeMap::<_, Vec<_>>::new();
    for (status, code) in all {
        let codes = refusals.entry(status).or_default();
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    refusals
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "Why something was not done (RFC 9457). Some codes have members of their own besides.",
        "properties": {
            "type": { "type": "string", "description": "`urn:sluicegate:problem:` and the code." },
            "title": { "type": "string", "description": "The code in words." },
            "status": { "type": "integer", "description": "The status of the answer." },
            "detail": { "type": "string", "description": "What was wrong with this request, and what to do." },
            "code": { "type": "string", "description": "A stable word for scripts." },
        },
        "required": ["type", "title", "status", "detail", "code"],
    })
}
