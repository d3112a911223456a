//! What a gateway has found in its own traffic, and what becomes of the state.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Around, Judged, Objection, Phase, State};
use crate::stats::Report;

/// How long an objection holds that is not said again. A gateway that was killed is in
/// nobody's way for longer.
pub const OBJECTION_LASTS: Duration = Duration::from_secs(30);

/// What a gateway has found.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// The step has passed, and both arms are ready.
    Passed(Option<Report>),
    /// The step has passed, but the arms are not ready or not what they are pinned to.
    NotReady(Option<Report>, Vec<String>),
    /// The candidate is not to be kept: a gate has failed, or the abort test has spoken.
    Bad(Option<Report>, String),
    /// The numbers of this gateway alone are outside a gate.
    Objection(Option<Report>, String),
    /// The run is complete, the document says `auto_promote`, and both arms are ready.
    Promote,
}

impl State {
    /// What becomes of the state by a finding that was made from it; none where nothing does.
    ///
    /// The gateway in `around.by` has made it. A finding is made from one version and must be
    /// written over that one: whoever finds another version in the store throws it away. Only
    /// [`Finding::Bad`] holds for the rest of its epoch.
    #[must_use]
    pub fn finding(&self, finding: &Finding, around: &Around<'_>) -> Option<Self> {
        let gateway = &around.by.name;
        let (mut next, report) = match (&self.phase, finding) {
            // To the next step, unless another gateway's numbers speak against it.
            (Phase::Running { step, .. }, Finding::Passed(report)) => {
                if self.objections_to(gateway, around.now).next().is_some() {
                    return None;
                }
                (self.advanced(*step, around).told(around, None), report)
            }
            // A person has to look.
            (Phase::Running { step, .. }, Finding::NotReady(report, why)) => {
                let reason = Some(format!("the step has passed, but: {}", why.join("; ")));
                let held = Phase::Held {
                    step: *step,
                    since: around.now,
                    by: around.by.clone(),
                    reason: reason.clone(),
                };
                (self.next(held, super::Act::Held, around).told(around, reason), report)
            }
            // No decision, only a word to the others.
            (Phase::Running { .. }, Finding::Objection(report, says)) => {
                return Some(self.objected(report.as_ref(), says, around));
            }
            // Back to the arm that was left, as long as it is watched.
            (Phase::Switched { .. }, Finding::Bad(report, reason)) => {
                if self.judged(around.now) != Judged::Switch {
                    return None;
                }
                (self.rolled_back(reason.clone(), around), report)
            }
            (
                Phase::Running { .. } | Phase::Held { .. } | Phase::Manual { .. } | Phase::Complete { .. },
                Finding::Bad(report, reason),
            ) => (self.aborted(reason.clone(), around), report),
            (Phase::Complete { .. }, Finding::Promote) => (self.promoted(around), &None),
            _ => return None,
        };
        next.last.report.clone_from(report);
        Some(next)
    }

    fn objected(&self, report: Option<&Report>, says: &str, around: &Around<'_>) -> Self {
        let gateway = &around.by.name;
        let mut next = self.clone();
        next.version += 1;
        next.objections.retain(|held| held.gateway != *gateway && around.now < held.until);
        let lasts = SignedDuration::try_from(OBJECTION_LASTS).unwrap_or_default();
        next.objections.push(Objection {
            gateway: gateway.clone(),
            verdict: report.map_or(crate::stats::Verdict::Inconclusive, |report| report.verdict),
            says: says.to_owned(),
            until: around.now.checked_add(lasts).unwrap_or(Timestamp::MAX),
        });
        next
    }
}
