//! Discrete-event simulations over the queue that runs in production.
//!
//! Each file in `simulations/` says what comes (open-loop: nobody waits for an answer before
//! the next comes), what the upstream behind the caps does, and in which ranges the outcome
//! must lie. Time is tokio's paused clock, chance is seeded: a file gives the same figures on
//! every run. A range that is missed is shown with all figures of its span.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "simulations/file.rs"]
mod file;
#[path = "simulations/gate.rs"]
mod gate;
#[path = "simulations/outcome.rs"]
mod outcome;
#[path = "simulations/world.rs"]
mod world;

use std::{collections::BTreeSet, fs, path::PathBuf, rc::Rc};

use file::File;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/simulations")
}

fn simulate(name: &str) {
    let text = fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
    let file: File = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}.yaml: {error}"));
    let file = Rc::new(file);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let run = runtime.block_on(world::run(file.clone()));
    let missed = outcome::missed(&file, &run);
    println!("{}", outcome::table(&file, &run));
    assert!(missed.is_empty(), "{name}: {}\n{}", file.about, missed.join("\n"));
}

macro_rules! simulations {
    ($($name:ident)*) => {
        $(#[test] fn $name() { simulate(stringify!($name)); })*

        #[test]
        fn every_file_is_run() {
            let run: BTreeSet<_> = [$(stringify!($name).to_owned()),*].into();
            let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
            let yaml = files.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
            let there: BTreeSet<_> =
                yaml.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
            assert_eq!(run, there);
        }
    };
}

simulations! {
    batch_flood
    burst
    flapping_upstream
    jitter
    language_model
    many_tenants
    noisy_tenant
    noisy_tenant_capped
    overload
    slow_upstream
    steady
    two_routes
    two_routes_lanes
    two_routes_uneven
}
