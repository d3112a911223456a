//! Budgets of LLM tokens: what a tenant may spend, counted by what was really used.
//!
//! A request to a model costs what its prompt and its answer are long, and the answer's part
//! is known only when it has ended. Counting afterwards lets any number of requests through at
//! once (each sees the budget before the others are charged); so tokens are *reserved* before
//! the request goes out, by an [`Estimate`] of its prompt and the most it may answer, and
//! *settled* when the answer has ended, by the `usage` it reports. The difference is given
//! back, or taken where the request used more; a tenant may so come into debt, and waits until
//! time has paid it.
//!
//! # How a request goes through
//!
//! 1. [`Dialect::of`] tells from method and path whether a model works for the request.
//! 2. [`limit_accept_encoding`] makes sure that the answer can be read.
//! 3. [`Ask::read`] takes the estimate from the gathered body; a body that was not gathered is
//!    [`Ask::unread`].
//! 4. [`Ledger::reserve`] takes the estimate, [raised](Raise) by what earlier answers have shown,
//!    from the tenant, or says [`Denied`].
//! 5. Where [`Ask::must_ask_for_usage`] and [`may_change_body`], the request goes out
//!    [`asking_for_usage`](Ask::asking_for_usage). From then on the [`Reservation`] is
//!    [`sent`](Reservation::sent).
//! 6. [`Metered`] carries the answer's body, reads it, and settles. Where no answer came the
//!    reservation is [released](Reservation::release) if nothing reached a model, or dropped.
//!    Under [`Overrun::Cut`] it is [cutting](Metered::cutting).
//!
//! # What is promised
//!
//! - Each request is settled exactly once, whatever ends it: the end of its answer, an error,
//!   a client that leaves, a panic. Drop guards see to it. When nothing runs, what was taken
//!   from a tenant is what its requests were settled at, token for token.
//! - No request is let in unless its whole estimate is there. So over the life of a ledger a
//!   tenant uses at most `burst + tokens × time / per`, and beyond it the errors of the
//!   estimates that were out at the same time; none where estimates are not exceeded. As soon
//!   as an answer shows that its estimate was too low, the rest is taken, before it has ended,
//!   and estimates made after that are raised by as much. So errors add up only until the first
//!   of them shows, and as far as they differ.
//! - Under [`Overrun::Cut`] the answers of streams add one event's tokens each to that, however much
//!   more they would have taken, as far as those can be counted: what the provider has generated and
//!   nobody has read is not seen. What prompts take is used before it is told.
//!   Tokens that were reserved and given back may be spent again at once, so within less time
//!   than an answer takes, more than one burst may be reserved.
//! - A wait that is told is true: alone, a request of the same size is let in after exactly so
//!   long, whatever the answers of other tenants show meanwhile.
//! - Nothing that fits the burst by its plain estimate is refused for good.
//! - Debts, and what was learned, outlive reloads, changes of the budget's own numbers, and floods of tenants. Memory
//!   is bounded by [`MOST_TENANTS`] × [`BYTES_PER_CELL`] for each budget.
//! - A request's body is changed in one place at most, every other byte as it was; an answer
//!   loses the one chunk that this added to it. The other chunks carry a `usage` of `null`
//!   then, as OpenAI's do whenever usage was asked for. Everything else goes on unchanged.
//!
//! # What fails how
//!
//! - An answer that tells no usage is settled by estimate: of the text that was streamed, or
//!   else the whole reservation ([`Settled::ByEstimate`]; the metrics tell it apart). So are
//!   OpenAI's streams under an idempotency key, whose body goes on as it came.
//! - An exchange that goes on without its client is charged all that was reserved, when it is over.
//! - What cannot be read (encoded, not JSON, longer than the caps) goes on untouched and is
//!   settled by estimate. Nothing that an upstream or client sends makes an error here.
//! - An answer with an error status costs nothing unless it tells a usage.
//! - Where there is no room for another tenant and none that is full to make some, new
//!   tenants share one cell until there is.
//! - What a client has the provider remember (an earlier response, a cached conversation) is
//!   not in its request and so not in the estimate; the usage settles it, into debt if need be.
//!
//! # Metrics
//!
//! | metric | what |
//! |---|---|
//! | `sluicegate_budget_settlements_total{budget,by}` | requests settled by `usage`, by `estimate`, or `unused` |
//! | `sluicegate_budget_tokens_total{budget,by}` | tokens they were charged |
//! | `sluicegate_budget_refused_total{budget,reason,enforced}` | requests that did not fit: `empty` or `too_large`; with `enforced="false"` they were let in |
//! | `sluicegate_budget_held_tokens{budget}` | tokens reserved by requests that have not ended |
//! | `sluicegate_budget_reservations{budget}` | those requests |
//! | `sluicegate_budget_tenants{budget}` | tenants that have a cell of their own |
//! | `sluicegate_budget_overflow_total{budget}` | requests that shared the overflow cell |
//! | `sluicegate_budget_cut_total{budget}` | streams that were ended because the budget was used up |
//! | `sluicegate_budget_estimate_factor{budget,of}` | what estimates are multiplied by: of a `prompt`, of an answer with `max_tokens` and by `default_max_tokens` |
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use sluicegate_admission::budget::{Budgets, Denied, Estimate, Rule, Settled};
//! use tokio::time::Instant;
//!
//! let budgets = Budgets::new(&mut prometheus_client::registry::Registry::default());
//! let now = Instant::now();
//! let ledger = budgets.ledger("chat", Rule::new(1000, Duration::from_secs(60), 1000)?, now);
//!
//! let mut first = ledger.reserve(Some("acme"), Estimate { prompt: 100, output: 800, limited: true }, now)?;
//! first.sent();
//! let second = ledger.reserve(Some("acme"), Estimate { prompt: 100, output: 300, limited: true }, now);
//! assert!(matches!(second, Err(Denied::Empty { available: 100, .. })));
//!
//! first.settle(Settled::ByUsage(150), now);
//! assert_eq!(ledger.standing(Some("acme"), now).available, 850);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ask;
mod cells;
mod chunk;
mod cut;
mod dialect;
mod encoding;
mod estimate;
mod events;
mod hole;
mod home;
mod input;
mod json;
mod learned;
mod ledger;
mod meter;
mod metered;
mod metrics;
mod reservation;
mod rule;
mod skim;
mod stream;
mod told;
mod usage;

pub use ask::{Ask, may_change_body};
pub use cells::{BYTES_PER_CELL, MOST_TENANTS};
pub use cut::Cut;
pub use dialect::Dialect;
pub use encoding::limit_accept_encoding;
pub use estimate::{Estimate, MEDIA_TOKENS, tokens_of};
pub use home::Budgets;
pub use input::{BudgetInput, BudgetSettings, DEFAULT_MAX_TOKENS, Overrun};
pub use learned::{MOST_FACTOR, Raise, WINDOW};
pub use ledger::{Denied, Ledger, Standing};
pub use metered::Metered;
pub use reservation::{Reservation, Settled};
pub use rule::{MOST_PER, Rule, RuleError};
pub use stream::MOST_EVENT;
pub use usage::Usage;
