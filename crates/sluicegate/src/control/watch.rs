//! Following the configuration file, and the files it names.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;
use sluicegate_admin::{Actor, Applied, Audit, audit::Entry};
use sluicegate_config::{Changed, Rejected, Watcher};

use super::Control;

/// Takes the file again whenever it, or a certificate, key or token it names, has changed.
pub(crate) async fn watch(control: Arc<Control>, file: PathBuf, audit: Audit) {
    let (watcher, mut changes) = Watcher::start(file.clone(), named(&control));
    // The file may have changed between its first reading and the start of the watching.
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
