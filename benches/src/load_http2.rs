//! The same closed loop over h2c: eight connections of eight streams, as `h2load` was used
//! for the other proxies.

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::TcpStream,
    task::{JoinSet, spawn_local},
};

use crate::{
    Failure,
    load::{LIMIT, take},
};

const CONNECTIONS: usize = 8;
const STREAMS: usize = 8;

/// Sends that many GETs and returns how long it took.
///
/// # Errors
///
/// A connection failed, an answer was not 200, or the time was up.
pub fn run(address: SocketAddr, requests: u64) -> Result<Duration, Failure> {
    let runtime = tokio::runtime::LocalRuntime::new()?;
    runtime.block_on(async move { tokio::time::timeout(LIMIT, drive(address, requests)).await? })
}

async fn drive(address: SocketAddr, requests: u64) -> Result<Duration, Failure> {
    let left = Rc::new(Cell::new(requests));
    let mut streams = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await?;
        // Its end shows in the streams.
        spawn_local(async move { drop(connection.await) });
        for _ in 0..STREAMS {
            streams.spawn_local(stream_loop(sender.clone(), address, left.clone()));
        }
    }
    while let Some(ended) = streams.join_next().await {
        ended??;
    }
    Ok(begun.elapsed())
}

async fn stream_loop(
    mut sender: SendRequest<Empty<Bytes>>,
    address: SocketAddr,
    left: Rc<Cell<u64>>,
) -> Result<(), Failure> {
    let uri: http::Uri = format!("http://{address}/v1/documents/1").parse()?;
    while take(&left) {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri.clone();
        *request.version_mut() = Version::HTTP_2;
        let response = sender.send_request(request).await?;
        if response.status() != 200 {
            return Err(format!("answered {}", response.status()).into());
        }
        response.into_body().collect().await?;
    }
    Ok(())
}
