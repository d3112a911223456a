//! Giving an order, and saying who serves whom after it.

use jiff::Timestamp;
use serde_json::{Value, json};
use sluicegate_rollout::{RolloutStatus, machine::Phase};

use super::refusal;
use crate::cli::{
    AskArgs, Exit, Failure, Streams,
    ask::Asking,
    client::segment,
    output::{self, between, plain, quoted},
    read,
};

/// What is to be done with a rollout.
#[derive(Clone, Copy)]
pub(super) enum Order {
    Start,
    Advance,
    Hold,
    Resume,
    Promote,
    Abort,
    Switch,
    Rollback,
}

impl Order {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Advance => "advance",
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::Abort => "abort",
            Self::Switch => "switch",
            Self::Rollback => "rollback",
        }
    }
}

pub(super) fn give(
    order: Order,
    name: &str,
    reason: Option<&str>,
    ask: &AskArgs,
    to: &mut Streams<'_>,
) -> Result<Exit, Failure> {
    let body = reason.map(|reason| json!({ "reason": reason }));
    send(("POST", order.as_str()), name, body.as_ref(), ask, to)
}

pub(super) fn weight(name: &str, percent: u8, ask: &AskArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    send(("PUT", "weight"), name, Some(&json!({ "weight": percent })), ask, to)
}

fn send(
    (method, order): (&str, &str),
    name: &str,
    body: Option<&Value>,
    ask: &AskArgs,
    to: &mut Streams<'_>,
) -> Result<Exit, Failure> {
    let asking = Asking::new(ask, &[])?;
    let path = format!("/rollouts/{}/{order}", segment(name));
    let answer = asking.send_and(method, &path, body, to, |problem| refusal::in_words(problem, name))?;
    if ask.json {
        output::json(to.out, &answer)?;
    } else {
        writeln!(to.out, "{}", done(&read(answer)?, Timestamp::now()))?;
    }
    Ok(Exit::Done)
}

/// Who serves whom now. Told by where the rollout stands and not by what was asked: both are the
/// same unless somebody else was faster, and then this is what holds.
fn done(status: &RolloutStatus, now: Timestamp) -> String {
    let name = quoted(&status.name);
    let command = |command: &str| refusal::typed(command, &name);
    let (active, candidate) = (plain(&status.active), plain(&status.candidate));
    let (weight, of) = (status.weight, status.steps.len());
    let said = match &status.phase {
        Phase::Idle { promoted: false } => format!("`{name}` is idle: {weight}% of keys are on {candidate}"),
        Phase::Idle { promoted: true } => format!(
            "{active} is the active arm of `{name}` now and serves everything; {candidate} is the way back: {}",
            command("rollback")
        ),
        Phase::Running { step, .. } => format!(
            "run {} of `{name}` is at step {} of {of}: {weight}% of keys are on {candidate}, the rest on {active}\n\
             watch it with: sluicegate rollout status {name} --watch",
            status.run,
            step + 1
        ),
        Phase::Held { step, .. } => format!(
            "`{name}` stays at step {} of {of}: {weight}% of keys on {candidate}; an abort is still judged\n\
             go on with: {}",
            step + 1,
            command("resume")
        ),
        Phase::Manual { .. } => format!(
            "{weight}% of keys of `{name}` are on {candidate}, the rest on {active}; no step is taken, an abort is \
             still judged\nback at once with: {}",
            command("abort")
        ),
        Phase::Complete { .. } => format!(
            "all {of} steps of `{name}` are taken: {weight}% of keys are on {candidate}\n\
             make it the active arm with: {}",
            command("promote")
        ),
        Phase::Aborted { .. } => format!(
            "`{name}` is aborted: everything is on {active}, and nothing reaches {candidate}\n\
             begin again with: {}",
            command("start")
        ),
        Phase::Switched { hold_until, .. } => format!(
            "{active} is the active arm of `{name}` now and serves everything; it is watched for {} and taken back by \
             itself where it fails\nback at once with: {}",
            between(now, *hold_until),
            command("rollback")
        ),
    };
    if status.killed {
        let kill = "note: on this gateway the document says `kill: true`, and everything stays on";
        return format!("{said}\n{kill} {active}");
    }
    said
}
