//! How alike the answers of many pairs are, and how long they took.

use std::io;

use sluicegate_shadow::report::{IdsReport, KindReport, Quantiles, Report, TextsReport};

use crate::cli::{output, rollout::numbers};

/// How alike ids and texts are, with the shadow and of the same version; nothing where no answer
/// has any.
pub(super) fn likeness(report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    let kinds = [("A/B", &report.shadow), ("A/A", &report.own)];
    let ids =
        kinds.iter().filter_map(|(name, kind)| Some(row(&format!("ids {name}"), ids(kind.ids.as_ref()?))));
    let texts = kinds
        .iter()
        .filter_map(|(name, kind)| Some(row(&format!("texts {name}"), texts(kind.texts.as_ref()?))));
    let rows: Vec<_> = ids.chain(texts).collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nlikeness (1 is the same; of rank distance 0)")?;
    output::columns(out, &rows)
}

fn row(name: &str, says: String) -> [String; 2] {
    [name.to_owned(), says]
}

fn ids(ids: &IdsReport) -> String {
    format!(
        "overlap {:.3}, rank distance {:.3}, of {:.1} ids on average; other ids in {} of {} pairs, another order in {}",
        ids.overlap.mean, ids.rank_distance.mean, ids.mean_length, ids.other_ids, ids.pairs, ids.other_order
    )
}

fn texts(texts: &TextsReport) -> String {
    format!(
        "similarity {:.3}; less alike than they should be in {} of {} pairs",
        texts.similarity.mean, texts.differing, texts.pairs
    )
}

/// The time to the head of the answers, of both sides; nothing before there are any.
pub(super) fn latency(report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    let Some(shadow) = &report.shadow.latency else { return Ok(()) };
    let quantiles = |name: String, times: &Quantiles| {
        let [p50, p95, p99] = [times.p50, times.p95, times.p99].map(numbers::time);
        vec![name, p50, p95, p99]
    };
    let mut rows = vec![
        quantiles("the route's own".to_owned(), &shadow.primary),
        quantiles(format!("copies to {}", report.to), &shadow.copy),
    ];
    // Copies go out at the lowest priority: those to the same upstream tell what that costs them.
    if let Some(own) = &report.own.latency {
        rows.push(quantiles("copies to its own".to_owned(), &own.copy));
    }
    writeln!(out)?;
    let head = ["TIME TO THE ANSWER'S HEAD", "P50", "P95", "P99"].map(str::to_owned);
    output::table(out, &head, &rows)?;
    let slower = numbers::share(shadow.copy_slower);
    writeln!(out, "  of {}, the copy took longer in {slower}", pairs(shadow.pairs))
}

/// Why copies got no answer: `timeout 3, reset 1`.
pub(super) fn failures(kind: &KindReport) -> String {
    let failed = &kind.failed;
    let all = [
        ("timeout", failed.timeout),
        ("unreachable", failed.unreachable),
        ("reset", failed.reset),
        ("breaker", failed.breaker),
        ("too_large", failed.too_large),
    ];
    let some: Vec<_> = all
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(why, count)| format!("{why} {count}"))
        .collect();
    if some.is_empty() { "-".to_owned() } else { some.join(", ") }
}

fn pairs(count: u64) -> String {
    output::count(usize::try_from(count).unwrap_or(usize::MAX), "pair")
}
