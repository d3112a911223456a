//! Reading the beginning of a body that tells something of its request.
//!
//! Up to a cap of bytes are read and then given back. Past the cap, at the request's deadline,
//! on an error or where there is no room, reading is given up and the request streams on. An id
//! that was wanted is then not known, and refusals are worded as for any other request. Whether
//! the request writes is then in doubt, and it is settled as a write.
//!
//! The body of a request that its head has refused already is read for the id alone, and for no
//! longer than [`PATIENCE`]: what nobody vouches for must not keep room from what is served.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, request::Parts};
use http_body::Body;
use sluicegate_body::Held;
use sluicegate_core::{Access, Classified, Doubt, Facts, Refusal, facts::Rpc};
use tokio::time::{Instant, Sleep};

use crate::{
    body::{PeekedBody, Replay},
    content, rpc,
    settle::{Telling, Wanted},
};

/// How much of a body is read, in bytes, where nothing else is said: what tells stands beside
/// the parameters, in any order, so the whole is needed; requests of tools are seldom longer.
pub(crate) const CAP: usize = 64 * 1024;

/// How long a refusal waits for the body that tells its form: clients of JSON-RPC send body and head
/// together.
const PATIENCE: Duration = Duration::from_secs(1);

/// A request whose body is being read.
pub(crate) struct Peek<S, B: Body> {
    /// The service that it is for, or why it is refused.
    next: Result<S, Refusal>,
    parts: Parts,
    facts: Facts,
    classified: Classified,
    wanted: Wanted,
    read: BytesMut,
    held: Option<Held>,
    /// Set where no more is read though more may come.
    gave_up: Option<Doubt>,
    error: Option<B::Error>,
    trailers: Option<HeaderMap>,
    rest: Option<Pin<Box<B>>>,
    until: Option<Pin<Box<Sleep>>>,
}

impl<S, B: Body<Data = Bytes>> Peek<S, B> {
    pub(crate) fn new(
        next: Result<S, Refusal>,
        (parts, body): (Parts, B),
        (facts, classified): (Facts, Classified),
        wanted: Wanted,
        held: Option<Held>,
    ) -> Self {
        let patience = next.is_err().then(|| Instant::now() + PATIENCE);
        let until = [classified.deadline, patience].into_iter().flatten().min();
        let until = until.map(|until| Box::pin(tokio::time::sleep_until(until)));
        Self {
            next,
            parts,
            facts,
            classified,
            wanted,
            read: BytesMut::new(),
            held,
            gave_up: None,
            error: None,
            trailers: None,
            rest: Some(Box::pin(body)),
            until,
        }
    }

    /// Reads on. Ready when the body has ended, or no more of it will be read here.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(rest) = &mut self.rest
            && self.gave_up.is_none()
        {
            match rest.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.keep(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Poll::Ready(Some(Err(error))) => {
                    self.error = Some(error);
                    self.rest = None;
                    self.gave_up = Some(Doubt::Broken);
                }
                Poll::Ready(None) => self.rest = None,
                Poll::Pending => {
                    if let Some(until) = &mut self.until {
                        ready!(until.as_mut().poll(cx));
                        self.gave_up = Some(Doubt::Broken);
                        return Poll::Ready(());
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(())
    }

    /// Keeps what was read; it is given back whatever becomes of it.
    fn keep(&mut self, data: &[u8]) {
        let before = self.read.capacity();
        self.read.extend_from_slice(data);
        // The room that it takes is that of the memory, which grows by more than is read.
        let grown = self.read.capacity().saturating_sub(before);
        if self.read.len() > self.wanted.cap {
            self.gave_up = Some(Doubt::Large);
        } else if !self.held.as_ref().is_none_or(|held| held.grow(grown)) {
            self.gave_up = Some(Doubt::NoRoom);
        }
    }

    /// Settles the request, and gives it back whole with the service it is for, or its refusal.
    pub(crate) fn finish(mut self) -> Result<(S, Request<PeekedBody<B>>), Refusal> {
        let Wanted { id, access, cap } = &self.wanted;
        let text = match self.gave_up {
            None => content::plain(&self.parts.headers, &self.read, *cap),
            Some(doubt) => Err(doubt),
        };
        if let (Some(form), Ok(text)) = (id, &text) {
            self.classified.rpc = rpc::request_id(text).map(|id| Rpc { id, always_ok: form.always_ok });
        }
        if let Some(Telling { by, kept }) = access {
            self.classified.access =
                text.and_then(|text| content::judge(by, *kept, &text)).unwrap_or_else(|doubt| {
                    self.facts.set_doubt(doubt);
                    Access::Write
                });
        }
        self.facts.classify(self.classified);
        let service = self.next?;
        let body = PeekedBody::replayed(Replay {
            data: self.read.freeze(),
            held: self.held,
            error: self.error,
            trailers: self.trailers,
            rest: self.rest,
        });
        Ok((service, Request::from_parts(self.parts, body)))
    }
}
