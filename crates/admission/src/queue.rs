//! Caps on concurrency, and the queue before them.
//!
//! A route, each tenant on it and each upstream can be capped: so many requests may run at
//! once. A request that finds its caps free takes a [`Permit`] without a lock and runs; the
//! permit is held until its answer's body has ended. Any other waits on its route's [`Line`]
//! until a permit comes back, its deadline passes or its client leaves. [`Queues`] is where
//! lines and caps live while configurations come and go.
//!
//! # Why this way
//!
//! A queue in the order of coming serves, under overload, requests just before they die: all
//! wait almost as long as they may, and some of the work is for nobody. So:
//!
//! - *Adaptive order and controlled delay*, from Facebook's servers (Ben Maurer, "Fail at
//!   Scale", ACM Queue 13(8), 2015; the idea of a standing queue is `CoDel`'s, RFC 8289). A
//!   burst is served in the order it came. Once somebody has waited at every moment of the
//!   last 100 ms, more comes than can be served: then the newest go first, so that who is
//!   served has hardly waited, and a newcomer is given up after 200 ms, or the time of 16
//!   hand-overs where those are slow.
//! - *Fair turns among tenants*, from `fq_codel` (RFC 8290): tenants with one waiting request
//!   go before those with several, who take turns. A tenant's share of the places in the queue
//!   shrinks as the queue fills (dynamic thresholds, Choudhury and Hahne 1998), so that nobody
//!   fills it alone.
//! - *Two lanes*. Interactive goes before batch, on a route and, under an upstream's cap, over
//!   all routes that share it; after seven hand-overs to interactive one batch request is due.
//!   While interactive requests come, batch leaves a sixteenth of each cap free for them.
//! - *All caps at once.* A request never holds a place under one cap while it waits for
//!   another. One whose tenant is at its cap stands aside and holds up nobody.
//!
//! The simulations in `tests/simulations/` run this code against floods, slow and flapping
//! upstreams and noisy tenants, and state what comes out.
//!
//! # What is promised
//!
//! - No cap is ever exceeded, but by what ran before it was lowered.
//! - Nobody waits whose caps are all free; nobody is refused whose caps are all free, unless
//!   load is being shed. For batch, the places it leaves to interactive are not free.
//! - Nobody is let in after its deadline.
//! - Whoever leaves, at whatever moment, leaves nothing behind: no place, no bytes, no permit.
//! - The queue is bounded by count and by bytes, and the table of tenants by
//!   a hundred thousand entries per route.
//! - A reload keeps all counts and all waiters, and one that is refused has changed no limit.
//!   Tenants are counted from when their cap came.
//!
//! # How a request is refused
//!
//! [`Why`] tells: [`Full`](Why::Full), [`Expired`](Why::Expired), [`Doomed`](Why::Doomed) (its
//! deadline is nearer than a twentieth of the mean time between hand-overs: it would be served
//! in time in 5% of the cases), [`Overtaken`](Why::Overtaken) (given up in a standing queue),
//! [`Shed`](Why::Shed). `retry_after` is the time in which those who wait now will have been
//! served at the present pace, with a spread.
//!
//! # Shedding and pressure
//!
//! Where more than 5% of waits are above `queue_p95`, or the share of errors above
//! `error_rate`, the route climbs a ladder: half of batch, all of batch, and, when that did
//! not help for 5 s, a quarter and then half of interactive. It goes down a step each half
//! second once both signs are below half their limit. [`Line::pressure`] is a number from 0 to
//! 1 for the header [`PRESSURE`], by which an upstream may do less per request.
//!
//! # What fails how
//!
//! - An upstream that hangs holds its permits until the exchange ends, which is for the
//!   exchange's timeouts; meanwhile the queue fills and refuses.
//! - A clock that is late (a busy runtime) ends waits late, but a permit is given to nobody
//!   whose deadline has passed.
//! - More busy tenants than the table holds share one entry: their cap is then one for all of
//!   them, and never higher.
//!
//! # Metrics
//!
//! | metric | what |
//! |---|---|
//! | `sluicegate_queue_admitted_total{route,lane}` | requests let in |
//! | `sluicegate_queue_refused_total{route,lane,reason}` | requests not let in |
//! | `sluicegate_queue_wait_seconds{route,lane}` | time in the queue of those that waited and were let in |
//! | `sluicegate_queue_waiting{route,lane}` | requests that wait |
//! | `sluicegate_queue_bytes{route}` | bytes of request bodies that wait |
//! | `sluicegate_permits_in_use{kind,name}` | permits held; `kind` is `route` or `upstream` |
//! | `sluicegate_permits_limit{kind,name}` | permits there are, where limited |
//! | `sluicegate_shed_step{route}` | the step of the ladder, 0 to 4 |
//! | `sluicegate_pressure{route}` | the pressure, 0 to 1 |
//!
//! # Example
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//!
//! use sluicegate_admission::queue::{Limits, Queues, Ticket, Verdict};
//! use sluicegate_core::Chance;
//! use tokio::time::Instant;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mut registry = prometheus_client::registry::Registry::default();
//! let queues = Queues::new(Arc::new(Chance::from_system()), &mut registry);
//! // With the plan, at start and at each reload:
//! let limits = Limits { concurrent: Some(1), queue: 16, ..Limits::default() };
//! let (ask, model) = (queues.line("ask", limits), queues.upstream("model", Some(8)));
//! // Once the plan holds, for a queue and a cap that were there before:
//! ask.set(limits);
//! model.set_limit(Some(8));
//!
//! // With each request:
//! let deadline = Some(Instant::now() + Duration::from_millis(20));
//! let ticket = Ticket { tenant: Some("acme"), upstream: Some(&model), deadline, ..Ticket::default() };
//! let Verdict::Admitted(permit, _) = ask.acquire(&ticket).await else { panic!("nobody else is here") };
//! let Verdict::Refused(refused) = ask.acquire(&ticket).await else { panic!("there is one permit") };
//! assert_eq!(refused.why.as_str(), "expired");
//! drop(permit);
//! # }
//! ```

mod atoms;
mod cap;
mod home;
mod lately;
mod limits;
mod line;
mod metrics;
mod order;
mod pace;
mod permit;
mod pressure;
mod shed;
mod status;
mod tenants;
mod verdict;
mod waiting;

pub use atoms::{Atoms, Count, Lock, Native};
pub use cap::Cap;
pub use home::Queues;
pub use limits::{Limits, ShedLimits};
pub use line::Line;
pub use permit::{Ended, Permit};
pub use pressure::{PRESSURE, pressure_value};
pub use shed::Step;
pub use status::{CapStatus, LineStatus};
pub use verdict::{Entry, Refused, Ticket, Verdict, Why};
pub use waiting::Waiting;
