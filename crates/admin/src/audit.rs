//! The audit log: every change, who asked for it, and how it ended.
//!
//! A change is written in three places: as a line to the tracing target `sluicegate::audit`,
//! in a bounded ring in memory that `GET /audit` shows, and, where a file is configured, as
//! one line of JSON that is synced to disk before the caller of the change gets its answer.
//!
//! The promise: a change that was answered is in the file, or the failure to write it is
//! named in `/readyz` under `audit`, counted in `sluicegate_admin_audit_failures_total`, and
//! the line still stands in the other two places. A change is never held up or undone
//! because it could not be logged: a freeze in an emergency must work on a full disk. The
//! file is opened again after a failure, and before each line where another one (or none) stands
//! under its name: whoever rotates it tells nobody. It is made readable for its owner alone, since
//! it tells who works here, from where and on what. What was left of a line that could not be
//! written whole spoils that line only.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use sluicegate_core::Clock;

use crate::{actor::Actor, readiness::Readiness};

/// The tracing target of audit lines.
pub const TARGET: &str = "sluicegate::audit";

/// Changes kept in memory; older ones are in the log and the file.
const KEPT: usize = 512;

/// One change.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub struct Entry {
    /// What was done: `freeze`, `thaw`, `config_put`, `reload`, `key_resolve`, `intent_retry`,
    /// `intent_drop`, `intent_settle`, `backfill_pause`, `backfill_resume`, `shadow_reset`, and
    /// `rollout_` with the command: `rollout_abort`.
    pub action: &'static str,
    /// To what: the id of a freeze, a key or an intent, the name of a rollout or of a shadow's
    /// route, a document's source; empty where the action says it all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Who asked.
    pub actor: Actor,
    /// How it ended: `ok`, or the code of the refusal.
    pub result: &'static str,
    /// What was asked for, or why it failed.
    pub detail: Value,
}

impl Entry {
    /// A change that was made.
    #[must_use]
    pub fn done(action: &'static str, target: impl Into<String>, actor: Actor, detail: Value) -> Self {
        Self { action, target: target.into(), actor, result: "ok", detail }
    }

    /// A change that was refused or failed.
    #[must_use]
    pub fn failed(
        action: &'static str,
        target: impl Into<String>,
        actor: Actor,
        result: &'static str,
        why: &str,
    ) -> Self {
        Self { action, target: target.into(), actor, result, detail: json!({ "error": why }) }
    }
}

/// A change, and when it was made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditLine")]
pub(crate) struct Line {
    /// When.
    at: jiff::Timestamp,
    #[serde(flatten)]
    entry: Entry,
}

/// The audit log. Clones share it.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    readiness: Arc<Readiness>,
    failures: Counter,
    ring: Mutex<VecDeque<Line>>,
    file: Option<Mutex<LogFile>>,
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    open: Option<File>,
}

impl Audit {
    /// A log that keeps its lines in memory and, with a path, in a file that is appended to.
    /// A file that cannot be opened is reported in `readiness` now and tried again with each
    /// line.
    pub fn new(
        clock: Clock,
        path: Option<PathBuf>,
        readiness: Arc<Readiness>,
        registry: &mut Registry,
    ) -> Self {
        let failures = Counter::default();
        registry.register(
            "sluicegate_admin_audit_failures",
            "Audit lines that could not be written to the audit file",
            failures.clone(),
        );
        let file = path.map(|path| Mutex::new(LogFile { path, open: None }));
        let audit = Self(Arc::new(Inner { clock, readiness, failures, ring: Mutex::default(), file }));
        if let Some(file) = &audit.0.file {
            let mut file = file.lock();
            let opened = file.ready().map(drop);
            audit.report(&file.path, opened);
        }
        audit
    }

    /// Writes a change down; returns when the line is on disk (or could not be written). The
    /// waiting is done on a blocking thread; if the caller is dropped, the line is written all
    /// the same.
    pub async fn record(&self, entry: Entry) {
        let line = self.remember(&entry);
        if self.0.file.is_some() {
            let audit = self.clone();
            // Fails only while the runtime shuts down; the other two places have the line.
            drop(tokio::task::spawn_blocking(move || audit.append(&line)).await);
        }
    }

    /// [`Audit::record`] for callers outside a runtime; blocks for the sync of one line.
    pub fn record_blocking(&self, entry: &Entry) {
        let line = self.remember(entry);
        self.append(&line);
    }

    /// The changes in memory, the newest first.
    pub(crate) fn recent(&self, limit: usize) -> Vec<Line> {
        self.0.ring.lock().iter().rev().take(limit).cloned().collect()
    }

    fn remember(&self, entry: &Entry) -> String {
        let at = jiff::Timestamp::try_from(self.0.clock.now()).unwrap_or_default();
        let line = Line { at, entry: entry.clone() };
        let text = json!(line).to_string();
        tracing::info!(target: TARGET, "{text}");
        let mut ring = self.0.ring.lock();
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(line);
        text
    }

    fn append(&self, line: &str) {
        let Some(file) = &self.0.file else { return };
        let mut file = file.lock();
        let written = file.append(line);
        if written.is_err() {
            file.open = None;
        }
        self.report(&file.path, written);
    }

    fn report(&self, path: &Path, written: io::Result<()>) {
        let reason = written.err().map(|error| {
            self.0.failures.inc();
            let reason = format!("cannot write {}: {error}; changes are in the log only", path.display());
            tracing::error!("audit: {reason}");
            reason
        });
        self.0.readiness.set_degraded("audit", reason);
    }
}

impl LogFile {
    fn append(&mut self, line: &str) -> io::Result<()> {
        let file = self.ready()?;
        // One write call: lines of two writers to the same file never mix.
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_data()
    }

    /// The file, opened where it is not, or is no longer what stands under its name.
    fn ready(&mut self) -> io::Result<&mut File> {
        let file = match self.open.take().filter(|file| stands_at(file, &self.path)) {
            Some(file) => file,
            None => open(&self.path)?,
        };
        Ok(self.open.insert(file))
    }
}

/// Whether this file is what stands under the name.
fn stands_at(file: &File, path: &Path) -> bool {
    let which = |it: fs::Metadata| (it.dev(), it.ino());
    match (file.metadata().map(which), fs::metadata(path).map(which)) {
        (Ok(open), Ok(named)) => open == named,
        _ => false,
    }
}

/// Opens the file for lines to come, and ends what was left of one.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 && File::open(path)?.read_at(&mut last, length - 1)? == 1 && last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
