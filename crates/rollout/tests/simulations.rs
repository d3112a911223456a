//! Whole runs of rollouts, thousands of them, before the judge that runs in production.
//!
//! Each file in `../simulations/` says what traffic comes, what both arms do with it and which
//! verdict is right. A run goes through the steps as the controller does: a judge for each,
//! one tick after the other on a virtual clock, on at `pass`, back at `fail` and `abort`. The
//! outcomes are counted and must lie in the file's ranges. Chance is seeded: the same files
//! give the same figures. What is printed is the table in the documentation:
//!
//! ```text
//! SLUICEGATE_TESTS_LONG=1 cargo test --release -p sluicegate-rollout --test simulations -- --nocapture
//! ```
//!
//! Without `SLUICEGATE_TESTS_LONG` there are fewer runs, and a range is only missed where
//! chance does not explain it.

#![allow(clippy::unwrap_used, clippy::expect_used)]
// Numbers are drawn as floats and counted as integers, all small and positive.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

#[path = "simulations/chance.rs"]
mod chance;
#[path = "simulations/file.rs"]
mod file;
#[path = "simulations/optimal.rs"]
mod optimal;
#[path = "simulations/outcome.rs"]
mod outcome;
#[path = "simulations/times.rs"]
mod times;
#[path = "simulations/world.rs"]
mod world;

use std::{
    env, fs,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use file::File;
use outcome::{End, Row};
use world::World;

/// The files by name.
fn files() -> Vec<(String, File)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("simulations");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let file = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, file)
        })
        .collect();
    files.sort_by(|one, other| one.0.cmp(&other.0));
    files
}

/// All runs of a scenario, over all processors.
fn run(file: &File, runs: usize) -> Vec<End> {
    let world = World::new(file);
    let (next, ends) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= runs {
                        break;
                    }
                    let end = world.run(seed as u64);
                    ends.lock().unwrap().push((seed, end));
                }
            });
        }
    });
    let mut ends = ends.into_inner().unwrap();
    ends.sort_by_key(|(seed, _)| *seed);
    ends.into_iter().map(|(_, end)| end).collect()
}

#[test]
fn every_scenario_ends_as_it_should() {
    let long = env::var_os("SLUICEGATE_TESTS_LONG").is_some();
    // For looking at one.
    let only = env::var("SIMULATE").unwrap_or_default();
    let files: Vec<_> = files().into_iter().filter(|(name, _)| name.contains(&only)).collect();
    assert!(!files.is_empty(), "no file in simulations/ has {only:?} in its name");
    let (mut table, mut missed) = (outcome::HEAD.to_owned(), Vec::new());
    for (name, file) in &files {
        let ends = run(file, if long { file.runs.long } else { file.runs.short });
        let row = Row::new(name, file, &ends);
        println!("{}", row.line());
        table += &row.line();
        table.push('\n');
        missed.extend(row.missed(long));
    }
    println!("\n{table}");
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
