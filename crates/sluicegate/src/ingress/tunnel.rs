//! Upgraded connections: bytes both ways until one side ends.
//!
//! The tunnel holds the answer's body, and with it every guard that lives there: a freeze
//! counts the tunnel as a running write, and may end it by failing that body. It ends when
//! both sides have, when one breaks off, when a guard says so, or when nothing has passed
//! either way for a while (between one and two times the route's `stream_idle`).

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use sluicegate_core::BoxError;
use sluicegate_upstream::UpstreamPlan;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};

use super::{body::IngressBody, record::Record};

/// Where a route sets no limit of its own.
const IDLE: Duration = Duration::from_secs(300);

/// Answers the switch of protocols and joins the two connections once both have switched.
pub(super) fn begin<B>(
    mut response: Response<B>,
    record: Record,
    down: Option<OnUpgrade>,
) -> Response<IngressBody<B>>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin + 'static,
{
    let up = response.extensions_mut().remove::<OnUpgrade>();
    let (head, body) = response.into_parts();
    if let (Some(down), Some(up)) = (down, up) {
        let idle = record.facts().part::<UpstreamPlan>().map_or(IDLE, |plan| plan.timeouts.stream_idle);
        tokio::task::spawn_local(run(down, up, body, record, idle));
    }
    Response::from_parts(head, IngressBody::nothing())
}

async fn run<B>(down: OnUpgrade, up: OnUpgrade, mut guards: B, mut record: Record, idle: Duration)
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin + 'static,
{
    let moved = Rc::new(Cell::new(true));
    let joined = async {
        let (mut down, mut up) = (
            Watched::new(down.await.map_err(io::Error::other)?, &moved),
            Watched::new(up.await.map_err(io::Error::other)?, &moved),
        );
        copy_bidirectional(&mut down, &mut up).await
    };
    let ended = tokio::select! {
        ended = joined => ended,
        // The body of a tunnel carries nothing; it only ever ends to end the tunnel.
        _ = guards.frame() => Err(io::Error::other("ended by a guard")),
        () = silence(&moved, idle) => Err(io::Error::from(io::ErrorKind::TimedOut)),
    };
    match ended {
        Ok((_, to_client)) => {
            record.facts().attempt().ended();
            record.sent(usize::try_from(to_client).unwrap_or(usize::MAX));
            record.whole();
        }
        Err(error) => tracing::debug!(request_id = ?record.facts().request_id(), %error, "tunnel broken off"),
    }
}

async fn silence(moved: &Cell<bool>, idle: Duration) {
    while moved.replace(false) {
        tokio::time::sleep(idle).await;
    }
}

/// Notes that bytes came in.
struct Watched {
    io: TokioIo<Upgraded>,
    moved: Rc<Cell<bool>>,
}

impl Watched {
    fn new(io: Upgraded, moved: &Rc<Cell<bool>>) -> Self {
        Self { io: TokioIo::new(io), moved: moved.clone() }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.moved.set(true);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
