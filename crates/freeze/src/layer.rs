//! The freeze as a tower layer.
//!
//! A read costs one look at the live state. A write also takes the lock of its thread's shard
//! twice, at its entry and at its end.

use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response};
use http_body::Body;
use sluicegate_core::{Access, BoxError, Facts, Refusal};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    body::FreezeBody,
    home::{Freezes, NotIn},
    refuse,
};

mod future;

pub use future::ResponseFuture;

/// Refuses writes while a freeze covers them, and counts those that it lets through.
#[derive(Clone, Debug)]
pub struct FreezeLayer {
    freezes: Freezes,
    over_service: bool,
}

impl FreezeLayer {
    /// The layer over these freezes.
    ///
    /// Whoever sends the request on moves its [`Attempt`](sluicegate_core::Attempt), from
    /// which the barrier knows how a write ended. Requests that nobody has classified are
    /// taken to be served by what is inside this layer; see [`FreezeLayer::over_service`].
    #[must_use]
    pub fn new(freezes: Freezes) -> Self {
        Self { freezes, over_service: false }
    }

    /// Says that the service inside does the work itself and sends nothing on. The layer then
    /// moves the attempt: a write is final when its answer's body has ended, not applied when
    /// a layer inside refused it, and unknown when its future or its answer was dropped
    /// midway.
    #[must_use]
    pub fn over_service(mut self) -> Self {
        self.over_service = true;
        self
    }
}

impl<S> Layer<S> for FreezeLayer {
    type Service = Freeze<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Freeze { inner, layer: self.clone() }
    }
}

/// The service of [`FreezeLayer`].
#[derive(Clone, Debug)]
pub struct Freeze<S> {
    inner: S,
    layer: FreezeLayer,
}

impl<S, B, R> Service<Request<B>> for Freeze<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Refusal>,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Response = Response<FreezeBody<R>>;
    type Error = Refusal;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let known = request.extensions().get::<Facts>();
        let access = match known.and_then(Facts::classified) {
            Some(settled) => settled.access,
            None => Access::of_method(request.method()),
        };
        match access {
            Access::Read => {
                let banner = self.layer.banner(known);
                if let (Some(_), Some(facts)) = (&banner, known) {
                    facts.freeze_covers();
                }
                ResponseFuture::read(self.inner.call(request), banner)
            }
            Access::Write => {
                let (mut parts, body) = request.into_parts();
                let facts = Facts::of(&parts.headers, &mut parts.extensions);
                let request = Request::from_parts(parts, body);
                let own = self.layer.over_service || facts.classified().is_none();
                match self.layer.freezes.0.enter(facts.clone(), own) {
                    Ok(guard) => ResponseFuture::write(self.inner.call(request), guard),
                    Err(NotIn::Refused(refusal)) => ResponseFuture::refused(refuse::doubted(refusal, &facts)),
                    Err(NotIn::Deferred(otherwise)) => {
                        facts.set_otherwise(refuse::doubted(otherwise, &facts));
                        facts.defer();
                        ResponseFuture::deferred(self.inner.call(request))
                    }
                }
            }
        }
    }
}

impl FreezeLayer {
    /// What a read carries back.
    fn banner(&self, facts: Option<&Facts>) -> Option<HeaderValue> {
        let view = self.freezes.0.live().load();
        if view.active.is_empty() {
            return None;
        }
        match facts.and_then(Facts::classified) {
            Some(settled) => {
                let tenant = settled.tenant.as_ref().map(sluicegate_core::Tenant::as_str);
                refuse::banner(view.covering(settled.route.name(), settled.route.leads(), tenant))
            }
            None => refuse::banner(view.covering("", "".into(), None)),
        }
    }
}

#[cfg(test)]
mod tests;
