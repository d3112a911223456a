//! The thread that writes.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    LogSettings, Shared,
    file::{Appended, LogFile},
    queue::Order,
};

/// How often the gateway's log tells of the same trouble at most.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// The thread that writes.
pub(super) struct Writer<'a> {
    file: LogFile,
    shared: &'a Shared,
    complained: Option<Instant>,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(settings: LogSettings, shared: &'a Shared) -> Self {
        Self { file: LogFile::new(settings), shared, complained: None }
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        while let Some(order) = self.shared.queue.next() {
            match order {
                Order::Line(line) => {
                    let appended = self.file.append(&line);
                    self.note(appended);
                }
                Order::Set(settings) => {
                    self.shared.report.lock().path.clone_from(&settings.path);
                    self.file.set(settings);
                }
                Order::Reopen => self.file.close(),
            }
        }
    }

    fn note(&mut self, appended: io::Result<Appended>) {
        let mut report = self.shared.report.lock();
        match appended {
            Ok(appended) => {
                report.written += 1;
                report.rotations += u64::from(appended == Appended::Rotated);
                if report.error.take().is_some() {
                    let (path, failed) = (report.path.display(), report.failed);
                    tracing::info!("shadow log {path} is written again; {failed} lines are missing in all");
                }
            }
            Err(error) => {
                let reason = format!("cannot write {}: {error}", report.path.display());
                report.failed += 1;
                if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                    self.complained = Some(Instant::now());
                    let failed = report.failed;
                    tracing::error!("shadow log: {reason}; {failed} lines are missing so far");
                }
                report.error = Some(reason);
            }
        }
    }
}
