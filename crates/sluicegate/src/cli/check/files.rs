//! What a configuration names of files, read as a start or a reload would: a file that is missing
//! tonight is better found now.

use std::path::{Path, PathBuf};

use sluicegate_config::{
    Loaded, Problem,
    document::{Document, StoreInput},
    problem_at,
};
use sluicegate_core::secret_file;
use sluicegate_shadow::ShadowsInput;
use sluicegate_upstream::UpstreamSettings;
use sluicegate_webhooks::WebhookSettings;

use crate::control;

/// Pairs of a path in the document and a message.
type Faults = Vec<(String, String)>;

/// Files that cannot be read, or do not hold what they should.
pub(super) fn problems(loaded: &Loaded) -> Vec<Problem> {
    let (document, source) = (&*loaded.document, &loaded.source);
    let resolve = |path: &Path| source.resolve(path);
    let mut faults = sluicegate_server::check(&document.listen, &source.base_dir);
    faults.extend(upstreams(document, &resolve));
    faults.extend(routes(document, &resolve));
    if let Err(found) = document.intents.with_files(&resolve) {
        faults.extend(below("intents.", found));
    }
    let keys = document.jwt.as_ref().and_then(|jwt| jwt.file_fault(&resolve));
    faults.extend(below("jwt.", keys));
    if let Err(found) = WebhookSettings::read(&document.webhooks, &resolve) {
        faults.extend(below("webhooks", found));
    }
    if let StoreInput::Redis(redis) = &document.store {
        let password = redis.password_file.as_ref().and_then(|path| secret_file::read(&resolve(path)).err());
        faults.extend(password.map(|message| ("store.redis.password_file".to_owned(), message)));
    }
    if let Err(found) = control::tokens::read(&document.admin, source) {
        faults.extend(found);
    }
    let mut problems: Vec<_> =
        faults.into_iter().map(|(path, message)| problem_at(loaded, &path, message)).collect();
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems
}

fn below(path: &str, faults: impl IntoIterator<Item = (String, String)>) -> Faults {
    faults.into_iter().map(|(inside, message)| (format!("{path}{inside}"), message)).collect()
}

fn upstreams(document: &Document, resolve: &dyn Fn(&Path) -> PathBuf) -> Faults {
    let mut faults = Faults::new();
    for (name, input) in &document.upstreams {
        if let Err(found) = UpstreamSettings::check_without_names(name, input, resolve) {
            let found = found.into_iter().map(|error| (error.path, error.message));
            faults.extend(below(&format!("upstreams.{name}."), found));
        }
    }
    faults
}

fn routes(document: &Document, resolve: &dyn Fn(&Path) -> PathBuf) -> Faults {
    let mut faults = Faults::new();
    for (at, route) in document.routes.iter().enumerate() {
        if let Err(found) = route.rewrite(Some(resolve)) {
            faults.extend(below(&format!("routes[{at}]."), found));
        }
        for (inside, shadow) in route.shadow.iter().flat_map(ShadowsInput::each) {
            if let Err(found) = shadow.with_files(resolve) {
                faults.extend(below(&format!("routes[{at}].shadow{inside}."), found));
            }
        }
    }
    faults
}
