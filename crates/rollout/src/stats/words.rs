//! What was found, in words.

use super::{
    found::{Found, View, Why},
    report::{Gate, GateReport, Judged, Report, Verdict},
};

/// What one gate says.
pub(super) fn of_gate(report: &GateReport, found: &Found, view: &View<'_>) -> String {
    let facts = facts(report, view);
    let bound = bound(report.gate, view);
    let missing = report.missing.map(missing);
    match found.why {
        Why::Few => match missing {
            Some(missing) => format!("{facts}; {missing}"),
            None => facts,
        },
        Why::Proven => format!("{facts}: more than {bound} is proven"),
        Why::Alike => format!(
            "{facts}: more than {bound} is proven, but not that it is worse than the active arm: both fail alike"
        ),
        Why::Outside => format!("{facts}: more than {bound}, but that is not proven"),
        Why::Unproven => match missing {
            Some(missing) => {
                format!("{facts}: within {bound}, but twice as much is not excluded; about {missing}")
            }
            None => format!("{facts}: within {bound}, but twice as much is not excluded yet"),
        },
        Why::Inside => format!("{facts}: within {bound}"),
        Why::Nothing => format!("{facts}: more than {bound} is not proven"),
    }
}

/// What a report says in one line.
pub(super) fn of_report(report: &Report) -> String {
    let decides = |gate: &&GateReport| match report.verdict {
        Verdict::Pass => gate.gate.holds_a_step(),
        verdict => gate.verdict == verdict && (gate.gate.holds_a_step() || verdict == Verdict::Abort),
    };
    let mut parts: Vec<_> = report.gates.iter().filter(decides).map(|gate| gate.says.clone()).collect();
    if matches!(report.verdict, Verdict::InsufficientData | Verdict::Inconclusive) {
        if parts.is_empty() && report.short_of != [0; 2] {
            parts.push(missing(report.short_of));
        }
        if !report.remaining.is_zero() {
            parts.push(format!("the step lasts {} more at least", time(report.remaining.as_secs_f64())));
        }
    }
    let arm = match report.judged {
        Judged::Active => "active arm: ",
        Judged::Candidate => "",
    };
    format!("{arm}{}: {}", report.verdict, parts.join("; "))
}

/// The numbers: what is judged, of how many, beside what.
fn facts(report: &GateReport, view: &View<'_>) -> String {
    let judged = Judged::from(view.watched);
    let number = |value: Option<f64>| match (report.gate, value) {
        (_, None) => "unknown".to_owned(),
        (Gate::ErrorRate | Gate::AbortErrors, Some(rate)) => percent(rate),
        (Gate::LatencyP95 | Gate::AbortP99, Some(seconds)) => time(seconds),
    };
    let (value, other, arm) = match judged {
        Judged::Candidate => (report.candidate, report.active, "candidate"),
        Judged::Active => (report.active, None, "active arm"),
    };
    match report.gate {
        Gate::ErrorRate | Gate::AbortErrors => {
            let totals = view.totals.each_ref().map(|total| count(total.requests));
            let [active, _] = &totals;
            if view.judged().requests == 0 {
                return format!("no request of the {arm} was counted");
            }
            let own = format!(
                "{} of {} requests of the {arm} failed",
                number(value),
                totals[view.watched as usize]
            );
            if other.is_some() { format!("{own} (active: {} of {active})", number(other)) } else { own }
        }
        Gate::LatencyP95 | Gate::AbortP99 => {
            let name = if report.gate == Gate::LatencyP95 { "p95" } else { "p99" };
            let own = match value {
                None => format!("the {arm} has no {name}"),
                Some(_) => format!("the {arm}'s {name} is {}", number(value)),
            };
            match (value, other) {
                (Some(value), Some(active)) if active > 0.0 => {
                    format!("{own} (active: {}, that is {})", time(active), uplift(value / active))
                }
                (_, Some(active)) => format!("{own} (active: {})", time(active)),
                _ => own,
            }
        }
    }
}

fn bound(gate: Gate, view: &View<'_>) -> String {
    match gate {
        Gate::ErrorRate => percent(view.limits.gate_errors),
        Gate::AbortErrors => percent(view.limits.abort_errors),
        Gate::LatencyP95 => uplift(1.0 + view.limits.gate_p95_uplift),
        Gate::AbortP99 => format!("{} times", trimmed(view.limits.abort_p99_ratio, 2)),
    }
}

fn missing([active, candidate]: [u64; 2]) -> String {
    let more = |samples: u64, arm: &str| {
        format!("{} more {} of the {arm}", count(samples), if samples == 1 { "sample" } else { "samples" })
    };
    match (active, candidate) {
        (0, 0) => "no more samples".to_owned(),
        (0, _) => more(candidate, "candidate"),
        (_, 0) => more(active, "active arm"),
        _ => format!("{} and {}", more(candidate, "candidate"), more(active, "active arm")),
    }
}

/// `0.12%`; as many digits as a small rate needs.
fn percent(rate: f64) -> String {
    let percent = rate * 100.0;
    let digits = if percent == 0.0 || percent >= 0.1 { 2 } else { 4 };
    format!("{percent:.digits$}%")
}

/// `+15%`.
fn uplift(ratio: f64) -> String {
    format!("{}{}%", if ratio < 1.0 { "" } else { "+" }, trimmed((ratio - 1.0) * 100.0, 1))
}

/// `12 ms`, `1.23 s`, `2 min 10 s`.
fn time(seconds: f64) -> String {
    if seconds < 0.01 {
        format!("{} ms", trimmed(seconds * 1e3, 2))
    } else if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 60.0 {
        format!("{} s", trimmed(seconds, 2))
    } else {
        format!("{:.0} min {:.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor())
    }
}

/// A number without zeros at its end.
fn trimmed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// `12,345`.
fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{count, missing, percent, time, trimmed, uplift};

    #[test]
    fn numbers_as_people_write_them() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"].map(str::to_owned)
        );
        assert_eq!(
            [percent(0.005), percent(0.0), percent(0.000_12), percent(1.0)],
            ["0.50%", "0.00%", "0.0120%", "100.00%"]
        );
        assert_eq!([uplift(1.15), uplift(0.9), uplift(1.0)], ["+15%", "-10%", "+0%"]);
        assert_eq!(
            [time(0.0012), time(0.25), time(2.5), time(130.0)],
            ["1.2 ms", "250 ms", "2.5 s", "2 min 10 s"]
        );
        assert_eq!([trimmed(2.0, 2), trimmed(-0.0001, 2), trimmed(100.0, 0)], ["2", "0", "100"]);
    }

    #[test]
    fn what_is_missing() {
        assert_eq!(missing([0, 1]), "1 more sample of the candidate");
        assert_eq!(
            missing([188, 20]),
            "20 more samples of the candidate and 188 more samples of the active arm"
        );
    }
}
