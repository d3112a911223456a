//! The outermost layer: from a connection's request to the guards, and the answer back.
//!
//! In this order, so that nothing below ever sees what must not pass:
//!
//! 1. framing that could be read in two ways is refused and the connection closed (`framing`);
//! 2. fields of one connection and outside copies of internal names are removed;
//! 3. request id, trace context and `X-Forwarded-*` are kept or made (`identity`);
//! 4. where the trace is sampled a span begins, and is named as the parent of what follows (`span`);
//! 5. [`Facts`] are begun and put into the request's extensions;
//! 6. the stack is called; a [`Refusal`] that comes back is worded for this client;
//! 7. what the gateway itself answers may be read by the pages that `cors` names;
//! 8. the answer gets the request's id, and a body that holds the request's `Record`: when
//!    it ends, or is dropped, the request is counted, logged and its span sent, once.
//!
//! The stack is called on the spot and only its future is kept, so no service is cloned per
//! request.

mod body;
mod framing;
mod future;
mod identity;
mod record;
mod span;
mod tunnel;

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use http::{Request, Response, Version};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use sluicegate_body::{BodyLimits, Inbound};
use sluicegate_core::{BoxError, Chance, Facts, Refusal, facts::is_grpc};
use sluicegate_server::{Conn, Handler};
use sluicegate_upstream::forward::{clean_request, set_forwarded};
use tokio::time::Instant;
use tower_service::Service;

pub use body::IngressBody;
pub use future::IngressFuture;
pub(crate) use record::AccessLine;
pub(crate) use span::HttpRoute;

use crate::{metrics::RequestMetrics, snapshot::Snapshot};
use record::Record;

/// What holds for a request body that is read before its route is known.
const BEFORE_MATCH: BodyLimits = BodyLimits { max: None, idle: Duration::from_secs(30) };

/// One worker's way in.
#[derive(Debug)]
pub struct Ingress<S> {
    stack: RefCell<S>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// Shared with the records of this worker's requests: no counter crosses a core for it.
    metrics: Rc<RequestMetrics>,
    chance: Chance,
}

impl<S> Ingress<S> {
    /// The way in to `stack`, judged by what `snapshot` holds when a request comes.
    pub fn new(stack: S, snapshot: Arc<ArcSwap<Snapshot>>, metrics: RequestMetrics, chance: Chance) -> Self {
        Self { stack: RefCell::new(stack), snapshot, metrics: Rc::new(metrics), chance }
    }
}

impl<S, B> Handler for Ingress<S>
where
    S: Service<Request<Inbound<Incoming>>, Response = Response<B>, Error = Refusal> + 'static,
    S::Future: 'static,
    B: http_body::Body<Data = bytes::Bytes, Error = BoxError> + Unpin + 'static,
{
    type Body = IngressBody<B>;
    type Future = IngressFuture<S::Future>;

    fn call(&self, conn: &Arc<Conn>, mut request: Request<Incoming>) -> Self::Future {
        let received = Instant::now();
        let framed = framing::check(&mut request);
        let upgrade = match request.version() {
            Version::HTTP_11 => request.extensions_mut().remove::<OnUpgrade>(),
            _ => None,
        };
        let version = request.version();
        let headers = request.headers_mut();
        clean_request(headers, version);
        let (client, log, cors, tracer) = {
            let snapshot = self.snapshot.load();
            let client = set_forwarded(headers, conn.peer(), conn.is_tls(), &snapshot.trusted_peers);
            let cors = snapshot.cors.as_ref().and_then(|cors| cors.grant(headers));
            (client, snapshot.access_log.clone(), cors, snapshot.tracer.clone())
        };
        let is_kept = tracer.is_some() && identity::is_traced(headers);
        let id = identity::keep_or_make(headers, &self.chance);
        let facts = Facts::new(id, Some(client), received, is_grpc(headers));
        let span = tracer.and_then(|tracer| {
            let from = (is_kept, conn.is_tls());
            let (span, place) = span::begin(&tracer, &mut request, from, self.chance.bits())?;
            facts.set_traced(place);
            Some(span)
        });
        let line = log.map(|log| AccessLine::begin(log, &request));
        let record = Record::new(facts.clone(), self.metrics.clone(), line, span);
        if let Err(refusal) = framed {
            return IngressFuture::refused(refusal, record, conn.is_http2(), cors);
        }
        let (mut head, body) = request.into_parts();
        head.extensions.insert(facts.clone());
        let body = Inbound::new(body, facts, BEFORE_MATCH);
        let inner = self.stack.borrow_mut().call(Request::from_parts(head, body));
        IngressFuture::running(inner, record, upgrade, conn.is_http2(), cors)
    }
}
