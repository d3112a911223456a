//! Rollouts: a share of the requests goes to another version, and the numbers tell whether it stays.
//!
//! A rollout is a named pair of upstreams. One is *active*; the other, the *candidate*, gets a
//! share of the keys: a weight that rises by steps while the candidate is no worse than the
//! active arm, and falls to nothing at once when it is. [`Rollouts`] holds that state for as
//! long as the process lives, and in the store beyond that; [`RolloutLayer`] chooses the arm
//! of each request, [`JudgeLayer`] notes what became of it, [`stats`] says what that proves.
//!
//! # What is promised
//!
//! - The same key is on the same arm, over restarts, reloads and gateways. A higher weight moves
//!   keys to the candidate and none back.
//! - A request, its tries and its stream stay on the arm that was chosen; only a read that finds
//!   all breakers of the candidate open, before anything was sent, is answered by the other.
//! - After an abort, or under `kill`, no request that comes later reaches the candidate: on this
//!   gateway at once, on the others when they next look at the record, four times a second.
//! - A run that is judged wrong costs a stated probability: see [`stats`].
//! - Every change is a decision with its reasons, kept in the [`history`].
//! - State never goes back: each change of the record is a compare-and-set with a higher version.
//!
//! # What fails how
//!
//! - A store that is away leaves each gateway with the state it knows. It says so, goes on
//!   judging, and an abort holds where it was made until it can be written.
//! - A gateway that dies takes nothing along but what it had counted in the present window.
//! - What cannot be read of a record changes nothing, and is told.
//!
//! # Metrics
//!
//! Those of requests stand in [`Traffic`], those of the state in [`home`].

mod choice;
mod cookie;
pub mod error;
pub mod history;
pub mod home;
pub mod input;
mod judge;
mod layer;
pub mod machine;
mod metrics;
mod plan;
mod recorder;
pub mod stats;
pub mod status;
mod sticky;
#[cfg(test)]
mod testing;
mod traffic;
mod view;

pub use choice::{Share, point, seed};
pub use error::RolloutError;
pub use history::History;
pub use home::{Checked, Checks, Declared, Gate, OpenOptions, Rollouts};
pub use input::{RolloutInput, RolloutSettings};
pub use judge::{JudgeLayer, Judged, JudgedBody, JudgedFuture};
pub use layer::{ARM, ResponseFuture, Rollout, RolloutLayer};
pub use machine::{Command, Decision, Phase};
pub use plan::{Pinned, RolloutPlan, Writes};
pub use recorder::Recorder;
pub use sluicegate_core::{CookieName, KeySource};
pub use status::{Progress, RolloutStatus};
pub use sticky::Sticky;
pub use traffic::Traffic;
pub use view::{Shared, View};
