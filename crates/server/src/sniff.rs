//! Which protocol a connection speaks.
//!
//! Over TLS, ALPN says so. A plain connection is HTTP/2 if it begins with HTTP/2's preface
//! (prior knowledge; RFC 9113 3.3), else HTTP/1.1. One differing byte decides, so a request
//! is never held back for bytes that it does not have; what was read is read again by HTTP.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Enough for most heads, so that telling the protocol costs no read of its own.
const READ_AHEAD: usize = 1024;

/// Tells whether it is HTTP/2 and gives back what was read; `None` when the client left
/// without a byte.
pub(crate) async fn is_http2(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(bool, Bytes)>> {
    let mut read = BytesMut::with_capacity(READ_AHEAD);
    loop {
        let ended = stream.read_buf(&mut read).await? == 0;
        if ended && read.is_empty() {
            return Ok(None);
        }
        let seen = read.len().min(PREFACE.len());
        let same = read[..seen] == PREFACE[..seen];
        if ended || !same || seen == PREFACE.len() {
            return Ok(Some((same && seen == PREFACE.len(), read.freeze())));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::{PREFACE, is_http2};

    async fn told(pieces: &[&[u8]]) -> Option<(bool, Vec<u8>)> {
        let (mut client, mut server) = duplex(1);
        let write = async {
            for piece in pieces {
                // The reader stops as soon as it knows.
                if client.write_all(piece).await.is_err() {
                    return;
                }
            }
            drop(client);
        };
        let read = async {
            let told = is_http2(&mut server).await.unwrap();
            drop(server);
            told
        };
        let ((), told) = tokio::join!(write, read);
        told.map(|(http2, ahead)| (http2, ahead.to_vec()))
    }

    #[tokio::test]
    async fn the_whole_preface_and_nothing_less_is_http2() {
        assert_eq!(told(&[]).await, None);
        assert_eq!(told(&[PREFACE, b"more"]).await, Some((true, PREFACE.to_vec())));
        assert_eq!(told(&[b"GET / HTTP/1.1\r\n"]).await, Some((false, b"G".to_vec())));
        assert_eq!(told(&[b"POST / HTTP/1.1\r\n"]).await, Some((false, b"PO".to_vec())));
        assert_eq!(told(&[b"PRI * HTTP/2.1"]).await, Some((false, b"PRI * HTTP/2.1".to_vec())));
        assert_eq!(told(&[b"PRI"]).await, Some((false, b"PRI".to_vec())));
    }
}
