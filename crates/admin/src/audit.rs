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
//! file is opened again after a failure, and before each line where it was moved away.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use serde::Serialize;
use serde_json::{Value, json};
use sluicegate_core::Clock;

use crate::{actor::Actor, readiness::Readiness};

/// The tracing target of audit lines.
pub const TARGET: &str = "sluicegate::audit";

/// Changes kept in memory; older ones are in the log and the file.
const KEPT: usize = 512;

/// One change.
#[derive(Clone, Debug, Serialize)]
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

/// The audit log. Clones share it.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    readiness: Arc<Readiness>,
    failures: Counter,
    ring: Mutex<VecDeque<Value>>,
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
    pub(crate) fn recent(&self, limit: usize) -> Vec<Value> {
        self.0.ring.lock().iter().rev().take(limit).cloned().collect()
    }

    fn remember(&self, entry: &Entry) -> String {
        let at = jiff::Timestamp::try_from(self.0.clock.now()).unwrap_or_default();
        let mut line = json!({ "at": at.to_string() });
        if let (Value::Object(line), Ok(Value::Object(entry))) = (&mut line, serde_json::to_value(entry)) {
            line.extend(entry);
        }
        let text = line.to_string();
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
        if !self.path.exists() {
            self.open = None;
        }
        let file = match self.open.take() {
            Some(file) => file,
            None => OpenOptions::new().create(true).append(true).open(&self.path)?,
        };
        Ok(self.open.insert(file))
    }
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, sync::Arc};

    use prometheus_client::registry::Registry;
    use serde_json::{Value, json};
    use sluicegate_core::Clock;

    use super::{Actor, Audit, Entry, KEPT};
    use crate::Readiness;

    fn audit(path: Option<PathBuf>) -> (Audit, Arc<Readiness>) {
        let readiness = Arc::new(Readiness::default());
        (Audit::new(Clock::system(), path, readiness.clone(), &mut Registry::default()), readiness)
    }

    fn entry(target: &str) -> Entry {
        Entry::done("freeze", target, Actor::cause("calendar"), json!({ "reason": "tests" }))
    }

    #[tokio::test]
    async fn a_line_is_on_disk_when_record_returns_and_old_lines_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        for round in 0..2 {
            let (audit, readiness) = audit(Some(path.clone()));
            audit.record(entry("reindex")).await;
            let text = std::fs::read_to_string(&path).unwrap();
            let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(lines.len(), round + 1);
            assert_eq!(lines[round]["action"], "freeze");
            assert_eq!(lines[round]["target"], "reindex");
            assert_eq!(lines[round]["actor"], json!({ "cause": "calendar" }));
            assert_eq!(audit.recent(10), lines[round..]);
            assert_eq!(readiness.view()["degraded"], json!({}));
        }
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_named_counted_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/audit.log");
        let (audit, readiness) = audit(Some(path.clone()));
        audit.record(entry("one")).await;
        assert_eq!(audit.0.failures.get(), 2, "once at the start, once for the line");
        let reason = readiness.view()["degraded"]["audit"].to_string();
        assert!(reason.contains("audit.log"), "{reason}");
        assert_eq!(audit.recent(10).len(), 1);

        std::fs::create_dir(folder.path().join("later")).unwrap();
        audit.record(entry("two")).await;
        assert_eq!(readiness.view()["degraded"], json!({}));
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 1);
    }

    #[tokio::test]
    async fn a_file_that_was_rotated_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let (audit, _) = audit(Some(path.clone()));
        audit.record(entry("one")).await;
        std::fs::rename(&path, folder.path().join("audit.1")).unwrap();
        audit.record(entry("two")).await;
        assert!(std::fs::read_to_string(path).unwrap().contains("two"));
    }

    #[test]
    fn memory_is_bounded_and_the_newest_comes_first() {
        let (audit, _) = audit(None);
        for n in 0..KEPT + 3 {
            audit.record_blocking(&entry(&n.to_string()));
        }
        assert_eq!(audit.recent(usize::MAX).len(), KEPT);
        assert_eq!(audit.recent(1)[0]["target"], (KEPT + 2).to_string());
    }
}
