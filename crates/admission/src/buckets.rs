//! Token buckets: how fast a route, a tenant, a lane and the whole gateway may be used.
//!
//! A bucket holds `burst` tokens and gets `rps` of them back each second. A request takes its
//! cost from each bucket that applies to it, or from none. [`BucketSet`] is what one route
//! charges; [`Buckets`] is where the levels live, for as long as the process does.
//!
//! # Why this way
//!
//! - A level is one moment in time: when the bucket will be full again. That is GCRA, the
//!   "virtual scheduling" form of ITU-T I.371, and `governor` does its arithmetic. No timer
//!   refills anything, and a bucket that nobody uses costs nothing.
//! - `governor`'s own keyed stores never let a key go. The cells here are ours: a tenant's cell
//!   is 16 bytes, found by a keyed hash of its name, in shards that each have a lock, a bound
//!   and a clock that does not run backwards.
//! - Buckets are charged one after the other, the tenant's own first and the global one last,
//!   and not under one lock over all. The bucket that is shared by all is then held for one
//!   update and not for four. What a later bucket refuses, the earlier ones get back.
//! - Where a bucket refuses, all are asked how long the request would have to wait. The answer
//!   is the longest of these: a client that waited for the first alone would be refused by the
//!   next.
//!
//! # What is promised
//!
//! - In any span `t` a bucket admits at most `burst + rps * t`, whatever the order of charges
//!   and refunds on however many threads. With one request after another it refuses nothing
//!   that an exact bucket admits. (The time for one token is rounded up to whole nanoseconds:
//!   at the highest rate, a million a second, that is a tenth of a percent.)
//! - A client that waits as long as it was told, alone, is admitted.
//! - All or nothing. Under contention a request may be refused because of another that took
//!   from the first bucket and is about to give it back; it is never admitted because of one.
//! - A refund in the same moment restores the level exactly. A later one gives back what has
//!   not run in again since the charge; more could not be told from tokens that the full bucket
//!   would have lost, and would admit too much.
//! - Memory is bounded: a bucket per tenant holds at most `max_tenants` cells, evenly spread
//!   over its shards, and [`BYTES_PER_TENANT`] bytes for each. A cell is given up only when it
//!   is full, which is all that a new one could say. Where a shard has no room, its new tenants
//!   share the *overflow* bucket, which has the numbers of one tenant's bucket. A tenant that gets
//!   a cell of its own later does not get another burst with it. So a flood of names resets
//!   nobody and gains nothing.
//! - A reload keeps the level of every bucket whose own numbers (`rps`, `burst`, for tenants
//!   also `max_tenants`) did not change. Tenant classes may change freely: a level is a time,
//!   and it stays what it was.
//!
//! # What a tenant is
//!
//! Two names that are equal byte for byte. Requests without a tenant share one cell. The hash
//! is `SipHash` with a key drawn at the start of the process, 64 bits wide: among a hundred
//! thousand tenants the chance that any two share a cell is below one in a billion, and nobody
//! outside can look for such names.
//!
//! # What the client is told
//!
//! `RateLimit-Policy` and `RateLimit` are written as draft-ietf-httpapi-ratelimit-headers-11
//! has them, for the tenant's and the route's bucket; see [`BucketSet::policy`]. The buckets of
//! the lane and of the gateway are not named: what is left in them tells a client how busy the
//! others are (section 8.2 of the draft), and it could not keep to them. Their refusals carry
//! the same true wait.
//!
//! # What fails how
//!
//! - A cost above the burst of any bucket can never be served: [`Denied::TooLarge`], whatever
//!   the levels are.
//! - With `enforce: false` what would be refused is counted, takes nothing and is admitted:
//!   the counters say what enforcing would do.
//!
//! # Metrics
//!
//! | metric | what |
//! |---|---|
//! | `sluicegate_bucket_refused_total{bucket,kind,reason,enforced}` | requests refused, by the bucket with the longest wait; `reason` is `empty` or `too_large` |
//! | `sluicegate_bucket_overflow_total{bucket}` | charges that fell to the overflow bucket because its shard had no room |
//! | `sluicegate_bucket_cells{bucket}` | tenants that have a cell |
//! | `sluicegate_bucket_bytes{bucket}` | memory of the cells |
//!
//! # Used by itself
//!
//! ```
//! use sluicegate_admission::buckets::{Ask, Buckets, Denied, Rate, SetOptions};
//! use tokio::time::Instant;
//!
//! # fn main() -> Result<(), sluicegate_admission::buckets::RateError> {
//! let now = Instant::now();
//! let mut registry = prometheus_client::registry::Registry::default();
//! let buckets = Buckets::new(now, &mut registry);
//! let set = buckets.set(SetOptions {
//!     tenant: Some(buckets.per_tenant("search", Rate::new(10.0, 2)?, 1000)),
//!     global: Some(buckets.global(Rate::new(500.0, 1000)?)),
//!     ..SetOptions::default()
//! })?;
//!
//! let ask = Ask { cost: 1, tenant: Some("acme"), ..Ask::default() };
//! assert!(set.charge(&ask, now).is_ok());
//! let charged = set.charge(&ask, now).expect("two fit into the burst");
//! let Err(Denied::Empty(empty)) = set.charge(&ask, now) else { panic!("the third must wait") };
//! assert_eq!(empty.wait.as_millis(), 100);
//! assert!(set.charge(&ask, now + empty.wait).is_ok());
//!
//! // A request that came no further gives back what it took.
//! set.refund(charged, now + empty.wait);
//! # Ok(())
//! # }
//! ```

mod cells;
mod charge;
mod class;
mod headers;
mod home;
mod level;
mod metrics;
mod rate;
mod seat;
mod set;
mod steps;

pub use cells::BYTES_PER_TENANT;
pub use charge::{Ask, Charged, Denied, Empty, Kind, TooLarge};
pub use class::{Class, ClassError, Classes};
pub use headers::{RATE_LIMIT, RATE_LIMIT_POLICY};
pub use home::{BucketStatus, Buckets, SharedBucket, TenantBuckets};
pub use rate::{MAX_REFILL, MAX_RPS, Rate, RateError};
pub use set::{BucketSet, SetOptions};
