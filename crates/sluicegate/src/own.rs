//! What the gateway answers itself on its public listeners: the paths below `/.sluicegate/`.
//!
//! They are below no route and reach no upstream. Whose they are is told by the header that
//! names the tenant, as for any request.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;
use sluicegate_core::{BoxError, Code, Refusal, Tenant};
use sluicegate_intents::Intents;
use sluicegate_store::INTENTS_PATH;
use tower_service::Service;

use crate::snapshot::Snapshot;

/// Every path that begins so is the gateway's own.
const OWN: &str = "/.sluicegate/";

/// Answers what is asked of the gateway itself, and passes on everything else.
#[derive(Clone, Debug)]
pub struct Own<S> {
    inner: S,
    snapshot: Arc<ArcSwap<Snapshot>>,
    intents: Intents,
}

impl<S> Own<S> {
    /// The way to `inner` for what is not the gateway's own.
    pub const fn new(inner: S, snapshot: Arc<ArcSwap<Snapshot>>, intents: Intents) -> Self {
        Self { inner, snapshot, intents }
    }
}

/// An answer of the gateway itself.
type OwnAnswer = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Refusal>>>>;

pin_project! {
    /// The future of [`Own`].
    pub struct OwnFuture<F> {
        #[pin]
        way: Way<F>,
    }
}

pin_project! {
    #[project = WayProjection]
    enum Way<F> {
        Passed { #[pin] inner: F },
        Own { answer: OwnAnswer },
    }
}

impl<S, B, R> Service<Request<B>> for Own<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Refusal>,
    R: Body<Data = Bytes, Error = BoxError>,
{
    type Response = Response<Either<R, Full<Bytes>>>;
    type Error = Refusal;
    type Future = OwnFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !request.uri().path().starts_with(OWN) {
            return OwnFuture { way: Way::Passed { inner: self.inner.call(request) } };
        }
        let tenant = self.snapshot.load().tenant(request.headers());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = Box::pin(answer(self.intents.clone(), method, path, tenant));
        OwnFuture { way: Way::Own { answer } }
    }
}

async fn answer(
    intents: Intents,
    method: Method,
    path: String,
    tenant: Result<Option<Tenant>, Refusal>,
) -> Result<Response<Bytes>, Refusal> {
    if path.starts_with(INTENTS_PATH) {
        return intents.resource(&method, &path, tenant?.as_ref().map(Tenant::as_str)).await;
    }
    Err(Refusal::new(Code::NoRoute, format!("the gateway itself serves nothing at {path}")))
}

impl<F, R> Future for OwnFuture<F>
where
    F: Future<Output = Result<Response<R>, Refusal>>,
{
    type Output = Result<Response<Either<R, Full<Bytes>>>, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().way.project() {
            WayProjection::Passed { inner } => ready!(inner.poll(cx)).map(|it| it.map(Either::Left)),
            WayProjection::Own { answer } => {
                ready!(answer.as_mut().poll(cx)).map(|it| it.map(|body| Either::Right(Full::new(body))))
            }
        })
    }
}
