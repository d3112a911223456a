//! One shadow on one screen: the verdict, and what it stands on.

use std::io;

use jiff::Timestamp;
use sluicegate_shadow::{
    Report, Verdict,
    report::{ClassReport, Excess},
};

use super::{brief, likeness, outcomes, told::Told, typed};
use crate::cli::{
    output::{self, between, plain},
    rollout::numbers::share,
};

/// The most classes that are shown; JSON has all.
const MOST_CLASSES: usize = 20;

/// The verdict in words, the copies, the pairs, the classes, how alike and how fast.
pub(super) fn screen(shadow: &Told, now: Timestamp, out: &mut dyn io::Write) -> io::Result<()> {
    let (route, to) = (plain(&shadow.route), plain(&shadow.to));
    writeln!(out, "{route} -> {to}: {}", brief::says(shadow))?;
    for alarm in brief::alarms(shadow) {
        writeln!(out, "  {}", plain(&alarm))?;
    }
    match &shadow.report {
        Some(report) => {
            writeln!(out, "  {}", plain(&report.says))?;
            if report.verdict == Verdict::Different {
                writeln!(out, "  look at the last ones: {}", typed("pairs", &shadow.route, &shadow.to))?;
            }
        }
        None => writeln!(
            out,
            "  add `compare: {{}}` to it in the configuration to learn whether it answers the same"
        )?,
    }
    let on_their_way =
        if shadow.in_flight > 0 { format!("; {} are on their way", shadow.in_flight) } else { String::new() };
    writeln!(
        out,
        "\ncopies of {}% of the requests, counted since the gateway has the shadow{on_their_way}",
        shadow.percent
    )?;
    outcomes::copies(&shadow.copies, out)?;
    let Some(report) = &shadow.report else { return Ok(()) };
    outcomes::unpaired(&shadow.unpaired, out)?;
    pairs(report, now, out)?;
    classes(&report.classes, out)?;
    likeness::likeness(report, out)?;
    likeness::latency(report, out)?;
    log(report, out)
}

fn pairs(report: &Report, now: Timestamp, out: &mut dyn io::Write) -> io::Result<()> {
    // To the second: what is finer is in the JSON.
    let since = report.since.round(jiff::Unit::Second).unwrap_or(report.since);
    writeln!(out, "\npairs since {since}, {} ago", between(report.since, now))?;
    let kinds = [("A/B  own and shadow", &report.shadow), ("A/A  own and own", &report.own)];
    let rows: Vec<_> = kinds
        .into_iter()
        .map(|(name, kind)| {
            let share = kind.share.map_or_else(|| "-".to_owned(), share);
            let counts = [kind.pairs, kind.differing].map(|count| count.to_string());
            let [pairs, differing] = counts;
            vec![name.to_owned(), pairs, differing, share, likeness::failures(kind)]
        })
        .collect();
    let head = ["ANSWERS OF", "PAIRS", "DIFFER", "SHARE", "WITHOUT AN ANSWER"].map(str::to_owned);
    output::table(out, &head, &rows)?;
    let needed = output::count(usize::try_from(report.pairs).unwrap_or(usize::MAX), "pair");
    writeln!(
        out,
        "  beyond noise: {} seen, proven: {}; {} is allowed, {needed} of each kind are needed",
        share(report.excess.estimate.max(0.0)),
        proven(&report.excess),
        share(report.allow),
    )
}

/// What is proven of an excess: `1.20% to 4.00%`. That one is not below nothing needs no proof.
fn proven(excess: &Excess) -> String {
    let most = share(excess.at_most.max(0.0));
    if excess.at_least > 0.0 {
        format!("{} to {most}", share(excess.at_least))
    } else {
        format!("at most {most}")
    }
}

fn classes(classes: &[ClassReport], out: &mut dyn io::Write) -> io::Result<()> {
    if classes.is_empty() {
        return Ok(());
    }
    let of = |share_of: Option<f64>| share_of.map_or_else(|| "-".to_owned(), share);
    let rows: Vec<_> = classes
        .iter()
        .take(MOST_CLASSES)
        .map(|class| {
            vec![
                class.class.to_string(),
                class.finding.as_str().to_owned(),
                of(class.shadow.share),
                of(class.own.share),
                proven(&class.excess),
            ]
        })
        .collect();
    writeln!(out)?;
    output::table(out, &["DIFFER IN", "FINDING", "A/B", "A/A", "BEYOND NOISE"].map(str::to_owned), &rows)?;
    match classes.len().saturating_sub(MOST_CLASSES) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more; --json has all"),
    }
}

fn log(report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    let Some(log) = &report.log else { return Ok(()) };
    let path = log.path.display().to_string();
    write!(out, "\nlog  {}: {} lines written", plain(&path), log.written)?;
    for (count, what) in [
        (log.dropped, "left out, as too many were waiting"),
        (log.failed, "lost, as the file could not be written"),
    ] {
        if count > 0 {
            write!(out, ", {count} {what}")?;
        }
    }
    writeln!(out)
}
