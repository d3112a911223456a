//! A shadow in a line or two: what the comparisons say, how the copies fare, and what is wrong.

use std::fmt::Write;

use sluicegate_shadow::Verdict;

use super::{outcomes, told::Told};

/// The line of its verdict, then a line for each thing that an operator should know.
pub(super) fn lines(shadow: &Told) -> Vec<String> {
    let Told { route, to, percent, in_flight, copies, .. } = shadow;
    let count = |kind| outcomes::sum(copies, kind);
    let mut line = format!(
        "{route} -> {to} ({percent}%): {}  copies: {} answered, {} without an answer, {} left out",
        says(shadow),
        count(outcomes::Kind::Answered),
        count(outcomes::Kind::Failed),
        count(outcomes::Kind::LeftOut),
    );
    if *in_flight > 0 {
        // Writing to a string cannot fail.
        let _ = write!(line, ", {in_flight} on their way");
    }
    let mut lines = vec![line];
    lines.extend(alarms(shadow).into_iter().map(|alarm| format!("  {alarm}")));
    lines
}

/// The verdict in a word or two.
pub(super) fn says(shadow: &Told) -> &'static str {
    match shadow.verdict {
        _ if !shadow.compares => "not compared",
        Some(Verdict::Same) => "same",
        Some(Verdict::Different) => "DIFFERENT",
        Some(Verdict::Undecided) => "undecided",
        Some(Verdict::InsufficientData) | None => "too few pairs",
    }
}

/// What is out of the ordinary, loudly.
pub(super) fn alarms(shadow: &Told) -> Vec<String> {
    let mut alarms = Vec::new();
    let failed = outcomes::sum(&shadow.copies, outcomes::Kind::Failed);
    if failed > 0 && outcomes::sum(&shadow.copies, outcomes::Kind::Answered) == 0 {
        let most = outcomes::most(&shadow.copies, outcomes::Kind::Failed).unwrap_or("reset");
        alarms.push(format!("NO ANSWER  none of {failed} copies was answered, most for `{most}`"));
    }
    let log = shadow.report.as_ref().and_then(|report| report.log.as_ref());
    if let Some(error) = log.and_then(|log| log.error.as_ref()) {
        alarms.push(format!("LOG  differing pairs are not written: {error}"));
    }
    alarms
}
