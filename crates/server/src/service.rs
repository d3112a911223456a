//! The handler as hyper calls it: the request is counted from the call until its answer's
//! body is dropped, and while the server drains each HTTP/1.1 answer says that it is the last.

use std::{
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use sluicegate_core::BoxError;

use crate::{Handler, conn::Conn};

/// The requests of one connection.
pub(crate) struct Requests<H> {
    handler: Rc<H>,
    conn: Arc<Conn>,
}

impl<H> Requests<H> {
    pub(crate) fn new(handler: Rc<H>, conn: Arc<Conn>) -> Self {
        Self { handler, conn }
    }
}

impl<H: Handler> hyper::service::Service<Request<Incoming>> for Requests<H> {
    type Response = Response<InFlight<H::Body>>;
    type Error = Infallible;
    type Future = Answer<H::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        // Before the call: a handler that panics in it must give its count back too.
        let flight = Flight::begin(&self.conn, !request.body().is_end_stream());
        Answer { answer: self.handler.call(&self.conn, request), flight: Some(flight) }
    }
}

/// A request in flight, over when dropped.
#[derive(Debug)]
struct Flight(Arc<Conn>);

impl Flight {
    fn begin(conn: &Arc<Conn>, with_body: bool) -> Self {
        conn.request_began(with_body);
        Self(conn.clone())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

pin_project! {
    /// Resolves to the answer.
    pub(crate) struct Answer<F> {
        #[pin]
        answer: F,
        flight: Option<Flight>,
    }
}

impl<F, B> Future for Answer<F>
where
    F: Future<Output = Response<B>>,
{
    type Output = Result<Response<InFlight<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.answer.poll(cx));
        let flight = this.flight.take();
        if flight.as_ref().is_some_and(|flight| flight.0.is_draining() && !flight.0.is_http2())
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response.map(|body| InFlight { body, failed: None, _flight: flight })))
    }
}

pin_project! {
    /// An answer's body, which keeps its request in flight.
    ///
    /// Its failure is passed on one poll late: hyper drops the connection with all that it
    /// has not sent yet, and the client should have what came before the failure.
    pub(crate) struct InFlight<B> {
        #[pin]
        body: B,
        failed: Option<BoxError>,
        _flight: Option<Flight>,
    }
}

impl<B> Body for InFlight<B>
where
    B: Body<Data = Bytes, Error = BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match this.body.poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                *this.failed = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            frame => frame,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failed.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
