//! Admission as a tower layer.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use sluicegate_body::Gathered;
use sluicegate_core::{BoxError, Facts, Refusal};
use tower_layer::Layer;
use tower_service::Service;

use crate::{home::Admission, plan::AdmissionPlan};

mod body;
mod future;
mod held;

pub use body::AdmissionBody;
pub use future::AdmissionFuture;

/// Lets requests in as their route's [`AdmissionPlan`] says; those of routes without one pass.
#[derive(Clone, Debug)]
pub struct AdmissionLayer {
    admission: Admission,
    plan: Option<AdmissionPlan>,
}

impl AdmissionLayer {
    /// The layer over this home.
    #[must_use]
    pub const fn new(admission: Admission) -> Self {
        Self { admission, plan: None }
    }

    /// The plan of requests that nobody has classified: for a service without a gateway.
    #[must_use]
    pub fn with_plan(mut self, plan: AdmissionPlan) -> Self {
        self.plan = Some(plan);
        self
    }

    fn plan_of(&self, facts: Option<&Facts>) -> Option<AdmissionPlan> {
        match facts.and_then(Facts::classified) {
            Some(settled) => settled.route.part::<AdmissionPlan>().cloned(),
            None => self.plan.clone(),
        }
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Admit { inner, layer: self.clone() }
    }
}

/// The service of [`AdmissionLayer`].
#[derive(Clone, Debug)]
pub struct Admit<S> {
    inner: S,
    layer: AdmissionLayer,
}

impl<S, B, R> Service<Request<Gathered<B>>> for Admit<S>
where
    S: Service<Request<Gathered<B>>, Response = Response<R>, Error = Refusal> + Clone,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<AdmissionBody<R>>;
    type Error = Refusal;
    type Future = AdmissionFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Gathered<B>>) -> Self::Future {
        let Some(plan) = self.layer.plan_of(request.extensions().get::<Facts>()) else {
            return AdmissionFuture::passing(self.inner.call(request));
        };
        // The one that was made ready goes with the request.
        let fresh = self.inner.clone();
        let service = std::mem::replace(&mut self.inner, fresh);
        AdmissionFuture::begin(plan, &self.layer.admission, service, request)
    }
}

#[cfg(test)]
mod tests;
