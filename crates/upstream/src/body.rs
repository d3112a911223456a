//! The response body, as it comes from the upstream.
//!
//! It ends the exchange: when the last byte has come it settles the request's attempt and
//! gives the connection back; when none comes for `stream_idle`, or the upstream breaks off,
//! it ends in an error, so that the client's connection is cut and the answer cannot look
//! complete. Dropped early (the client went away) it closes the upstream connection.

use std::{
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use sluicegate_body::{Gate, IdleTimer, LazyTimer};
use sluicegate_core::{BoxError, Facts};

use crate::{
    RequestBody,
    pool::{Lease, Pools},
};

/// Why a response body was broken off by the gateway.
#[derive(Debug, thiserror::Error)]
#[error("the upstream sent no byte for {0:?}")]
pub struct StreamIdle(Duration);

/// A response body that holds its connection.
#[derive(Debug)]
pub struct ResponseBody<B>
where
    B: RequestBody,
{
    incoming: Incoming,
    exchange: Option<Exchange<B>>,
    /// An upgraded connection: the body stays pending while the tunnel lives, so that the
    /// guards in the bodies around it can still end it.
    tunnel: bool,
}

#[derive(Debug)]
struct Exchange<B> {
    facts: Facts,
    lease: Lease<B>,
    pools: Rc<Pools<B>>,
    idle: IdleTimer,
    limit: Duration,
    gate: Option<Arc<Gate>>,
}

impl<B> ResponseBody<B>
where
    B: RequestBody,
{
    pub(crate) fn new(
        incoming: Incoming,
        facts: Facts,
        lease: Lease<B>,
        (pools, timer): (Rc<Pools<B>>, LazyTimer),
        limit: Duration,
        gate: Option<Arc<Gate>>,
    ) -> Self {
        let idle = IdleTimer::reusing(timer);
        let mut body = Self {
            incoming,
            exchange: Some(Exchange { facts, lease, pools, idle, limit, gate }),
            tunnel: false,
        };
        if body.incoming.is_end_stream() {
            body.finish(true);
        }
        body
    }

    pub(crate) fn tunnel(incoming: Incoming) -> Self {
        Self { incoming, exchange: None, tunnel: true }
    }

    /// Lets the connection go: back to the pool after a whole answer, else closed.
    fn finish(&mut self, whole: bool) {
        let Some(mut exchange) = self.exchange.take() else { return };
        if whole {
            exchange.facts.attempt().ended();
            exchange.lease.give_back();
        }
        if let Some(gate) = exchange.gate {
            gate.abort();
        }
        if let Some(timer) = exchange.idle.into_timer() {
            exchange.pools.keep_timer(timer);
        }
    }
}

impl<B> Drop for ResponseBody<B>
where
    B: RequestBody,
{
    fn drop(&mut self) {
        let whole = self.incoming.is_end_stream();
        self.finish(whole);
    }
}

impl<B> Body for ResponseBody<B>
where
    B: RequestBody,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.tunnel {
            return Poll::Pending;
        }
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(exchange) = &mut this.exchange {
                    exchange.idle.progress();
                }
                if this.incoming.is_end_stream() {
                    this.finish(true);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.finish(false);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                this.finish(true);
                Poll::Ready(None)
            }
            Poll::Pending => {
                let Some(exchange) = &mut this.exchange else { return Poll::Pending };
                let limit = exchange.limit;
                if exchange.idle.poll_idle(limit, cx).is_pending() {
                    return Poll::Pending;
                }
                this.finish(false);
                Poll::Ready(Some(Err(StreamIdle(limit).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.tunnel && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
