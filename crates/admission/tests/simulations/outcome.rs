//! The figures of a run, and whether they lie where they should.

use std::fmt::Write;

use sluicegate_admission::queue::Why;

use crate::{
    file::{Expect, File},
    world::{Fate, Request, Run},
};

/// The figures of some requests within a span.
struct Figures {
    came: usize,
    /// Percent of what came.
    admitted: f64,
    refused: f64,
    by_reason: Vec<(Why, usize)>,
    good_per_second: f64,
    wait_p50: f64,
    wait_p95: f64,
    latency_p95: f64,
}

/// The value below which so many of a hundred lie (nearest rank).
fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or(0.0)
}

fn figures(file: &File, run: &Run, expect: &Expect) -> Figures {
    let until = expect.until.unwrap_or(file.seconds as f64);
    let span = expect.from..until;
    let of =
        |request: &&Request| expect.of.as_ref().is_none_or(|name| file.streams[request.stream].name == *name);
    let mine: Vec<_> = run.requests.iter().filter(of).collect();
    let came: Vec<_> = mine.iter().filter(|request| span.contains(&request.came)).collect();
    let admitted: Vec<_> = came.iter().filter(|one| matches!(one.fate, Fate::Good | Fate::Bad)).collect();
    let good = mine.iter().filter(|one| one.fate == Fate::Good && span.contains(&one.ended)).count();
    let mut waits: Vec<_> = admitted.iter().map(|one| one.wait * 1000.0).collect();
    let mut latencies: Vec<_> = admitted.iter().map(|one| (one.ended - one.came) * 1000.0).collect();
    let share = |part: usize| 100.0 * part as f64 / came.len().max(1) as f64;
    let by_reason =
        Why::ALL.map(|why| (why, came.iter().filter(|one| one.fate == Fate::Refused(why)).count()));
    Figures {
        came: came.len(),
        admitted: share(admitted.len()),
        refused: share(came.len() - admitted.len()),
        by_reason: by_reason.into_iter().filter(|(_, count)| *count > 0).collect(),
        good_per_second: good as f64 / (until - expect.from),
        wait_p50: percentile(&mut waits, 50),
        wait_p95: percentile(&mut waits, 95),
        latency_p95: percentile(&mut latencies, 95),
    }
}

fn title(file: &File, expect: &Expect) -> String {
    let until = expect.until.unwrap_or(file.seconds as f64);
    format!("{} {}..{until} s", expect.of.as_deref().unwrap_or("all"), expect.from)
}

/// The ranges that were missed, in words.
pub(crate) fn missed(file: &File, run: &Run) -> Vec<String> {
    let mut missed = Vec::new();
    for expect in &file.expect {
        let found = figures(file, run, expect);
        for (what, value, range) in [
            ("admitted", found.admitted, expect.admitted),
            ("refused", found.refused, expect.refused),
            ("good_per_second", found.good_per_second, expect.good_per_second),
            ("wait_p50_ms", found.wait_p50, expect.wait_p50_ms),
            ("wait_p95_ms", found.wait_p95, expect.wait_p95_ms),
            ("latency_p95_ms", found.latency_p95, expect.latency_p95_ms),
            ("in_flight", run.in_flight.into(), expect.in_flight),
        ] {
            if let Some([low, high]) = range
                && !(low..=high).contains(&value)
            {
                missed.push(format!("{}: {what} is {value:.2}, not {low} to {high}", title(file, expect)));
            }
        }
        assert!(found.came > 0, "{}: nothing came", title(file, expect));
    }
    missed
}

/// All figures, a line per span.
pub(crate) fn table(file: &File, run: &Run) -> String {
    let mut table = format!("{}\nin flight at most {}\n", file.about, run.in_flight);
    for expect in &file.expect {
        let of = figures(file, run, expect);
        let _ = writeln!(
            table,
            "{:28} came {:6} admitted {:6.2}% refused {:6.2}% good/s {:7.1} wait p50 {:6.1} p95 {:6.1} latency p95 {:7.1} {:?}",
            title(file, expect),
            of.came,
            of.admitted,
            of.refused,
            of.good_per_second,
            of.wait_p50,
            of.wait_p95,
            of.latency_p95,
            of.by_reason,
        );
    }
    table
}
