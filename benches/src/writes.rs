//! A closed loop of writes, each under a key of its own or none, that also tells how long
//! each one took.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};

use crate::{
    Failure,
    load::{LIMIT, answer, take},
    upstream,
};

/// What a run of writes asks for.
#[derive(Clone, Copy, Debug)]
pub struct Writes {
    /// Where they go.
    pub address: SocketAddr,
    /// Writes in all.
    pub requests: u64,
    /// At one time.
    pub connections: usize,
    /// The number of the first key, the others follow; without it no keys are sent.
    pub first_key: Option<u64>,
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// How long all of it took.
    pub took: Duration,
    /// The time that 99 of 100 writes did not pass.
    pub p99: Duration,
}

impl Writes {
    /// Sends them.
    ///
    /// # Errors
    ///
    /// A connection failed, an answer was not a whole 200, or the time was up.
    pub fn run(self) -> Result<Sent, Failure> {
        let runtime = tokio::runtime::LocalRuntime::new()?;
        runtime.block_on(async move { tokio::time::timeout(LIMIT, self.drive()).await? })
    }

    async fn drive(self) -> Result<Sent, Failure> {
        let left = Rc::new(Cell::new(self.requests));
        let times = Rc::new(RefCell::new(Vec::new()));
        let mut connections = JoinSet::new();
        let begun = Instant::now();
        for _ in 0..self.connections {
            let (left, times) = (left.clone(), times.clone());
            connections.spawn_local(async move {
                let mut stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                let mut buffer = Vec::with_capacity(8 * 1024);
                let body = upstream::json();
                loop {
                    let number = left.get();
                    if !take(&left) {
                        return Ok::<_, Failure>(());
                    }
                    let request = self.request(number, &body);
                    let sent = Instant::now();
                    stream.write_all(&request).await?;
                    answer(&mut stream, &mut buffer).await?;
                    times.borrow_mut().push(sent.elapsed());
                }
            });
        }
        while let Some(ended) = connections.join_next().await {
            ended??;
        }
        let took = begun.elapsed();
        let mut times = times.take();
        times.sort_unstable();
        let p99 = times.get((times.len() * 99).div_ceil(100).saturating_sub(1)).copied();
        Ok(Sent { took, p99: p99.unwrap_or_default() })
    }

    fn request(self, number: u64, body: &[u8]) -> Vec<u8> {
        let (host, length) = (self.address, body.len());
        let key = self.first_key.map(|first| format!("idempotency-key: key-{:012}\r\n", first + number));
        let key = key.unwrap_or_default();
        let head = format!(
            "POST /v1/documents HTTP/1.1\r\nhost: {host}\r\naccept: */*\r\ncontent-type: application/json\r\n\
             {key}content-length: {length}\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    }
}
