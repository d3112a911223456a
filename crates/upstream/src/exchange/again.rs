//! Whether another try follows: the questions of [`retry`](crate::retry), asked of one request.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use http_body::Body;
use tokio::time::Instant;

use super::{
    Exchange,
    attempt::{Answered, Failed},
};
use crate::{
    RequestBody,
    failure::{Failure, note},
    plan::UpstreamPlan,
    retry::{
        Withheld,
        pause::{asked, pause},
        policy::Reason,
    },
    spare::Spare,
};

impl<B: RequestBody> Exchange<B> {
    /// Tells the breaker how an attempt ended that began at `began`, and whether another one could
    /// follow.
    pub(super) fn tell(
        &self,
        ended: &mut Result<Answered<B>, Failed>,
        plan: &UpstreamPlan,
        began: Instant,
    ) -> Option<Reason> {
        let (rule, chance) = (&plan.upstream.breaker, &self.pools.chance);
        match ended {
            Ok(answered) => {
                let status = answered.response.status();
                match status {
                    StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT => answered.trial.failed(rule, chance),
                    // The body tells.
                    _ if plan.whole => {}
                    _ => answered.trial.succeeded(rule),
                }
                Reason::of_status(status)
            }
            Err(Failed { why, at, answered }) => {
                if matches!(why, Failure::NotProcessed(_)) {
                    self.facts.attempt().not_applied();
                }
                if let Some(trial) = at {
                    note(why, trial, &self.facts, plan, (began.elapsed(), self.deadline), chance);
                }
                Reason::of_failure(why, *answered)
            }
        }
    }

    /// After which pause the request is sent again, if it is; what is sent is in place then.
    pub(super) fn again(
        &mut self,
        reason: Reason,
        ended: &Result<Answered<B>, Failed>,
        plan: &UpstreamPlan,
        tries: u32,
    ) -> Option<Duration> {
        let (retries, upstream) = (&plan.retries, &plan.upstream);
        let allowed = reason.allows(self.safe, &upstream.not_applied);
        if tries >= retries.tries || !allowed || self.facts.body_fault().is_some() {
            return None;
        }
        let now = Instant::now();
        let headers = ended.as_ref().ok().map(|answered| answered.response.headers());
        let asked = headers.and_then(|headers| asked(headers, SystemTime::now)).unwrap_or_default();
        let pause = match reason {
            // The others are not to blame, and not busy with it either.
            Reason::Mismatch => Duration::ZERO,
            _ => pause(retries, tries, &self.pools.chance).max(asked),
        };
        let fits = match self.deadline {
            Some(deadline) => pause < deadline.saturating_duration_since(now),
            None => pause <= retries.cap,
        };
        let at_hand = self.unsent.is_some() || self.spare.as_ref().is_some_and(Spare::is_whole);
        let withheld = if !at_hand {
            Some(Withheld::Body)
        } else if !fits {
            Some(Withheld::Deadline)
        } else if upstream.wait().is_none_or(|wait| wait > pause) {
            Some(Withheld::Breaker)
        } else if !upstream.budget.take(retries.budget, now) {
            Some(Withheld::Budget)
        } else {
            None
        };
        if let Some(why) = withheld {
            upstream.metrics.withheld(why);
            return None;
        }
        upstream.metrics.retried(reason);
        tracing::debug!(?reason, ?pause, request_id = ?self.facts.request_id(), "sent again");
        if reason.is_not_applied(&upstream.not_applied) {
            self.facts.attempt().not_applied();
        } else {
            self.facts.attempt().doubted();
        }
        (self.unsent.is_some() || self.take_back()).then_some(pause)
    }
}

/// Lets go of what another attempt takes the place of.
pub(super) fn give_up<B>(ended: Result<Answered<B>, Failed>, tried: &mut Vec<u64>) {
    let trial = match ended {
        Ok(mut answered) => {
            if answered.response.body().is_end_stream() {
                answered.lease.give_back();
            }
            Some(answered.trial)
        }
        Err(failed) => failed.at,
    };
    tried.extend(trial.map(|trial| trial.id));
}
