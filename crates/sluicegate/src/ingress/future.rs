//! The way of one request through the stack and back.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body::Body;
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use sluicegate_core::{BoxError, OwnAnswer, Refusal};

use super::{body::IngressBody, identity::REQUEST_ID, record::Record, tunnel};
use crate::cors::Granted;

pin_project! {
    /// The future of [`Ingress`](super::Ingress).
    pub struct IngressFuture<F> {
        #[pin]
        state: State<F>,
        record: Option<Record>,
        upgrade: Option<OnUpgrade>,
        http2: bool,
        cors: Option<Box<Granted>>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Running { #[pin] inner: F },
        Refused { refusal: Option<Refusal> },
    }
}

impl<F> IngressFuture<F> {
    pub(super) fn running(
        inner: F,
        record: Record,
        upgrade: Option<OnUpgrade>,
        http2: bool,
        cors: Option<Box<Granted>>,
    ) -> Self {
        Self { state: State::Running { inner }, record: Some(record), upgrade, http2, cors }
    }

    pub(super) fn refused(refusal: Refusal, record: Record, http2: bool, cors: Option<Box<Granted>>) -> Self {
        let state = State::Refused { refusal: Some(refusal) };
        Self { state, record: Some(record), upgrade: None, http2, cors }
    }
}

impl<F, B> Future for IngressFuture<F>
where
    F: Future<Output = Result<Response<B>, Refusal>>,
    B: Body<Data = Bytes, Error = BoxError> + Unpin + 'static,
{
    type Output = Response<IngressBody<B>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = match this.state.project() {
            StateProjection::Running { inner } => ready!(inner.poll(cx)),
            StateProjection::Refused { refusal } => match refusal.take() {
                Some(refusal) => Err(refusal),
                None => return Poll::Pending,
            },
        };
        // Taken once: a future that has given its answer is not polled again.
        let Some(record) = this.record.take() else { return Poll::Pending };
        Poll::Ready(match result {
            Ok(mut response) => {
                if let Some(cors) = this.cors
                    && response.extensions().get::<OwnAnswer>().is_some()
                {
                    cors.tell(response.headers_mut());
                }
                answered(response, record, this.upgrade.take())
            }
            Err(refusal) => {
                let mut response = refused(refusal, record, *this.http2);
                if let Some(cors) = this.cors {
                    cors.tell(response.headers_mut());
                }
                response
            }
        })
    }
}

fn answered<B>(
    mut response: Response<B>,
    mut record: Record,
    upgrade: Option<OnUpgrade>,
) -> Response<IngressBody<B>>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin + 'static,
{
    record.answered(response.status(), response.headers());
    response.headers_mut().insert(REQUEST_ID, record.facts().request_id().clone());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return tunnel::begin(response, record, upgrade);
    }
    response.map(|body| IngressBody::stream(body, record))
}

fn refused<B: Body>(refusal: Refusal, mut record: Record, http2: bool) -> Response<IngressBody<B>> {
    record.refused(&refusal);
    let mut response = refusal.into_response(record.facts());
    record.answered(response.status(), response.headers());
    response.headers_mut().insert(REQUEST_ID, record.facts().request_id().clone());
    if http2 {
        // One stream of many; there is nothing to distrust about the others.
        response.headers_mut().remove(header::CONNECTION);
    }
    response.map(|body| IngressBody::refusal(body, record))
}
