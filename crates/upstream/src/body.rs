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
use sluicegate_core::{BoxError, Facts, span::OpenSpan};

use crate::{
    RequestBody,
    breaker::Rule,
    endpoint::Trial,
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
    /// That of the try, where the request's trace is sampled; it ends with the exchange.
    span: Option<Box<OpenSpan>>,
    judged: Option<Box<Judged>>,
}

/// A try whose end is the end of the body.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) trial: Trial,
    pub(crate) rule: Rule,
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
        (gate, span): (Option<Arc<Gate>>, Option<Box<OpenSpan>>),
    ) -> Self {
        let idle = IdleTimer::reusing(timer);
        let mut body = Self {
            incoming,
            exchange: Some(Exchange { facts, lease, pools, idle, limit, gate, span, judged: None }),
            tunnel: false,
        };
        if body.incoming.is_end_stream() {
            body.finish(true);
        }
        body
    }

    /// The endpoint has served once this body has come whole.
    pub(crate) fn judge(&mut self, mut judged: Judged) {
        match &mut self.exchange {
            Some(exchange) => exchange.judged = Some(Box::new(judged)),
            None => judged.trial.succeeded(&judged.rule),
        }
    }

    /// Tells the breaker that the endpoint failed: whoever reads has waited or read enough. Heard only
    /// where the plan says [`whole`](crate::UpstreamPlan::whole).
    pub fn blame(&mut self) {
        let Some(exchange) = &mut self.exchange else { return };
        if let Some(mut judged) = exchange.judged.take() {
            judged.trial.failed(&judged.rule, &exchange.pools.chance);
        }
    }

    pub(crate) fn tunnel(incoming: Incoming) -> Self {
        Self { incoming, exchange: None, tunnel: true }
    }

    /// The upstream has broken off.
    fn failed(&mut self, how: &str) {
        if let Some(span) = self.exchange.as_mut().and_then(|exchange| exchange.span.as_mut()) {
            span.fail(how);
        }
        self.blame();
        self.finish(false);
    }

    /// Lets the connection go: back to the pool after a whole answer, else closed.
    fn finish(&mut self, whole: bool) {
        let Some(mut exchange) = self.exchange.take() else { return };
        if whole {
            if let Some(mut judged) = exchange.judged {
                judged.trial.succeeded(&judged.rule);
            }
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
                this.failed("reset");
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
                this.failed("timeout");
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
