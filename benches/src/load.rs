//! A closed-loop HTTP/1.1 client: so many kept-alive connections, each sending its next
//! request when it has read the last answer, until a count is reached.
//!
//! It writes and reads the bytes itself: a client that costs less than what it measures
//! leaves the machine to it. Whatever is not a whole 200 fails the run.

use std::{
    cell::Cell,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{Failure, upstream};

/// A run that takes longer is given up.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);
const HEADERS: usize = 32;

/// What a run of the load asks for.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Where it goes.
    pub address: SocketAddr,
    /// Requests in all.
    pub requests: u64,
    /// At one time.
    pub connections: usize,
    /// POST a body of 1 KiB instead of GET.
    pub post: bool,
}

impl Load {
    /// Sends the requests and returns how long that took.
    ///
    /// # Errors
    ///
    /// A connection failed, an answer was not a whole 200, or the time was up.
    pub fn run(self) -> Result<Duration, Failure> {
        let runtime = tokio::runtime::LocalRuntime::new()?;
        runtime.block_on(async move { tokio::time::timeout(LIMIT, self.drive()).await? })
    }

    async fn drive(self) -> Result<Duration, Failure> {
        let left = std::rc::Rc::new(Cell::new(self.requests));
        let mut connections = JoinSet::new();
        let begun = Instant::now();
        for _ in 0..self.connections {
            let (left, request) = (left.clone(), self.request());
            connections.spawn_local(async move {
                let mut stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                let mut buffer = Vec::with_capacity(8 * 1024);
                while take(&left) {
                    stream.write_all(&request).await?;
                    answer(&mut stream, &mut buffer).await?;
                }
                Ok::<_, Failure>(())
            });
        }
        while let Some(ended) = connections.join_next().await {
            ended??;
        }
        Ok(begun.elapsed())
    }

    fn request(self) -> Vec<u8> {
        let host = self.address;
        if !self.post {
            return format!("GET /v1/documents/1 HTTP/1.1\r\nhost: {host}\r\naccept: */*\r\n\r\n")
                .into_bytes();
        }
        let body = upstream::json();
        let length = body.len();
        let head = format!(
            "POST /v1/documents HTTP/1.1\r\nhost: {host}\r\naccept: */*\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n"
        );
        [head.into_bytes(), body].concat()
    }
}

/// Takes one of what is left.
pub(crate) fn take(left: &Cell<u64>) -> bool {
    let now = left.get();
    left.set(now.saturating_sub(1));
    now > 0
}

/// Reads one whole answer.
pub(crate) async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), Failure> {
    buffer.clear();
    let mut whole = None;
    while whole.is_none_or(|whole| buffer.len() < whole) {
        if stream.read_buf(buffer).await? == 0 {
            return Err("the connection was closed in the middle of an answer".into());
        }
        if whole.is_none() {
            whole = length(buffer)?;
        }
    }
    if whole == Some(buffer.len()) { Ok(()) } else { Err("there are bytes after the answer".into()) }
}

/// The bytes of an answer, head and body, once its head is there.
fn length(bytes: &[u8]) -> Result<Option<usize>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_length) = head.parse(bytes)? else { return Ok(None) };
    if head.code != Some(200) {
        return Err(format!("answered: {}", String::from_utf8_lossy(bytes)).into());
    }
    let length = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.ok_or("an answer without a length")?;
    Ok(Some(head_length + std::str::from_utf8(length.value)?.parse::<usize>()?))
}

#[cfg(test)]
mod tests {
    use super::length;

    #[test]
    fn an_answer_is_as_long_as_it_says() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(length(answer).unwrap(), Some(answer.len()));
        assert_eq!(length(&answer[..20]).unwrap(), None);
        assert!(length(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
