//! What the gateway costs: the benches, and what they share.
//!
//! | run | says |
//! |---|---|
//! | `cargo bench -p sluicegate-benches --bench stack` | time of the guards in process, over a service that answers at once |
//! | `cargo bench -p sluicegate-benches --bench admission` | what an admitted request pays for its buckets and permits, also on several threads |
//! | `cargo bench -p sluicegate-benches --bench allocations` | allocations per request, and the size of its futures |
//! | `cargo run --release -p sluicegate-benches --bin sockets` | CPU per request through real sockets, beside a bare hyper loop |
//! | `cargo run --release -p sluicegate-benches --bin keyed` | what a key costs: keyed beside unkeyed writes, for each engine |
//! | `cargo run --release -p sluicegate-benches --bin overload` | what comes back when a service is asked more than it can do, beside other proxies |
//! | `cargo run --release -p sluicegate-benches --bin mirror` | what shadow traffic costs, beside other proxies; with `--bad`, what a bad shadow does to the requests |
//! | `cargo run --release -p sluicegate-benches --bin footprint` | start-up time and resident memory |
//! | `cargo run --release -p sluicegate-benches --bin store_engines` | `fjall` and `redb` side by side, doing what the store does |
//!
//! The last six take `--quick`, which proves that they run and measures nothing worth keeping.
//!
//! Machines drift by more than what is looked for, so rounds are interleaved, medians are
//! taken, and only the ratios within one run count. Everything is bounded in count, stays on
//! loopback, listens on ports that the system chooses, and ends its processes by handle.

pub mod admission;
pub mod bare;
pub mod child;
pub mod config;
pub mod load;
pub mod load_http2;
pub mod mirror;
pub mod nginx;
pub mod overload;
pub mod pin;
pub mod stand;
pub mod stats;
pub mod threads;
pub mod upstream;
pub mod writes;

/// What a bench fails with: there is nobody to handle it but the person who reads it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
