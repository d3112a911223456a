//! A connection from its accept to its end.
//!
//! Opened, then driven: hyper's connection is polled first, then the server's stage is looked
//! at, then the one timer. What comes of it:
//!
//! - at rest for too long: HTTP/1.1 is closed, HTTP/2 gets GOAWAY and a while to leave;
//! - a head that is not whole in time: 408 if nothing of another answer is on its way, and
//!   the connection is closed;
//! - a client that takes nothing: the connection is dropped;
//! - the server announces its end: HTTP/2 gets GOAWAY once it has asked for something (before
//!   that it would only come back); HTTP/1.1 hears it from each answer;
//! - the server closes: a connection at rest is closed after a moment, a head that has begun is answered, a
//!   fresh connection gets a last chance to ask.

use std::{
    error::Error,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::Poll,
};

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};
use tracing::debug;

use crate::{
    ConnSettings, Handler,
    conn::Conn,
    farewell,
    io::Io,
    metrics::{Metrics, Reason},
    open::{Opened, open},
    service::Requests,
    shared::Shared,
    stage::Stage,
    timers::{Activity, Alarm, Expired, LAST_CHANCE, LAST_MOMENT, Phase, after},
    worker::{Arrival, LocalExecutor, Wakers},
};

/// Streams of one HTTP/2 connection that may be open at once.
const MAX_STREAMS: u32 = 256;
/// What an HTTP/2 client may send on a stream, and on all of them, before it is read.
const STREAM_WINDOW: u32 = 1 << 20;
const CONN_WINDOW: u32 = 2 << 20;
/// The most an HTTP/1.1 connection buffers of a body each way, unless heads may be larger.
const BODY_BUFFER: usize = 64 * 1024;

/// How a driven connection ended.
enum End {
    /// By itself: HTTP said so, or failed.
    Over(hyper::Result<()>),
    /// By a timer of ours.
    Expired(Expired),
}

/// Serves a connection until it ends or is upgraded.
pub(crate) async fn serve<H: Handler>(
    arrival: Arrival,
    handler: Rc<H>,
    shared: Arc<Shared>,
    wakers: Rc<Wakers>,
) {
    let _woken = wakers.register(poll_fn(|cx| Poll::Ready(cx.waker().clone())).await);
    let settings = shared.settings.load_full();
    let Arrival { stream, peer, listener, open: counted } = arrival;
    let accepted = Instant::now();
    let lost = |_| {
        shared.metrics.error(Reason::io);
        Reason::io
    };
    let opened = async {
        let stream = TcpStream::from_std(stream).map_err(lost)?;
        // Asked of the socket only where the listener's own address does not tell it.
        let local = match listener.address {
            any if any.ip().is_unspecified() => stream.local_addr().map_err(lost)?,
            own => own,
        };
        let certificate = listener.certificate.load_full();
        let deadline = after(accepted, settings.header_read);
        let trusted = listener.proxied.load(Ordering::Relaxed).then_some(&settings.trusted_peers);
        let (peers, seen) = ((peer, local, trusted), (&*shared.stage, &*shared.metrics));
        open(stream, certificate.as_deref(), peers, deadline, seen).await
    };
    let Opened { stream, ahead, facts } = match opened.await {
        Ok(Some(opened)) => opened,
        Ok(None) => return,
        Err(reason) => {
            debug!(%peer, ?reason, "connection could not be opened");
            return;
        }
    };
    let activity = match (facts.http2, facts.tls) {
        (true, _) => Activity::http2(&settings),
        (false, true) => Activity::http1(&settings, settings.header_read),
        (false, false) => Activity::http1(&settings, settings.header_read.saturating_sub(accepted.elapsed())),
    };
    let conn = Conn::new(facts, activity, shared.stage.clone(), shared.loads.clone(), counted.worker());
    let io = Io::new(stream, ahead, conn.clone(), counted);
    let requests = Requests::new(handler, conn.clone());
    if conn.is_http2() {
        drive_http2(io, requests, &conn, &settings, &shared.metrics).await;
    } else {
        drive_http1(io, requests, &conn, &settings, &shared.metrics).await;
    }
}

async fn drive_http1<H: Handler>(
    io: Io,
    requests: Requests<H>,
    conn: &Conn,
    settings: &ConnSettings,
    metrics: &Metrics,
) {
    let heads = settings.header_bytes();
    let mut connection = http1::Builder::new()
        .half_close(false)
        .header_read_timeout(None)
        .max_header_size(heads)
        .max_buf_size(heads.max(BODY_BUFFER))
        .serve_connection(TokioIo::new(io), requests)
        .with_upgrades();
    let mut alarm = Alarm::new(&conn.activity);
    let mut leaving = false;
    let end = poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(End::Over(result));
            }
            if conn.stage() == Stage::Closing && !leaving {
                match conn.activity.phase() {
                    Phase::Fresh => conn.activity.hurry(LAST_CHANCE),
                    Phase::Idle => conn.activity.hurry(LAST_MOMENT),
                    Phase::Head => {}
                    Phase::Busy => {
                        leaving = true;
                        Pin::new(&mut connection).graceful_shutdown();
                        continue;
                    }
                }
            }
            match alarm.poll(&conn.activity, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Expired::Idle) if !leaving => {
                    leaving = true;
                    conn.activity.farewell();
                    Pin::new(&mut connection).graceful_shutdown();
                }
                Poll::Ready(expired) => return Poll::Ready(End::Expired(expired)),
            }
        }
    })
    .await;

    let reason = count(&end, conn, metrics);
    // Without its parts it was upgraded, and belongs to the handler.
    let Some(parts) = connection.into_parts() else { return };
    let io = parts.io.into_inner();
    match end {
        End::Expired(Expired::Header { begun: true }) if !conn.activity.write_blocked() => {
            farewell::timed_out(io).await;
        }
        End::Over(Err(_)) if matches!(reason, Some(Reason::parse | Reason::too_large)) => {
            farewell::linger(io).await;
        }
        End::Over(Ok(())) if conn.activity.body_sent() => farewell::linger(io).await,
        End::Over(_) | End::Expired(_) => {}
    }
}

async fn drive_http2<H: Handler>(
    io: Io,
    requests: Requests<H>,
    conn: &Conn,
    settings: &ConnSettings,
    metrics: &Arc<Metrics>,
) {
    let mut connection = http2::Builder::new(LocalExecutor(metrics.clone()))
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONN_WINDOW)
        .max_header_list_size(u32::try_from(settings.header_bytes()).unwrap_or(u32::MAX))
        .serve_connection(TokioIo::new(io), requests);
    let mut alarm = Alarm::new(&conn.activity);
    let mut leaving = false;
    let end = poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(End::Over(result));
            }
            let told_to_go = match conn.stage() {
                Stage::Serving => false,
                Stage::Announced => conn.activity.asked(),
                Stage::Closing => true,
            };
            let expired = if told_to_go && !leaving {
                Expired::Idle
            } else {
                match alarm.poll(&conn.activity, cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(expired) => expired,
                }
            };
            if expired != Expired::Idle || leaving {
                return Poll::Ready(End::Expired(expired));
            }
            leaving = true;
            conn.activity.farewell();
            Pin::new(&mut connection).graceful_shutdown();
        }
    })
    .await;
    count(&end, conn, metrics);
}

/// Counts what ended a connection, unless it was its due end.
fn count(end: &End, conn: &Conn, metrics: &Metrics) -> Option<Reason> {
    let reason = match end {
        End::Over(Ok(())) | End::Expired(Expired::Idle) => return None,
        // It was the server that had no more time.
        End::Expired(Expired::Header { begun: false }) if conn.stage() == Stage::Closing => return None,
        End::Expired(Expired::Header { .. }) => Reason::header_timeout,
        End::Expired(Expired::WriteStall) => Reason::write_stall,
        End::Over(Err(error)) => {
            let reason = reason(error, conn)?;
            debug!(peer = %conn.peer(), %error, source = error.source(), ?reason, "connection failed");
            reason
        }
    };
    metrics.error(reason);
    Some(reason)
}

fn reason(error: &hyper::Error, conn: &Conn) -> Option<Reason> {
    if error.is_parse_too_large() {
        return Some(Reason::too_large);
    }
    if error.is_parse() {
        return Some(Reason::parse);
    }
    if error.is_user() {
        return Some(Reason::aborted);
    }
    if error.is_canceled() || error.is_closed() || error.is_shutdown() {
        return None;
    }
    let of_the_network = error.is_incomplete_message()
        || error.is_body_write_aborted()
        || error.source().is_some_and(<dyn Error>::is::<io::Error>);
    match (of_the_network, conn.activity.phase()) {
        // A client that leaves between requests does no harm, however it does it.
        (true, Phase::Fresh | Phase::Idle) => None,
        (true, _) => Some(Reason::io),
        // What is left is HTTP/2's own errors.
        (false, _) => Some(Reason::parse),
    }
}
