//! The access log: one JSON object per request, written off the hot path.
//!
//! Workers hand finished lines to a thread of the log's own over a bounded channel. When the
//! disk is slower than the traffic, lines are dropped and counted; a request never waits for
//! its log line. The file is opened anew with each reload (so also at SIGHUP), which is what
//! log rotation asks for.
//!
//! Metric: `sluicegate_access_log_dropped_total`.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use prometheus_client::metrics::counter::Counter;

/// Lines that may wait for the disk: a second or so of heavy traffic.
const WAITING: usize = 65_536;

/// Where finished lines go.
#[derive(Debug)]
pub(crate) struct AccessLog {
    lines: SyncSender<String>,
    dropped: Counter,
}

impl AccessLog {
    /// A log that is appended to `path`; standard output where there is none.
    pub(crate) fn open(path: Option<&Path>, dropped: Counter) -> io::Result<Self> {
        let file = path.map(|path| OpenOptions::new().create(true).append(true).open(path)).transpose()?;
        let (lines, receiver) = sync_channel(WAITING);
        std::thread::Builder::new().name("sluicegate-log".to_owned()).spawn(move || match file {
            Some(file) => write_all(&receiver, file),
            None => write_all(&receiver, io::stdout()),
        })?;
        Ok(Self { lines, dropped })
    }

    /// Hands a line over, or drops it.
    pub(crate) fn write(&self, line: String) {
        if self.lines.try_send(line).is_err() {
            self.dropped.inc();
        }
    }
}

/// Writes until the last sender is gone; flushes whenever nothing more is waiting.
fn write_all(lines: &Receiver<String>, target: impl Write) {
    let mut target = BufWriter::new(target);
    let mut failed = false;
    while let Ok(first) = lines.recv() {
        let mut result = target.write_all(first.as_bytes());
        while let Ok(line) = lines.try_recv() {
            result = result.and_then(|()| target.write_all(line.as_bytes()));
        }
        match result.and_then(|()| target.flush()) {
            Ok(()) => failed = false,
            // Said once per outage; each line would say the same.
            Err(error) if !failed => {
                failed = true;
                tracing::error!(%error, "the access log cannot be written; lines are lost until it can be again");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::AccessLog;

    #[test]
    fn lines_arrive_whole_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = AccessLog::open(Some(&path), Counter::default()).unwrap();
        let expected = (0..1000).fold(String::new(), |text, n| text + &format!("{{\"n\":{n}}}\n"));
        expected.split_inclusive('\n').for_each(|line| log.write(line.to_owned()));
        while std::fs::read_to_string(&path).unwrap() != expected {
            std::thread::yield_now();
        }
    }
}
