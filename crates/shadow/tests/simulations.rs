//! Whole runs of a shadow's books, thousands of them, asked for a verdict after every pair.
//!
//! Identical services with noise must not be called different, and a true excess must be found.
//! Chance is seeded: the same runs give the same figures. What is printed are the tables of the
//! documentation:
//!
//! ```text
//! SLUICEGATE_TESTS_LONG=1 cargo test --release -p sluicegate-shadow --test simulations -- --nocapture
//! ```
//!
//! Without `SLUICEGATE_TESTS_LONG` there are fewer and shorter runs.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "simulations/sprt.rs"]
mod sprt;
#[path = "simulations/world.rs"]
mod world;

use std::{
    env,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use world::World;

fn is_long() -> bool {
    env::var_os("SLUICEGATE_TESTS_LONG").is_some()
}

/// The results of all runs, in the order of their seeds, over all processors.
fn all<T: Send>(runs: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let (next, results) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= runs {
                        break;
                    }
                    let result = run(seed);
                    results.lock().unwrap().push((seed, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(seed, _)| *seed);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Whether identical services were ever called different, in the whole or in a class.
fn is_false_alarm(noise: &[f64], own_share: f64, pairs: u64, seed: u64) -> bool {
    let mut world = World::new(noise, noise, own_share, seed);
    (0..pairs).any(|_| {
        world.pair();
        world.is_different()
    })
}

#[test]
fn identical_services_are_not_called_different() {
    let (runs, pairs) = if is_long() { (2000, 2500) } else { (40, 1000) };
    println!("\n| noise of the classes | A/A share | runs of {pairs} pairs | ever called different |");
    println!("|---|---|---|---|");
    let several: &[&[f64]] =
        &[&[0.0], &[0.01], &[0.1], &[0.5], &[0.0, 0.01, 0.1, 0.5], &[0.01; 20], &[0.002; 60]];
    for noise in several {
        for own_share in [0.5, 0.1] {
            let alarms = all(runs, |seed| is_false_alarm(noise, own_share, pairs, seed));
            let alarms = alarms.into_iter().filter(|alarm| *alarm).count();
            println!("| {} | {} | {runs} | {alarms} |", world::told(noise), world::percent(own_share));
            // 0.5% of the runs; where these are few, a single one is no proof of more.
            let most = usize::try_from(runs / 200).unwrap().max(2);
            assert!(alarms < most, "{noise:?} {own_share}: {alarms} of {runs}");
        }
    }
}

/// After how many pairs of the shadow an excess in one class beside a noisy one is found; none
/// within `most`.
fn found(noise: f64, excess: f64, own_share: f64, most: u64, seed: u64) -> Option<u64> {
    let shadow = noise + (1.0 - noise) * excess;
    let mut world = World::new(&[noise, 0.05], &[shadow, 0.05], own_share, seed);
    while world.shadow_pairs < most {
        world.pair();
        if world.is_different() {
            return Some(world.shadow_pairs);
        }
    }
    None
}

fn median(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

#[test]
fn a_true_excess_is_found() {
    let (runs, excesses): (u64, &[f64]) =
        if is_long() { (200, &[0.01, 0.02, 0.05, 0.2, 1.0]) } else { (9, &[0.05, 0.2, 1.0]) };
    println!("\n| noise | A/A share | excess | runs | found | pairs with the shadow (median) | SPRT |");
    println!("|---|---|---|---|---|---|---|");
    for noise in [0.0, 0.05] {
        for own_share in [0.5, 0.1] {
            for excess in excesses {
                // A small excess over much noise takes hundreds of thousands of pairs.
                let runs = if noise > 0.0 && *excess < 0.02 { runs / 10 } else { runs };
                let most = world::most_pairs(noise, *excess, own_share);
                let ends = all(runs, |seed| found(noise, *excess, own_share, most, seed));
                let known = median(all(runs, |seed| sprt::pairs_until_found(noise, *excess, seed)));
                let ends: Vec<_> = ends.into_iter().flatten().collect();
                let (at, in_all) = (ends.len(), usize::try_from(runs).unwrap());
                let [noise, share, excess] = [noise, own_share, *excess].map(world::percent);
                assert_eq!(at, in_all, "noise {noise}, A/A {share}, excess {excess}: not found in {most}");
                println!("| {noise} | {share} | {excess} | {runs} | {at} | {} | {known} |", median(ends));
            }
        }
    }
}
