//! One rollout on one screen.

use std::io;

use jiff::Timestamp;
use sluicegate_rollout::{Phase, Progress, RolloutStatus};

use super::{
    brief::{self, who},
    numbers,
};
use crate::cli::output::{self, between, plain};

/// Where it stands, its arms, its gates, how it came there, and what can be done.
pub(super) fn screen(status: &RolloutStatus, now: Timestamp) -> io::Result<String> {
    let mut out = Vec::new();
    let mut head = vec![brief::head(status, now)];
    head.extend(brief::alarms(status, now));
    if let Some(progress) = &status.progress {
        head.push(format!("so far: {}", progress.says));
        if progress.verdict != progress.report.verdict {
            head.push(format!("dry-run gates left out it is: {}", progress.verdict));
        }
    }
    for (at, line) in head.iter().enumerate() {
        let indent = if at == 0 { "" } else { "  " };
        writeln(&mut out, &format!("{indent}{}", plain(line)))?;
    }
    writeln(&mut out, "")?;
    arms(status, &mut out)?;
    if let Some(progress) = &status.progress {
        writeln(&mut out, "")?;
        gates(progress, &mut out)?;
    }
    writeln(&mut out, "")?;
    if let Some(last) = &status.last {
        // Of these the reason stands at the top.
        let is_told = matches!(status.phase, Phase::Aborted { .. } | Phase::Held { .. });
        let why = last.reason.as_deref().filter(|_| !is_told);
        let why = why.map(|reason| format!(": {reason}")).unwrap_or_default();
        let ago = between(last.at, now);
        let line = format!("last: {} {ago} ago by {}{why}", last.act.as_str(), who(&last.by));
        writeln(&mut out, &plain(&line))?;
    }
    let can = status.can.iter().map(|command| if command == "set_weight" { "weight" } else { command });
    writeln(&mut out, &format!("possible now: {}", can.collect::<Vec<_>>().join(", ")))?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn writeln(out: &mut Vec<u8>, line: &str) -> io::Result<()> {
    io::Write::write_all(out, format!("{line}\n").as_bytes())
}

fn arms(status: &RolloutStatus, out: &mut Vec<u8>) -> io::Result<()> {
    let head = ["ARM", "UPSTREAM", "KEYS", "REQUESTS", "FAILED", "PINS"].map(str::to_owned);
    let keys = [100 - status.weight.min(100), status.weight.min(100)];
    let rows = [("active", &status.active), ("candidate", &status.candidate)];
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .enumerate()
        .map(|(at, (arm, upstream))| {
            let report = status.progress.as_ref().map(|progress| &progress.report);
            let number = |of: fn(&sluicegate_rollout::stats::Report) -> [u64; 2]| {
                report.map_or_else(|| "-".to_owned(), |report| of(report)[at].to_string())
            };
            let pins = status.pins.get(upstream).into_iter().flatten();
            let pins: Vec<_> = pins.map(|(name, value)| format!("{name}={value}")).collect();
            vec![
                arm.to_owned(),
                upstream.clone(),
                format!("{}%", keys[at]),
                number(|report| report.samples),
                number(|report| report.errors),
                if pins.is_empty() { "-".to_owned() } else { pins.join(" ") },
            ]
        })
        .collect();
    output::table(out, &head, &rows)
}

fn gates(progress: &Progress, out: &mut Vec<u8>) -> io::Result<()> {
    let head = ["GATE", "SAYS", "ACTIVE", "CANDIDATE", "BOUND", "EVIDENCE"].map(str::to_owned);
    let rows: Vec<Vec<String>> = progress
        .report
        .gates
        .iter()
        .map(|gate| {
            let value = |value| numbers::of_gate(gate.gate, value);
            vec![
                gate.gate.as_str().to_owned(),
                gate.verdict.as_str().to_owned(),
                value(gate.active),
                value(gate.candidate),
                value(gate.bound),
                numbers::evidence(gate),
            ]
        })
        .collect();
    output::table(out, &head, &rows)
}
