//! The configuration's endpoints, and what they need of the gateway.
//!
//! Loading, checking and swapping a document is the gateway's own work, behind
//! [`ConfigControl`]. A document that is refused changes nothing; all that is wrong with it
//! comes back at once, each problem with its place.

use std::sync::Arc;

use axum::{
    extract::{Query, Request, State},
    response::{IntoResponse, Response},
};
use futures_util::future::BoxFuture;
use http::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Shared,
    actor::Actor,
    audit::Entry,
    body,
    endpoint::{self, Endpoint, Parameter, schema_of},
    problem::{Problem, fresh_json},
};

/// The largest document that `PUT /config` takes, in bytes.
pub(crate) const LARGEST_DOCUMENT: usize = 4 << 20;

/// Documents are YAML, and JSON is YAML.
const KINDS: &[&str] = &["application/yaml", "application/json", "text/plain"];

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let persist = Parameter::new("persist", "Whether to replace the file, too.", schema_of::<bool>);
    endpoint::of(
        "configuration",
        vec![
            Endpoint::get("/config", get).named("config", "the document that runs").answers::<ConfigView>(),
            Endpoint::put("/config", put)
                .named("putConfig", "run another document; ?persist=true also replaces the file")
                .query(&[persist])
                .takes_text(KINDS)
                .answers::<Applied>()
                .refuses(409, &["config_unavailable"])
                .refuses(422, &["config_invalid"])
                .refuses(500, &["config_not_persisted"]),
            Endpoint::post("/reload", reload)
                .named("reload", "read the configuration file again")
                .answers::<Applied>()
                .refuses(409, &["config_unavailable"])
                .refuses(422, &["config_invalid"]),
        ],
    )
}

/// What the admin API needs to show and change the configuration.
pub trait ConfigControl: Send + Sync {
    /// The present state. Secrets in the document are redacted already.
    fn view(&self) -> ConfigView;

    /// The names that a freeze's scope may use.
    fn names(&self) -> ScopeNames;

    /// Checks and runs a whole document. With `persist` it also replaces the file.
    fn put(&self, text: String, persist: bool, by: Actor) -> BoxFuture<'_, Result<Applied, Rejection>>;

    /// Reads the source again, as SIGHUP does.
    fn reload(&self, by: Actor) -> BoxFuture<'_, Result<Applied, Rejection>>;
}

/// The state of the configuration, as `GET /config` shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Config")]
pub struct ConfigView {
    /// All of it but the document.
    #[serde(flatten)]
    pub summary: ConfigSummary,
    /// The document that runs, with its defaults.
    pub document: Value,
}

/// The state of the configuration, as `GET /status` shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConfigSummary {
    /// Rises by one with each document that was taken.
    pub generation: u64,
    /// Digest of the document's text.
    pub hash: String,
    /// The file it came from, or `PUT /config`.
    pub source: String,
    /// When it was taken.
    pub loaded_at: Timestamp,
    /// The last document that was refused since then.
    pub last_error: Option<LastError>,
    /// All that is wrong with that document, `last_error` being the first.
    pub problems: Vec<ConfigProblem>,
    /// Paths of settings that differ from the running ones and take effect at the next start.
    pub needs_restart: Vec<String>,
}

/// What the running document has, by name.
#[derive(Clone, Debug, Default)]
pub struct ScopeNames {
    /// Names of its routes.
    pub routes: Vec<String>,
    /// Names of its upstreams.
    pub upstreams: Vec<String>,
}

/// One thing that is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConfigProblem {
    /// The file, or `PUT /config`.
    pub file: String,
    /// Counted from 1; none where the problem has no place in the text.
    pub line: Option<u64>,
    /// Counted from 1.
    pub column: Option<u64>,
    /// Where in the document, as `routes[2].upstream`.
    pub path: Option<String>,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// The first problem of a refused document, and when it was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastError {
    /// What and where.
    #[serde(flatten)]
    pub problem: ConfigProblem,
    /// When.
    pub at: Timestamp,
}

/// A document that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ConfigApplied")]
pub struct Applied {
    /// Its generation; the present one where the document is the one that runs already.
    pub generation: u64,
    /// Its digest.
    pub hash: String,
    /// Settings of it that take effect at the next start only.
    pub needs_restart: Vec<String>,
}

/// Why a document was not taken, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// It is not valid; nothing was changed.
    #[error("the document has {} problem(s); the running configuration was kept", .problems.len())]
    Invalid {
        /// All that is wrong with it.
        problems: Vec<ConfigProblem>,
    },
    /// It runs, but could not be written to the file.
    #[error("generation {} runs now, but the file was not replaced: {reason}", .applied.generation)]
    NotPersisted {
        /// What runs.
        applied: Applied,
        /// Why the file was not replaced.
        reason: String,
    },
    /// The gateway could not do it, whatever the document says (no file to reload, stopping).
    #[error("{0}")]
    Unavailable(String),
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            Rejection::Invalid { problems } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "config_invalid",
                "The configuration is not valid",
                detail,
            )
            .member("problems", json!(problems)),
            Rejection::NotPersisted { applied, .. } => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "config_not_persisted",
                "The configuration runs but was not kept",
                detail,
            )
            .member("applied", json!(applied)),
            Rejection::Unavailable(_) => Self::new(
                StatusCode::CONFLICT,
                "config_unavailable",
                "The configuration cannot be changed now",
                detail,
            ),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutQuery {
    #[serde(default)]
    persist: bool,
}

pub(crate) async fn get(State(shared): State<Arc<Shared>>) -> Response {
    fresh_json(&json!(shared.config.view()))
}

pub(crate) async fn put(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<PutQuery>, axum::extract::rejection::QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Query(PutQuery { persist }) =
        query.map_err(|_| Problem::bad_request("the only parameter here is `persist`, `true` or `false`"))?;
    let by = Actor::of(&request);
    let text = String::from_utf8(body::read(request, LARGEST_DOCUMENT).await?.into())
        .map_err(|_| Problem::bad_request("the document is not UTF-8 text"))?;
    if text.trim().is_empty() {
        return Err(Problem::bad_request("the body is empty; send the whole document, as YAML or JSON"));
    }
    // A change goes on to its end whether or not the client waits for it.
    change(shared, "config_put", json!({ "persist": persist }), by.clone(), move |shared| async move {
        shared.config.put(text, persist, by).await
    })
    .await
}

pub(crate) async fn reload(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let by = Actor::of(&request);
    change(
        shared,
        "reload",
        json!({}),
        by.clone(),
        move |shared| async move { shared.config.reload(by).await },
    )
    .await
}

async fn change<F>(
    shared: Arc<Shared>,
    action: &'static str,
    asked: Value,
    by: Actor,
    start: impl FnOnce(Arc<Shared>) -> F + Send + 'static,
) -> Result<Response, Problem>
where
    F: Future<Output = Result<Applied, Rejection>> + Send,
{
    body::to_the_end(async move {
        let made = start(shared.clone()).await.map_err(Problem::from);
        let entry = match &made {
            Ok(applied) => Entry::done(action, "", by, json!({ "asked": asked, "applied": applied })),
            Err(problem) => Entry::failed(action, "", by, problem.code(), problem.detail()),
        };
        shared.audit.record(entry).await;
        made.map(|applied| fresh_json(&json!(applied)).into_response())
    })
    .await
}
