//! The `telemetry` section, as this build can do it.

use sluicegate_config::{Loaded, Problem, problem_at};
use sluicegate_spans::Faults;

/// What is wrong in `telemetry.otlp`, with its places in the text.
pub(crate) fn problems(loaded: &Loaded, faults: Faults) -> Vec<Problem> {
    let place = |(inside, message): (String, String)| {
        // Without a key inside it the whole section is meant.
        let path = format!("telemetry.otlp.{inside}");
        problem_at(loaded, path.trim_end_matches('.'), message)
    };
    faults.into_iter().map(place).collect()
}
