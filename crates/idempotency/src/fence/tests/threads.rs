//! Where the layers can be used: under servers that move requests between threads, and on
//! workers whose requests never leave their thread.

use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::rt::TokioExecutor;
use sluicegate_body::Gathered;
use sluicegate_core::Refusal;
use tokio::task::LocalSet;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::{
    FenceLayer, ReplayLayer,
    testing::{Body, Rig, Upstream, post, read},
};

fn moves<T: Send>(value: T) -> T {
    value
}

fn is_shared<T: Send + Sync>(value: T) -> T {
    value
}

#[test]
fn the_layers_and_their_state_may_be_shared_between_threads() {
    let rig = Rig::new();
    is_shared(rig.fences.clone());
    is_shared(rig.plan());
    let replay = is_shared(ReplayLayer::new(rig.fences.clone()));
    let fence = is_shared(FenceLayer::new(rig.fences.clone(), TokioExecutor::new()));
    let mut stack = is_shared(replay.layer(fence.layer(rig.upstream)));
    drop(moves(stack.call(post("k", "{}"))));
}

#[test]
fn a_request_without_a_key_pays_little_room() {
    let size = std::mem::size_of::<<Upstream as Service<Request<Gathered<Body>>>>::Future>();
    let rig = Rig::new();
    let fence = FenceLayer::new(rig.fences.clone(), TokioExecutor::new());
    let mut stack = ReplayLayer::new(rig.fences.clone()).layer(fence.layer(rig.upstream));
    let future = stack.call(post("k", "{}"));
    assert!(std::mem::size_of_val(&future) <= size + 32, "{}", std::mem::size_of_val(&future));
    assert!(std::mem::size_of::<Gathered<()>>() <= 16);
}

/// Spawns on its own thread, as a worker does.
#[derive(Clone)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move { drop(future.await) });
    }
}

#[tokio::test]
async fn a_service_may_stay_on_its_thread() {
    let rig = Rig::new();
    let stays = Rc::new("on this thread");
    let service = service_fn(move |_: Request<Gathered<Full<Bytes>>>| {
        let stays = stays.clone();
        async move {
            tokio::task::yield_now().await;
            Ok::<Response<Full<Bytes>>, Refusal>(Response::new(Full::new(Bytes::from(stays.to_string()))))
        }
    });
    let fence = FenceLayer::new(rig.fences.clone(), Local).over_service();
    let stack = ReplayLayer::new(rig.fences.clone()).unclassified(rig.plan()).layer(fence.layer(service));
    LocalSet::new()
        .run_until(async {
            for replayed in [false, true] {
                let request: Request<Full<Bytes>> =
                    Request::post("/").header("idempotency-key", "k").body(Full::default()).unwrap();
                let response = stack.clone().oneshot(request).await.unwrap();
                assert_eq!(response.headers().contains_key("idempotency-replayed"), replayed);
                assert_eq!(read(response.map(Body::new)).await.text(), "on this thread");
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn over_a_service_of_ones_own_the_layer_tells_how_far_the_write_got() {
    let rig = Rig::new();
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = calls.clone();
    let service = service_fn(move |_: Request<Gathered<Body>>| {
        let call = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            match call {
                0 => Err(Refusal::new(sluicegate_core::Code::RateLimited, "a layer inside refused")),
                1 => std::future::pending().await,
                _ => Ok(Response::new(Full::<Bytes>::default())),
            }
        }
    });
    let fence = FenceLayer::new(rig.fences.clone(), TokioExecutor::new()).over_service();
    let stack = ReplayLayer::new(rig.fences.clone()).unclassified(rig.plan()).layer(fence.layer(service));
    let ask = || {
        let request: Request<Full<Bytes>> =
            Request::post("/").header("idempotency-key", "k").body(Full::default()).unwrap();
        stack.clone().oneshot(request.map(Body::new))
    };
    let code = |answer: Result<Response<_>, Refusal>| answer.map(drop).unwrap_err().code();
    assert_eq!(code(ask().await), sluicegate_core::Code::RateLimited);
    let client = tokio::spawn(ask());
    crate::testing::until(|| calls.load(std::sync::atomic::Ordering::SeqCst) == 2).await;
    client.abort();
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    let unknown = code(ask().await);
    assert_eq!(unknown, sluicegate_core::Code::IdempotencyOutcomeUnknown, "it was dropped midway");
}
