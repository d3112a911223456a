//! Whether the candidate is worse: what a step's numbers prove, and what they do not.
//!
//! A [`Judge`] is fed a [`Block`] of counts at each tick and may be asked for its [`Verdict`]
//! after every one of them. Looking often must not make it more likely to be wrong, so
//! nothing here is a test at a fixed number of samples: every proof is an *e-process*, a
//! running product of likelihood ratios that has an expectation of at most one for as long as
//! the null hypothesis holds. By Ville's inequality such a process ever reaches `1/alpha` with
//! a probability of at most `alpha`, however long it runs and however often it is looked at.
//!
//! # What is tested
//!
//! | gate | null hypothesis | proven when |
//! |---|---|---|
//! | abort, errors | the candidate's rate is at most `abort_errors`; or it is no worse than the active arm | both are refuted, with at least 5 errors |
//! | abort, p99 | no larger share of the candidate's answers is slower than `abort_p99_ratio * t` than of the active arm's slower than `t` (its p99 so far) | refuted, with at least 1,000 answers of each |
//! | fail, errors | as for abort, with the gate's rate | both are refuted, with at least 5 errors |
//! | fail, p95 | as for p99, with the active arm's p95 and `1 + gate_p95_uplift` | refuted |
//! | pass, errors | the candidate's rate is at least twice the gate | refuted, and the estimate is inside the gate |
//! | pass, p95 | as for fail with twice the uplift, the other way round | refuted, and the estimate is inside the gate |
//!
//! - *Against a bound* (`rate`): the likelihood ratio of Bernoulli trials, as in Wald's
//!   sequential probability ratio test, averaged over a grid of alternatives.
//! - *Against the other arm* (`odds`): in each block the events are dealt to the two arms;
//!   given how many there were, the candidate's share is hypergeometric if both arms are alike.
//!   What hits both arms (a slow database, an outage behind both) therefore cancels out, even
//!   while it changes.
//! - *Since when* (`evidence`): a fault may begin at any time. The evidence is averaged over
//!   all starts, half of the weight on the beginning of the window. It is capped a little above
//!   what is needed, so that what was proven and is over is forgotten within a few samples; and
//!   an instant adds only so much, so that a restart which takes a dozen requests in flight with
//!   it does not end a run.
//!
//! # What is promised
//!
//! For a whole run on one gateway, whatever the number of its steps, holds and resumes, and
//! for requests that fail or are slow independently of each other: a candidate that is not
//! worse than the active arm (or not beyond the bound) is aborted with a probability of at
//! most 0.4% ([`ABORT_ERRORS_ALPHA`] + [`ABORT_P99_ALPHA`]) and fails a gate with one of at
//! most 1%. A candidate at twice a gate or beyond passes a step with a probability of at most
//! 5% per gate ([`PASS_BETA`]). The run's budget is shared out over its windows as
//! `1 / ((i + 1)(i + 2))`, most to the first, where samples are fewest.
//!
//! # What is not seen
//!
//! - One user whose every request fails is many errors of one cause: requests are then not
//!   independent, and the promise is weaker. The simulation `identical_heaps` shows by how much.
//! - With all keys on the candidate there is nothing to compare with. Errors are then judged by
//!   the bound alone, latency by what the active arm had earlier in the run ([`Reference`]);
//!   a slow evening counts against the candidate.
//! - Two gateways look twice: each has the whole budget.
//!
//! # Sources
//!
//! Wald, *Sequential tests of statistical hypotheses*, 1945. Ville, *Étude critique de la
//! notion de collectif*, 1939. Hoeffding, *Probability inequalities for sums of bounded random
//! variables*, 1963, section 6 (the bound on the hypergeometric). Howard, Ramdas, `McAuliffe`,
//! Sekhon, *Time-uniform, nonparametric, nonasymptotic confidence sequences*, 2021. Ramdas,
//! Grünwald, Vovk, Shafer, *Game-theoretic statistics and safe anytime-valid inference*, 2023.
//! Turner, Ly, Grünwald, *Generic e-variables for exact sequential k-sample tests*, 2024.
//! Shin, Ramdas, Rinaldo, *E-detectors*, 2024 (evidence since an unknown start).

mod block;
mod errors;
mod evidence;
mod found;
mod judge;
mod latency;
mod limits;
mod odds;
mod pool;
mod rate;
mod reference;
mod report;
mod total;
mod words;

pub use block::{ArmBlock, Block, Latencies};
pub use judge::Judge;
pub use limits::{
    ABORT_ERRORS_ALPHA, ABORT_P99_ALPHA, Course, FAIL_ERRORS_ALPHA, FAIL_P95_ALPHA, Limits, PASS_BETA,
};
pub use reference::Reference;
pub use report::{Gate, GateReport, Report, Verdict};
