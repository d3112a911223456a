//! How the backfill is doing, in few lines.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::json;
use sluicegate_intents::{IntentsStatus, PausedRecord};
use sluicegate_store::EntryState;

use super::tally;
use crate::cli::{
    Failure, Streams,
    output::{self, plain},
};

/// How the backfill is doing, each line after `indent`; capitals where an operator is needed.
pub(in crate::cli) fn status(
    status: &IntentsStatus,
    indent: &str,
    now: Timestamp,
    to: &mut Streams<'_>,
) -> Result<(), Failure> {
    let count = |state: EntryState| status.count.get(state.as_str()).copied().unwrap_or_default();
    let mut line = tally(&json!(status.count));
    if let Some(oldest) = status.oldest_ms {
        // Writing to a string cannot fail.
        let _ = write!(line, "; the oldest waits for {}", output::lasting(oldest / 1000));
    }
    if status.bytes > 0 {
        let _ = write!(line, "; {} wait", output::bytes(status.bytes));
    }
    writeln!(to.out, "{indent}{line}")?;
    if let Some(why) = &status.store_down {
        writeln!(to.out, "{indent}STORE DOWN  {}", plain(why))?;
    }
    if let Some(paused) = &status.paused {
        writeln!(to.out, "{indent}PAUSED  {}", pause_in_words(paused, now))?;
    }
    if count(EntryState::InDoubt) > 0 {
        writeln!(to.out, "{indent}IN DOUBT  what is behind waits: sluicegate intents list --state in_doubt")?;
    }
    if count(EntryState::Dead) > 0 {
        writeln!(to.out, "{indent}DEAD  refused for good: sluicegate intents list --state dead")?;
    }
    for (until, why) in [
        (status.soaking_until, "a freeze has just ended"),
        (status.resting_until, "one outcome after the other was unknown"),
    ] {
        if let Some(until) = until {
            writeln!(to.out, "{indent}nothing is applied for {} more: {why}", output::between(now, until))?;
        }
    }
    if let Some(error) = &status.last_error {
        writeln!(
            to.out,
            "{indent}last error {} ago: {}",
            output::between(error.at, now),
            plain(&error.message)
        )?;
    }
    if let Some(why) = &status.not_durable {
        writeln!(to.out, "{indent}no write is accepted for later: {}", plain(why))?;
    }
    Ok(())
}

fn pause_in_words(paused: &PausedRecord, now: Timestamp) -> String {
    let since = i64::try_from(paused.since_ms).ok().and_then(|since| Timestamp::from_millisecond(since).ok());
    let mut words = match since {
        Some(since) => format!("for {}", output::between(since, now)),
        None => "for long".to_owned(),
    };
    if let Some(by) = &paused.by {
        let _ = write!(words, " by {}", plain(by));
    }
    if let Some(reason) = &paused.reason {
        let _ = write!(words, ": {}", plain(reason));
    }
    words + "; go on with: sluicegate intents resume"
}
