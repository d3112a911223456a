//! Reading the beginning of a body to learn its JSON-RPC id.
//!
//! Up to [`CAP`] bytes are read and then given back. Past the cap, at the request's deadline
//! or on an error the id is given up, and the request streams on: refusals are then worded
//! as for any other request, and nothing else changes.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, request::Parts};
use http_body::Body;
use sluicegate_core::{Classified, Facts, facts::Rpc};
use tokio::time::Sleep;

use crate::{
    body::{PeekedBody, Replay},
    rpc,
    rules::RpcForm,
};

/// How much of a body is read to learn its id, in bytes: ids stand beside the parameters, in
/// any order, so the whole object is needed; requests of tools are seldom longer.
pub(crate) const CAP: usize = 64 * 1024;

/// A request whose body is being read.
pub(crate) struct Peek<S, B: Body> {
    inner: S,
    parts: Parts,
    facts: Facts,
    classified: Classified,
    form: RpcForm,
    read: BytesMut,
    error: Option<B::Error>,
    trailers: Option<HeaderMap>,
    rest: Option<Pin<Box<B>>>,
    until: Option<Pin<Box<Sleep>>>,
}

impl<S, B: Body<Data = Bytes>> Peek<S, B> {
    pub(crate) fn new(
        inner: S,
        (parts, body): (Parts, B),
        facts: Facts,
        classified: Classified,
        form: RpcForm,
    ) -> Self {
        let until = classified.deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
        Self {
            inner,
            parts,
            facts,
            classified,
            form,
            read: BytesMut::new(),
            error: None,
            trailers: None,
            rest: Some(Box::pin(body)),
            until,
        }
    }

    /// Reads on. Ready when the body has ended, or no more of it will be read here.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(rest) = &mut self.rest
            && self.read.len() <= CAP
        {
            match rest.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.read.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Poll::Ready(Some(Err(error))) => {
                    self.error = Some(error);
                    self.rest = None;
                }
                Poll::Ready(None) => self.rest = None,
                Poll::Pending => {
                    if let Some(until) = &mut self.until {
                        ready!(until.as_mut().poll(cx));
                        return Poll::Ready(());
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(())
    }

    /// Settles the request, and gives it back whole with the service it is for.
    pub(crate) fn finish(mut self) -> (S, Request<PeekedBody<B>>) {
        let is_whole = self.rest.is_none() && self.error.is_none() && self.read.len() <= CAP;
        self.classified.rpc = is_whole
            .then(|| rpc::request_id(&self.read))
            .flatten()
            .map(|id| Rpc { id, always_ok: self.form.always_ok });
        self.facts.classify(self.classified);
        let body = PeekedBody::replayed(Replay {
            data: self.read.freeze(),
            error: self.error,
            trailers: self.trailers,
            rest: self.rest,
        });
        (self.inner, Request::from_parts(self.parts, body))
    }
}
