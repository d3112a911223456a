//! What an admitted request pays for its buckets and permits: each alone, both, the whole layer,
//! and on several threads at once.
//!
//! Each step reads the clock once, as a request does; what that takes is measured beside it.
//! With several threads the time is that of one request on its thread, and the throughput that
//! of all of them. With one *hot* key all are of one tenant; *spread*, each is of another than
//! the one before. Route, lane, gateway and upstream are the same for all in either case; what
//! tenants have for themselves is measured apart as well.
//! With `-- --test` each runs once, which proves that it can.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]

use std::{
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant as Stopwatch},
};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use http::StatusCode;
use sluicegate_benches::admission::{Guards, Layered, TENANTS, alone, tenants};
use tokio::time::Instant;

fn steps(criterion: &mut Criterion) {
    let (guards, names) = (Guards::all().unwrap(), tenants());
    let name = &names[0];
    let mut group = criterion.benchmark_group("admission");
    group.bench_function("the clock alone", |bench| bench.iter(Instant::now));
    group.bench_function("charge of four buckets", |bench| {
        bench.iter(|| guards.charge(black_box(name), Instant::now()));
    });
    group.bench_function("permit under three caps, and back", |bench| {
        bench.iter(|| drop(guards.enter(black_box(name), Instant::now())));
    });
    group.bench_function("charge and permit", |bench| {
        bench.iter(|| drop(guards.admit(black_box(name), Instant::now())));
    });
    group.finish();
}

fn layer(criterion: &mut Criterion) {
    let (limited, unlimited) = (Layered::limited().unwrap(), Layered::unlimited().unwrap());
    let mut group = criterion.benchmark_group("admission's layer");
    group.bench_function("inner service alone", |bench| {
        bench.iter_batched(
            || limited.request(),
            |request| black_box(alone(request)),
            BatchSize::NumIterations(256),
        );
    });
    for (name, layered) in [("nothing is limited", &unlimited), ("three buckets, two caps", &limited)] {
        assert_eq!(layered.through(layered.request()), Some(StatusCode::OK), "{name}");
        group.bench_function(name, |bench| {
            bench.iter_batched(
                || layered.request(),
                |request| black_box(layered.through(request)),
                BatchSize::NumIterations(256),
            );
        });
    }
    group.finish();
}

/// Whose requests come.
#[derive(Clone, Copy, Debug)]
enum Keys {
    Hot,
    Spread,
}

/// Lets each of so many threads admit so many requests, all at once. Tells the time of the
/// slowest.
fn together(guards: &Guards, names: &[String], keys: Keys, threads: usize, requests: u64) -> Duration {
    let start = Barrier::new(threads);
    let work = |thread: usize| {
        // Threads walk through the tenants at a distance from one another.
        let mut at = thread * TENANTS / threads;
        start.wait();
        let watch = Stopwatch::now();
        for _ in 0..requests {
            if matches!(keys, Keys::Spread) {
                at = (at + 1) % TENANTS;
            } else {
                at = 0;
            }
            drop(black_box(guards.admit(&names[at], Instant::now())));
        }
        watch.elapsed()
    };
    thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).max().unwrap_or_default()
    })
}

fn threads(criterion: &mut Criterion) {
    let names = tenants();
    for (name, guards) in [
        ("admission on threads, all buckets and caps", Guards::all().unwrap()),
        ("admission on threads, tenants' own", Guards::of_tenants().unwrap()),
    ] {
        let mut group = criterion.benchmark_group(name);
        for keys in [Keys::Hot, Keys::Spread] {
            for threads in [1, 2, 4] {
                group.throughput(Throughput::Elements(threads));
                group.bench_function(format!("{keys:?}, {threads}"), |bench| {
                    let threads = usize::try_from(threads).unwrap();
                    bench.iter_custom(|requests| together(&guards, &names, keys, threads, requests));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, steps, layer, threads);
criterion_main!(benches);
