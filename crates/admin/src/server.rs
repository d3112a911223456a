//! Serving the admin port, on the side runtime.
//!
//! Plain HTTP/1.1. A head must arrive within 10 s, there are at most 256 connections (more
//! wait in the listener's queue), and when the gateway stops the port goes last: running
//! requests get 2 s, and event streams and long polls, which would never end by themselves,
//! are then cut off.

use std::{io, net::TcpListener as StdListener, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tower::ServiceExt;

use crate::actor::Peer;

const HEAD_LIMIT: Duration = Duration::from_secs(10);
const STOP_LIMIT: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 256;
/// After an error that is about the process (no file descriptor left), not one connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `shutdown` resolves.
///
/// # Errors
///
/// When the listener cannot be given to the runtime. Errors of connections end only those.
pub async fn serve(
    listener: StdListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    // Dropped with this future, and every connection with it.
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            // The semaphore is never closed; without a place there is no accept.
            let place = places.clone().acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = accepted => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("admin: a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let router = router.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A client that breaks off is no event for the gateway.
            drop(connection.await);
            drop(place);
        });
    }
    drop(listener);
    drop(tokio::time::timeout(STOP_LIMIT, graceful.shutdown()).await);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener as StdListener, time::Duration};

    use axum::{Router, routing::get};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::oneshot,
        time::Instant,
    };

    use super::{STOP_LIMIT, serve};

    #[tokio::test]
    async fn a_stop_finishes_what_ends_and_cuts_off_what_does_not() {
        let (release, released) = oneshot::channel::<()>();
        let (entered, mut inside) = tokio::sync::mpsc::unbounded_channel();
        let released = std::sync::Arc::new(tokio::sync::Mutex::new(Some(released)));
        let forever = entered.clone();
        let router = Router::new()
            .route(
                "/slow",
                get(move || async move {
                    entered.send(()).unwrap();
                    let released = released.lock().await.take().unwrap();
                    released.await.unwrap();
                    "whole"
                }),
            )
            .route(
                "/forever",
                get(move || async move {
                    forever.send(()).unwrap();
                    std::future::pending::<()>().await;
                }),
            );
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(serve(listener, router, async move { drop(stopped.await) }));
        let mut clients = Vec::new();
        for path in ["/slow", "/forever"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
            inside.recv().await.unwrap();
            clients.push(stream);
        }
        let began = Instant::now();
        stop.send(()).unwrap();
        release.send(()).unwrap();
        serving.await.unwrap().unwrap();
        assert!(began.elapsed() >= STOP_LIMIT && began.elapsed() < STOP_LIMIT + Duration::from_secs(5));
        let mut texts = Vec::new();
        for mut stream in clients {
            let mut text = String::new();
            drop(stream.read_to_string(&mut text).await);
            texts.push(text);
        }
        assert!(texts[0].ends_with("whole"), "{}", texts[0]);
        assert_eq!(texts[1], "");
        assert!(TcpStream::connect(address).await.is_err());
    }
}
