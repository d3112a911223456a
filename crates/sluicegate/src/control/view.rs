//! The configuration as the admin API shows and changes it.

use std::{future::Future, pin::Pin, sync::Arc};

use serde_json::Value;
use sluicegate_admin::{
    Actor, Applied, ConfigControl, ConfigProblem, ConfigSummary, ConfigView, LastError, Rejection, ScopeNames,
};
use sluicegate_config::{Loaded, Problem, Rejected};

use super::Control;

/// The control, shared with the admin API.
#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Arc<Control>);

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Applied, Rejection>> + Send + 'a>>;

impl ConfigControl for Shared {
    fn view(&self) -> ConfigView {
        let state = self.0.state.lock();
        let running = state.running.as_ref();
        let problems: Vec<ConfigProblem> =
            state.refused.iter().flat_map(|(rejected, _)| rejected.problems.iter().map(shown)).collect();
        let last_error = state
            .refused
            .as_ref()
            .and_then(|(_, at)| Some(LastError { problem: problems.first()?.clone(), at: *at }));
        let summary = ConfigSummary {
            generation: state.generation,
            hash: running.map(|it| it.hash.clone()).unwrap_or_default(),
            source: running.map_or_else(String::new, |it| match &it.source.file {
                Some(file) => file.display().to_string(),
                None => "PUT /config".to_owned(),
            }),
            loaded_at: state.taken_at,
            last_error,
            problems,
            needs_restart: state.needs_restart(),
        };
        ConfigView { summary, document: running.map_or(Value::Null, Loaded::redacted) }
    }

    fn names(&self) -> ScopeNames {
        let Some(document) = self.0.document() else { return ScopeNames::default() };
        ScopeNames {
            routes: document.routes.iter().map(|route| route.name.clone()).collect(),
            upstreams: document.upstreams.keys().cloned().collect(),
        }
    }

    fn put(&self, text: String, persist: bool, _: Actor) -> Answer<'_> {
        let control = self.0.clone();
        blocking(move || {
            if persist && control.file.is_none() {
                return Err(Rejection::Unavailable("there is no configuration file to replace".to_owned()));
            }
            let (applied, replaced) = control.put(&text, persist).map_err(|rejected| refused(&rejected))?;
            match (replaced, &control.file) {
                (Err(error), Some(file)) => {
                    Err(Rejection::NotPersisted { applied, reason: format!("{}: {error}", file.display()) })
                }
                _ => Ok(applied),
            }
        })
    }

    fn reload(&self, _: Actor) -> Answer<'_> {
        let control = self.0.clone();
        blocking(move || {
            if control.file.is_none() {
                return Err(Rejection::Unavailable("this gateway was not started from a file".to_owned()));
            }
            control.reload(true).map_err(|rejected| refused(&rejected))
        })
    }
}

/// Taking a document resolves names and reads files: never on a thread that serves others.
fn blocking<'a>(work: impl FnOnce() -> Result<Applied, Rejection> + Send + 'static) -> Answer<'a> {
    Box::pin(async move {
        let stopped = || Rejection::Unavailable("the gateway is stopping".to_owned());
        tokio::task::spawn_blocking(work).await.map_err(|_| stopped())?
    })
}

fn refused(rejected: &Rejected) -> Rejection {
    Rejection::Invalid { problems: rejected.problems.iter().map(shown).collect() }
}

fn shown(problem: &Problem) -> ConfigProblem {
    let counted = |number: usize| (number > 0).then_some(number as u64);
    ConfigProblem {
        file: problem.file.clone(),
        line: counted(problem.line),
        column: counted(problem.column),
        path: Some(problem.path.clone()).filter(|path| !path.is_empty()),
        message: problem.message.clone(),
    }
}
