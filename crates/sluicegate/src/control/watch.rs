//! Following the configuration file, and the files it names.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;
use sluicegate_admin::{Actor, Applied, Audit, audit::Entry};
use sluicegate_config::{Changed, Loaded, Rejected, Watcher};
use tokio::{runtime::Handle, sync::mpsc};

use super::Control;

/// What tells of changes, and the changes.
pub(crate) type Changes = (Watcher, mpsc::Receiver<Changed>);

/// Begins to follow the file of a document, and those that it names. To be called before these are
/// first read, so that none of their changes is missed.
pub(crate) fn follow(side: &Handle, loaded: &Loaded) -> Option<Changes> {
    let file = loaded.source.file.clone()?;
    let _inside = side.enter();
    Some(Watcher::start(file, loaded.files()))
}

/// Takes the file again whenever it, or a certificate, key or token it names, has changed since
/// it was begun to [`follow`] them.
pub(crate) async fn watch(control: Arc<Control>, file: PathBuf, audit: Audit, told: Changes) {
    let (watcher, mut changes) = told;
    // The document was read before, to know what it names.
    let mut next = Some(Changed { document: true, files: Vec::new() });
    while let Some(changed) = match next.take() {
        Some(first) => Some(first),
        None => changes.recv().await,
    } {
        // A changed certificate is read again though the document is the same.
        let force = !changed.files.is_empty();
        let before = control.generation();
        let taking = control.clone();
        let Ok(result) = tokio::task::spawn_blocking(move || taking.reload(force)).await else { return };
        watcher.set_extra(named(&control));
        match result {
            // The text runs already: nothing has changed that is worth a line.
            Ok(applied) if applied.generation == before => {}
            result => audit.record(entry(&result, &file, "file")).await,
        }
    }
}

/// What the audit log says of a reload that nobody asked for over the admin API.
pub(crate) fn entry(result: &Result<Applied, Rejected>, file: &Path, cause: &'static str) -> Entry {
    let (actor, target) = (Actor::cause(cause), file.display().to_string());
    match result {
        Ok(applied) => Entry::done("reload", target, actor, json!({ "generation": applied.generation })),
        Err(rejected) => Entry::failed("reload", target, actor, "refused", &rejected.to_string()),
    }
}

fn named(control: &Control) -> Vec<PathBuf> {
    control.state.lock().running.as_ref().map(sluicegate_config::Loaded::files).unwrap_or_default()
}
