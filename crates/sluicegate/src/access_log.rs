//! The access log: one JSON object per request, written off the hot path.
//!
//! Workers hand finished lines to a thread of the log's own over a bounded channel. When the
//! disk is slower than the traffic, lines are dropped and counted; a request never waits for
//! its log line. The end of the gateway waits a second at most for what is not yet written, and
//! says where that was not enough. The file is opened anew with each reload, and at SIGHUP even
//! where the document is refused then, which is what log rotation asks for.
//!
//! Metric: `sluicegate_access_log_dropped_total`.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::oneshot;

/// Lines that may wait for the disk: a second or so of heavy traffic.
const WAITING: usize = 65_536;

/// Where finished lines go.
#[derive(Debug)]
pub(crate) struct AccessLog {
    /// None: standard output.
    path: Option<PathBuf>,
    said: SyncSender<Said>,
    dropped: Counter,
}

/// What the log's thread is told.
enum Said {
    Line(String),
    /// What follows goes into this file.
    Into(File),
    /// Somebody waits until all before this is written.
    Flush(oneshot::Sender<()>),
}

/// How long the end of the gateway waits for lines that wait for the disk.
const AT_THE_END: Duration = Duration::from_secs(1);
/// How often it looks whether the log's thread has room to be told of that.
const LOOK: Duration = Duration::from_millis(5);

impl AccessLog {
    /// A log that is appended to `path`; standard output where there is none.
    pub(crate) fn open(path: Option<&Path>, dropped: Counter) -> io::Result<Self> {
        let target: Box<dyn Write + Send> = match path {
            Some(path) => Box::new(appended_to(path)?),
            None => Box::new(io::stdout()),
        };
        let (said, receiver) = sync_channel(WAITING);
        std::thread::Builder::new()
            .name("sluicegate-log".to_owned())
            .spawn(move || write_all(&receiver, target))?;
        Ok(Self { path: path.map(Path::to_owned), said, dropped })
    }

    /// Hands a line over, or drops it.
    pub(crate) fn write(&self, line: String) {
        if self.said.try_send(Said::Line(line)).is_err() {
            self.dropped.inc();
        }
    }

    /// Waits until all lines up to here are written, but no longer than a second; says so where they
    /// are not.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let flushed = async {
            let mut flush = Said::Flush(done);
            while let Err(TrySendError::Full(back)) = self.said.try_send(flush) {
                flush = back;
                tokio::time::sleep(LOOK).await;
            }
            // An end without a word is that of the thread, which writes nothing more either.
            written.await.is_ok()
        };
        if !tokio::time::timeout(AT_THE_END, flushed).await.unwrap_or(false) {
            tracing::warn!(limit = ?AT_THE_END, "the access log could not be written out; the lines that still waited are lost");
        }
    }

    /// Goes on in what stands under the file's name now. Where that cannot be, it goes on as before.
    pub(crate) fn reopen(&self) {
        let Some(path) = &self.path else { return };
        let told = appended_to(path)
            .and_then(|file| self.said.try_send(Said::Into(file)).map_err(|_| ErrorKind::WouldBlock.into()));
        if let Err(error) = told {
            tracing::error!(%error, path = %path.display(), "the access log cannot be opened anew; it goes on in the file that it has");
        }
    }
}

fn appended_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes until the last sender is gone; flushes whenever nothing more is waiting.
fn write_all(said: &Receiver<Said>, target: Box<dyn Write + Send>) {
    let mut target = BufWriter::new(target);
    let mut failed = false;
    while let Ok(first) = said.recv() {
        let (mut result, mut waiting) = (Ok(()), Vec::new());
        let mut next = Some(first);
        while let Some(one) = next {
            result = result.and(match one {
                Said::Line(line) => target.write_all(line.as_bytes()),
                Said::Into(file) => {
                    let flushed = target.flush();
                    target = BufWriter::new(Box::new(file));
                    flushed
                }
                Said::Flush(done) => {
                    waiting.push(done);
                    Ok(())
                }
            });
            next = said.try_recv().ok();
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
        for done in waiting {
            // Who waited may have gone on.
            let _ = done.send(());
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
