//! How far a step has come, as a bar, and what it still needs, in words.

use sluicegate_rollout::Progress;

use crate::cli::output;

const WIDTH: u64 = 20;

/// `[##########----------]  2m31s and 84 samples of the candidate left`.
pub(super) fn of_step(progress: &Progress) -> String {
    let missing = progress.missing;
    let left = left(progress.remaining_ms, missing);
    // Of what a step needs, the part that is furthest behind.
    let time = part(progress.elapsed_ms, progress.at_least_ms);
    let arms = missing.iter().zip(progress.samples).filter(|(missing, _)| **missing > 0);
    let samples = arms.map(|(missing, have)| part(have, have.saturating_add(*missing))).min();
    let filled = time.min(samples.unwrap_or(WIDTH));
    match left {
        Some(left) => format!("{}  {left} left", bar(filled.min(WIDTH - 1))),
        None => format!("{}  long enough, and {}", bar(WIDTH), open(progress)),
    }
}

/// `[##########----------]` of a time that runs out by itself.
pub(super) fn of_time(elapsed: u64, whole: u64) -> String {
    bar(part(elapsed, whole))
}

/// Twentieths.
fn part(have: u64, whole: u64) -> u64 {
    match whole {
        0 => WIDTH,
        whole => u64::try_from(u128::from(have) * u128::from(WIDTH) / u128::from(whole))
            .map_or(WIDTH, |part| part.min(WIDTH)),
    }
}

fn bar(filled: u64) -> String {
    (0..WIDTH).fold("[".to_owned(), |bar, at| bar + if at < filled { "#" } else { "-" }) + "]"
}

fn left(remaining_ms: u64, [active, candidate]: [u64; 2]) -> Option<String> {
    let samples = match (active, candidate) {
        (0, 0) => None,
        (0, candidate) => Some(format!("{} of the candidate", output::count(size(candidate), "sample"))),
        (active, 0) => Some(format!("{} of the active arm", output::count(size(active), "sample"))),
        (active, candidate) => Some(format!(
            "{} of the candidate and {active} of the active arm",
            output::count(size(candidate), "sample")
        )),
    };
    // What is begun of a second is told as one: `0s` would be over.
    let time = (remaining_ms > 0).then(|| output::lasting(remaining_ms.div_ceil(1000)));
    match (time, samples) {
        (Some(time), Some(samples)) => Some(format!("{time} and {samples}")),
        (time, samples) => time.or(samples),
    }
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Why a step that has lasted long enough is not over.
fn open(progress: &Progress) -> &'static str {
    use sluicegate_rollout::stats::Verdict::{Abort, Fail, Inconclusive, InsufficientData, Pass};
    match progress.verdict {
        Pass => "it passes",
        Fail => "it FAILS",
        Abort => "it is ABORTED",
        Inconclusive => "nothing is proven: it waits",
        InsufficientData => "the gates need more samples",
    }
}

#[cfg(test)]
mod tests {
    use super::{bar, left, part};

    #[test]
    fn what_remains_is_said_of_the_time_and_of_each_arm() {
        for (remaining, missing, text) in [
            (151_000, [0, 84], Some("2m31s and 84 samples of the candidate")),
            (150_001, [0, 0], Some("2m31s")),
            (1, [0, 0], Some("1s")),
            (0, [0, 1], Some("1 sample of the candidate")),
            (0, [7, 0], Some("7 samples of the active arm")),
            (0, [7, 84], Some("84 samples of the candidate and 7 of the active arm")),
            (0, [0, 0], None),
        ] {
            assert_eq!(left(remaining, missing).as_deref(), text);
        }
    }

    #[test]
    fn a_bar_shows_twentieths() {
        assert_eq!(bar(part(150, 300)), "[##########----------]");
        assert_eq!(bar(part(0, 300)), "[--------------------]");
        assert_eq!(bar(part(299, 300)), "[###################-]");
        assert_eq!(bar(part(u64::MAX, 300)), "[####################]");
        assert_eq!(part(5, 0), 20);
        assert_eq!(part(u64::MAX / 2, u64::MAX), 9);
    }
}
