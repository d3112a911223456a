//! Time of the guards in process: ingress, classify and freeze over a service that answers at
//! once, beside that service alone. The difference is what the stack adds to a request.
//! With `-- --test` each runs once, which proves that it can.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]

use std::{hint::black_box, net::SocketAddr};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{Method, StatusCode};
use sluicegate_benches::{
    config,
    stand::{Immediate, Requests, Stand, alone, through},
};
use tokio::runtime::Builder;

const READ: &str = "/v1/documents/1";
const WRITE: &str = "/v1/documents";

fn stack(criterion: &mut Criterion) {
    let side = Builder::new_current_thread().enable_all().build().unwrap();
    let upstream = SocketAddr::from(([127, 0, 0, 1], 9));
    let small = config::gateway(upstream);
    let large = config::many_routes(upstream, 60);

    let mut group = criterion.benchmark_group("stack");
    let requests = Requests::new(&Method::GET, READ).unwrap();
    group.bench_function("inner service alone", |bench| {
        bench.iter_batched(
            || requests.next().unwrap(),
            |request| black_box(alone(request)),
            BatchSize::NumIterations(256),
        );
    });

    // Name, document, frozen routes, method, target, and what must come of it.
    let cases = [
        ("read", &small, &[][..], Method::GET, READ, StatusCode::OK),
        ("read, a freeze covers it", &small, &["read", "write"], Method::GET, READ, StatusCode::OK),
        ("read, 60 routes", &large, &[], Method::GET, READ, StatusCode::OK),
        ("write let through", &small, &[], Method::POST, WRITE, StatusCode::OK),
        ("write let through, a freeze elsewhere", &small, &["read"], Method::POST, WRITE, StatusCode::OK),
        ("write refused", &small, &["write"], Method::POST, WRITE, StatusCode::LOCKED),
        ("no route", &small, &[], Method::GET, "/elsewhere", StatusCode::NOT_FOUND),
    ];
    for (name, document, frozen, method, target, status) in cases {
        let stand = Stand::new(document, side.handle()).unwrap();
        if !frozen.is_empty() {
            side.block_on(stand.freeze(frozen)).unwrap();
        }
        let ingress = stand.ingress(Immediate);
        let requests = Requests::new(&method, target).unwrap();
        assert_eq!(through(&ingress, stand.conn(), requests.next().unwrap()), status, "{name}");
        group.bench_function(name, |bench| {
            bench.iter_batched(
                || requests.next().unwrap(),
                |request| black_box(through(&ingress, stand.conn(), request)),
                BatchSize::NumIterations(256),
            );
        });
    }
    group.finish();
}

criterion_group!(benches, stack);
criterion_main!(benches);
