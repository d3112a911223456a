//! What was measured, as people read it: shares, times, gates.

use std::fmt::Write as _;

use sluicegate_rollout::stats::{Gate, GateReport, Report};

/// `0.31%`; as many digits as a small share needs.
pub(in crate::cli) fn share(rate: f64) -> String {
    let percent = rate * 100.0;
    let digits = if percent == 0.0 || percent >= 0.1 { 2 } else { 4 };
    format!("{percent:.digits$}%")
}

/// `41 ms`, `1.25 s`.
pub(in crate::cli) fn time(seconds: f64) -> String {
    if seconds < 0.01 {
        format!("{:.2} ms", seconds * 1e3)
    } else if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// What a gate looks at, in its own unit.
pub(super) fn of_gate(gate: Gate, value: Option<f64>) -> String {
    match (gate, value) {
        (_, None) => "-".to_owned(),
        (Gate::ErrorRate | Gate::AbortErrors, Some(rate)) => share(rate),
        (Gate::LatencyP95 | Gate::AbortP99, Some(seconds)) => time(seconds),
    }
}

/// How much there is of what decides the gate, as powers of ten of the odds.
pub(super) fn evidence(report: &GateReport) -> String {
    // What speaks against it by more than a hundredth counts as nothing.
    format!("{:.1} of {:.1}", report.evidence.max(0.0), report.needed)
}

/// One arm in a line: `1042 requests, 3 failed (0.29%), p95 41 ms, p99 80 ms`. The arm by its
/// place in the report.
pub(super) fn arm(report: &Report, arm: usize) -> String {
    let (requests, errors) = (report.samples[arm], report.errors[arm]);
    if requests == 0 {
        return "no requests".to_owned();
    }
    let mut line = format!("{requests} requests, {errors} failed ({})", share(ratio(errors, requests)));
    for (gate, name) in [(Gate::LatencyP95, "p95"), (Gate::AbortP99, "p99")] {
        let found = report.gates.iter().find(|report| report.gate == gate);
        if let Some(seconds) = found.and_then(|found| if arm == 0 { found.active } else { found.candidate }) {
            // Writing to a string cannot fail.
            let _ = write!(line, ", {name} {}", time(seconds));
        }
    }
    line
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests, shown with four digits")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::{share, time};

    #[test]
    fn numbers_have_the_digits_that_say_something() {
        assert_eq!(
            [share(0.0), share(0.005), share(0.000_12), share(1.0)],
            ["0.00%", "0.50%", "0.0120%", "100.00%"]
        );
        assert_eq!([time(0.0012), time(0.0412), time(1.25)], ["1.20 ms", "41 ms", "1.25 s"]);
    }
}
