//! A rollout in a line or two: where it stands, and what is not as it should be.

use jiff::Timestamp;
use sluicegate_rollout::{
    RolloutStatus,
    machine::{Actor, ActorKind, Phase},
};

use super::progress;
use crate::cli::output::between;

/// The line of its phase, then a line for each thing that an operator should know.
pub(super) fn lines(status: &RolloutStatus, now: Timestamp) -> Vec<String> {
    let mut lines = vec![head(status, now)];
    lines.extend(alarms(status, now).into_iter().map(|alarm| format!("  {alarm}")));
    lines
}

/// The rollout, its arms, and where it stands.
pub(super) fn head(status: &RolloutStatus, now: Timestamp) -> String {
    format!("{} ({} -> {}): {}", status.name, status.active, status.candidate, phase(status, now))
}

/// `step 2 of 4  25%  [##########----------]  2m31s and 84 samples of the candidate left`.
fn phase(status: &RolloutStatus, now: Timestamp) -> String {
    let (of, weight) = (status.steps.len(), status.weight);
    let ago = |since: &Timestamp| between(*since, now);
    match &status.phase {
        Phase::Idle { promoted: false } => format!("idle  {weight}%"),
        Phase::Idle { promoted: true } => format!("idle after a promote  {weight}%  the way back is open"),
        Phase::Running { step, .. } => {
            let at = format!("step {} of {of}  {weight}%", step + 1);
            match &status.progress {
                Some(progress) => format!("{at}  {}", progress::of_step(progress)),
                None => at,
            }
        }
        Phase::Held { step, since, by, reason } => {
            let why = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("HELD at step {} of {of}  {weight}%  for {} by {}{why}", step + 1, ago(since), who(by))
        }
        Phase::Manual { since, by, .. } => format!("by hand  {weight}%  for {} by {}", ago(since), who(by)),
        Phase::Complete { since } => {
            format!("all {of} steps passed  {weight}%  {} ago; promote it, or abort", ago(since))
        }
        Phase::Aborted { since, by, reason } => {
            format!("ABORTED  {weight}%  {} ago by {}: {reason}", ago(since), who(by))
        }
        Phase::Switched { since, hold_until, by } if now < *hold_until => {
            let seconds = |from: Timestamp, to: Timestamp| {
                u64::try_from(to.as_second() - from.as_second()).unwrap_or(0)
            };
            let bar = progress::of_time(seconds(*since, now), seconds(*since, *hold_until));
            format!(
                "switched  {weight}%  {bar}  watched for {} more; by {}",
                between(now, *hold_until),
                who(by)
            )
        }
        Phase::Switched { since, by, .. } => {
            format!("switched  {weight}%  {} ago by {}; the way back is open", ago(since), who(by))
        }
    }
}

/// What is out of the ordinary, loudly.
pub(super) fn alarms(status: &RolloutStatus, now: Timestamp) -> Vec<String> {
    let mut alarms = Vec::new();
    if status.killed {
        alarms.push(format!(
            "KILLED  the document says `kill: true`: everything is on {} on this gateway",
            status.active
        ));
    }
    alarms.extend(status.troubles.iter().map(|trouble| format!("TROUBLE  {trouble}")));
    alarms.extend(status.objections.iter().map(|one| {
        let of = if one.gateway == status.gateway {
            "this gateway".to_owned()
        } else {
            format!("gateway {}", one.gateway)
        };
        format!("OBJECTION  of {of}, for {} more: {}", between(now, one.until), one.says)
    }));
    alarms
}

pub(super) fn who(by: &Actor) -> String {
    match by.kind {
        ActorKind::Operator => by.name.clone(),
        ActorKind::Gateway => format!("gateway {}", by.name),
        ActorKind::Document => format!("the document of gateway {}", by.name),
    }
}
