//! What the gateway answers itself on its public listeners: the paths below `/.sluicegate/`.
//!
//! They are below no route and reach no upstream. Whose they are is told by what names the
//! tenant, as for any request.
//!
//! | path | what |
//! |---|---|
//! | `/.sluicegate/freeze.json` | what is frozen, and what is announced: for pages and jobs |
//! | `/.sluicegate/intents/{id}` | what became of a write that was kept for later |

use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{self, Context, Poll},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;
use sluicegate_core::{BoxError, Code, OwnAnswer, Refusal, Tenant};
use sluicegate_freeze::{BannerPage, Freezes};
use sluicegate_intents::Intents;
use sluicegate_store::INTENTS_PATH;
use tower_service::Service;

use crate::{
    cors::{Cors, is_preflight},
    snapshot::Snapshot,
};

/// Every path that begins so is the gateway's own.
const OWN: &str = "/.sluicegate/";

/// Where pages and jobs look whether writes are frozen.
const BANNER: &str = "/.sluicegate/freeze.json";

/// Answers what is asked of the gateway itself, and passes on everything else.
#[derive(Clone, Debug)]
pub struct Own<S> {
    inner: S,
    snapshot: Arc<ArcSwap<Snapshot>>,
    intents: Intents,
    freezes: Freezes,
}

impl<S> Own<S> {
    /// The way to `inner` for what is not the gateway's own.
    pub const fn new(inner: S, snapshot: Arc<ArcSwap<Snapshot>>, intents: Intents, freezes: Freezes) -> Self {
        Self { inner, snapshot, intents, freezes }
    }

    /// What is asked of the gateway itself.
    fn answer<B>(&self, request: &Request<B>) -> OwnAnswering {
        let snapshot = self.snapshot.load();
        let (headers, path) = (request.headers(), request.uri().path());
        if let Some(granted) = snapshot.cors.as_ref().and_then(|cors| cors.grant(headers))
            && is_preflight(request)
        {
            return Box::pin(ready(Ok(granted.preflight(headers))));
        }
        let tenant = snapshot.tenant(request.uri(), headers);
        if path == BANNER {
            let tenant = tenant.ok().flatten();
            let page = self.freezes.banner_page(tenant.as_ref().map(Tenant::as_str));
            let varies = snapshot.cors.as_ref().is_some_and(Cors::varies);
            let answer = match page {
                Some(page) => banner(page, request.method(), headers, varies),
                None => Err(nothing_at(path)),
            };
            return Box::pin(ready(answer));
        }
        let (method, path) = (request.method().clone(), path.to_owned());
        Box::pin(below(self.intents.clone(), method, path, tenant))
    }
}

/// An answer of the gateway itself, once it is there.
type OwnAnswering = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Refusal>>>>;

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
        Own { answer: OwnAnswering },
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
        OwnFuture { way: Way::Own { answer: self.answer(&request) } }
    }
}

/// What is below the gateway's own paths and not the banner.
async fn below(
    intents: Intents,
    method: Method,
    path: String,
    tenant: Result<Option<Tenant>, Refusal>,
) -> Result<Response<Bytes>, Refusal> {
    if path.starts_with(INTENTS_PATH) {
        return intents.resource(&method, &path, tenant?.as_ref().map(Tenant::as_str)).await;
    }
    Err(nothing_at(&path))
}

fn nothing_at(path: &str) -> Refusal {
    Refusal::new(Code::NoRoute, format!("the gateway itself serves nothing at {path}"))
}

/// The banner, unless the client has it already.
fn banner(
    page: BannerPage,
    method: &Method,
    asked: &HeaderMap,
    varies: bool,
) -> Result<Response<Bytes>, Refusal> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Refusal::new(Code::BadRequest, "what is frozen can only be read here, with GET")
            .status(StatusCode::METHOD_NOT_ALLOWED)
            .header(header::ALLOW, HeaderValue::from_static("GET, HEAD")));
    }
    let known = asked.get_all(header::IF_NONE_MATCH).iter().any(|tags| matches_tag(tags, &page.etag));
    let audience = if page.private { "private" } else { "public" };
    let kept = HeaderValue::try_from(format!("{audience}, max-age={}", page.max_age));
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.extend(kept.map(|kept| (header::CACHE_CONTROL, kept)));
    headers.extend(HeaderValue::try_from(page.etag).map(|etag| (header::ETAG, etag)));
    if varies {
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
    }
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(page.body.len()));
        if *method == Method::GET {
            *response.body_mut() = page.body;
        }
    }
    Ok(response)
}

/// Whether a value of `If-None-Match` names this tag, or any (RFC 9110, 13.1.2: weakly).
fn matches_tag(tags: &HeaderValue, etag: &str) -> bool {
    let named = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag;
    tags.to_str().is_ok_and(|tags| tags.split(',').map(str::trim).any(named))
}

impl<F, R> Future for OwnFuture<F>
where
    F: Future<Output = Result<Response<R>, Refusal>>,
{
    type Output = Result<Response<Either<R, Full<Bytes>>>, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().way.project() {
            WayProjection::Passed { inner } => task::ready!(inner.poll(cx)).map(|it| it.map(Either::Left)),
            WayProjection::Own { answer } => task::ready!(answer.as_mut().poll(cx)).map(|mut it| {
                it.extensions_mut().insert(OwnAnswer);
                it.map(|body| Either::Right(Full::new(body)))
            }),
        })
    }
}
