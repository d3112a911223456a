//! What was decided about a rollout, oldest first: the material of a postmortem.

use serde_json::Value;
use sluicegate_rollout::machine::{Act, Decision, Phase};

use super::{RolloutHistoryArgs, brief::who, numbers, refusal};
use crate::cli::{
    Exit, Failure, Streams,
    ask::Asking,
    client::segment,
    output::{self, plain},
    read,
};

pub(super) fn show(args: &RolloutHistoryArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let asking = Asking::new(&args.ask, &[])?;
    let path = format!("/rollouts/{}/history", segment(&args.name));
    let mut answer =
        asking.send_and("GET", &path, None, to, |problem| refusal::in_words(problem, &args.name))?;
    if let (Some(limit), Value::Array(decisions)) = (args.limit, &mut answer["decisions"]) {
        decisions.drain(..decisions.len().saturating_sub(limit.get()));
    }
    if args.ask.json {
        output::json(to.out, &answer)?;
        return Ok(Exit::Done);
    }
    let decisions: Vec<Decision> = read(answer["decisions"].take())?;
    if decisions.is_empty() {
        writeln!(to.out, "nothing was decided yet")?;
    }
    for decision in &decisions {
        for (at, line) in told(decision).iter().enumerate() {
            let indent = if at == 0 { "" } else { "    " };
            writeln!(to.out, "{indent}{}", plain(line))?;
        }
    }
    Ok(Exit::Done)
}

/// The decision, and below it what it was made from.
fn told(decision: &Decision) -> Vec<String> {
    let Decision { at, act, by, from, to, weight: [before, after], .. } = decision;
    // To the second: what is finer is in the JSON.
    let at = at.round(jiff::Unit::Second).unwrap_or(*at);
    let mut lines = vec![format!("{at}  {}  by {}", word(*act), who(by))];
    let (from, to) = (stand(from), stand(to));
    let phases = if from == to { to } else { format!("{from} -> {to}") };
    let weights = if before == after { format!("{after}%") } else { format!("{before}% -> {after}%") };
    lines.push(format!(
        "run {}: {phases}; {weights} of keys on {}, active is {}",
        decision.run, decision.candidate, decision.active
    ));
    if let Some(reason) = &decision.reason {
        lines.push(format!("reason: {reason}"));
    }
    if let Some(report) = &decision.report {
        // The numbers are of the arms as they were when they were counted.
        let [active, candidate] = arms_before(decision);
        lines.push(format!("active     {active}: {}", numbers::arm(report, 0)));
        lines.push(format!("candidate  {candidate}: {}", numbers::arm(report, 1)));
        let says = report.says();
        if decision.reason.as_deref() != Some(&says) {
            lines.push(says);
        }
    }
    let pins = decision.pins.iter().filter(|(_, pins)| !pins.is_empty()).map(|(upstream, pins)| {
        let pins: Vec<_> = pins.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{upstream} {}", pins.join(" "))
    });
    let pins: Vec<_> = pins.collect();
    if !pins.is_empty() {
        lines.push(format!("pins: {}", pins.join("; ")));
    }
    lines
}

/// Active and candidate before the decision: some exchange them.
fn arms_before(decision: &Decision) -> [&str; 2] {
    let (active, candidate) = (decision.active.as_str(), decision.candidate.as_str());
    match decision.act {
        Act::Promoted | Act::Switched | Act::RolledBack => [candidate, active],
        _ => [active, candidate],
    }
}

const fn word(act: Act) -> &'static str {
    match act {
        Act::Weighed => "weight set",
        Act::RolledBack => "rolled back",
        other => other.as_str(),
    }
}

fn stand(phase: &Phase) -> String {
    match phase.step() {
        Some(step) => format!("{} step {}", phase.as_str(), step + 1),
        None => phase.as_str().to_owned(),
    }
}
