//! Ending a connection whose client may still be sending.
//!
//! Closing a socket with unread bytes resets the connection, and the reset can overtake the
//! answer. So the answer's side is closed first, and what still comes is read and thrown away
//! until the client closes too, for a moment at most.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::io::Io;

/// How long a client that goes on sending is listened to.
const LINGER: Duration = Duration::from_secs(2);

/// How much of it at a time.
const SINK: usize = 8 * 1024;

const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Answers 408 on an HTTP/1.1 connection that owes no other answer, and ends it.
pub(crate) async fn timed_out(mut io: Io) {
    let told = timeout(LINGER, async {
        io.write_all(REQUEST_TIMEOUT).await?;
        io.shutdown().await
    });
    if matches!(told.await, Ok(Ok(()))) {
        linger(io).await;
    }
}

/// Reads on until the client closes. Our side must have been closed.
pub(crate) async fn linger(mut io: Io) {
    if io.ended() {
        return;
    }
    let mut sink = vec![0; SINK];
    // However it ends, the connection is dropped.
    let _ = timeout(LINGER, async { while matches!(io.read(&mut sink).await, Ok(1..)) {} }).await;
}
