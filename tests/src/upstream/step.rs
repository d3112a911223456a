//! What an upstream does with a request, step by step.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::watch;

/// One thing that an upstream does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reads the request's body to its end.
    Read,
    /// Reads at least so many bytes of the body.
    ReadSome(u64),
    /// Writes these bytes as they are.
    Send(Bytes),
    /// Goes on after a while.
    Pause(Duration),
    /// Goes on when the gate is opened, whether or not the peer is still there.
    Wait(Gate),
    /// Goes on after a while in which no byte may come; one that does is a violation.
    Quiet(Duration),
    /// Does nothing until the peer closes.
    Hang,
    /// Writes this much of the pattern.
    Pattern(u64),
    /// Answers 200 with the request's body, piece by piece as it comes, framed as it was.
    Echo,
    /// Answers 200 with so many server-sent events, one per interval; the data of each is the
    /// time of its sending ([`crate::tick::micros`]).
    Events(usize, Duration),
    /// Accepts the upgrade and sends back every message.
    WebSocket,
    /// Closes the connection in good order.
    Close,
    /// Resets the connection.
    Reset,
}

/// The bytes of an answer with a status, more header lines (each with its CRLF) and content.
pub fn response(status: &str, lines: &str, content: &str) -> Bytes {
    format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\n\r\n{content}", content.len()).into()
}

/// Something that scripts wait for and a test opens.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Gate {
    /// Lets everybody through from now on.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Closes it again.
    pub fn close(&self) {
        self.0.send_replace(false);
    }

    /// Returns once it is open.
    pub async fn opened(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}
