//! What became of requests and copies, and what each reason asks of the reader.

use std::{collections::BTreeMap, io};

use crate::cli::output;

/// What an outcome is to the shadow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Answered,
    /// The copy went out in vain.
    Failed,
    /// There was to be a copy and it did not go out.
    LeftOut,
    NotInTheShare,
}

struct Outcome {
    name: &'static str,
    kind: Kind,
    means: &'static str,
}

const fn outcome(name: &'static str, kind: Kind, means: &'static str) -> Outcome {
    Outcome { name, kind, means }
}

/// In the order in which they are shown.
const COPIES: [Outcome; 14] = [
    outcome("answered", Kind::Answered, ""),
    outcome(
        "unreachable",
        Kind::Failed,
        "no connection: is the upstream up, and its address right? see `sluicegate status`",
    ),
    outcome("timeout", Kind::Failed, "no whole answer within `timeout`: it hangs, or is slower than that"),
    outcome("reset", Kind::Failed, "the connection or the answer broke off: its own log knows why"),
    outcome("breaker", Kind::Failed, "it failed again and again and is left alone for a while"),
    outcome(
        "answer_too_large",
        Kind::Failed,
        "larger than `compare.max_answer` (without it `max_body`): raise it",
    ),
    outcome("rate", Kind::LeftOut, "`max_rps` is used up: raise it, or lower `percent`"),
    outcome(
        "in_flight",
        Kind::LeftOut,
        "`max_in_flight` copies were on their way: it is slow, or the gateway has no CPU to spare: raise it, or lower `percent`",
    ),
    outcome("body_too_large", Kind::LeftOut, "the request is larger than `max_body`: raise it"),
    outcome(
        "memory",
        Kind::LeftOut,
        "copies may hold a quarter of `fences.max_buffered`: raise that, or lower `percent` or `max_in_flight`",
    ),
    outcome(
        "unsent",
        Kind::LeftOut,
        "the request itself did not come whole or found no upstream: nothing to do here",
    ),
    outcome("queue_full", Kind::LeftOut, "the thread that sends copies is behind: lower `percent`"),
    outcome("sampled_out", Kind::NotInTheShare, "not in the share of `percent`"),
    outcome(
        "same_upstream",
        Kind::NotInTheShare,
        "a rollout has put the request itself on the shadow's upstream",
    ),
];

/// Answered and not compared.
const UNPAIRED: [(&str, &str); 5] = [
    ("no_primary", "the route's own answer failed, broke off, or took longer than the shadow's `timeout`"),
    ("primary_too_large", "the route's own answer is larger than `compare.max_answer`: raise it"),
    ("memory", "no room was left to hold the answers: see `fences.max_buffered`"),
    ("behind", "the thread that compares is behind: lower `percent`"),
    ("failed", "the comparison itself failed, by a mistake in it: please report it"),
];

/// How many there are of a kind.
pub(super) fn sum(copies: &BTreeMap<String, u64>, kind: Kind) -> u64 {
    of(copies, kind).map(|(_, count)| count).sum()
}

/// The most frequent one of a kind.
pub(super) fn most(copies: &BTreeMap<String, u64>, kind: Kind) -> Option<&'static str> {
    of(copies, kind).filter(|(_, count)| *count > 0).max_by_key(|(_, count)| *count).map(|(name, _)| name)
}

fn of(copies: &BTreeMap<String, u64>, kind: Kind) -> impl Iterator<Item = (&'static str, u64)> {
    let all = COPIES.iter().filter(move |outcome| outcome.kind == kind);
    all.map(|outcome| (outcome.name, copies.get(outcome.name).copied().unwrap_or_default()))
}

/// What an outcome of a copy asks of the reader.
pub(in crate::cli) fn copy_means(name: &str) -> Option<&'static str> {
    COPIES.iter().find(|outcome| outcome.name == name).map(|outcome| outcome.means)
}

/// The same of why answers were not compared.
pub(in crate::cli) fn unpaired_means(name: &str) -> Option<&'static str> {
    UNPAIRED.iter().find(|(known, _)| *known == name).map(|(_, means)| *means)
}

/// What became of the copies, without what never happened.
pub(super) fn copies(copies: &BTreeMap<String, u64>, out: &mut dyn io::Write) -> io::Result<()> {
    rows(copies, COPIES.iter().map(|outcome| outcome.name), copy_means, out)
}

/// Why answers were not compared, without what never happened; nothing where all were.
pub(super) fn unpaired(unpaired: &BTreeMap<String, u64>, out: &mut dyn io::Write) -> io::Result<()> {
    if unpaired.values().all(|count| *count == 0) {
        return Ok(());
    }
    writeln!(out, "\nnot compared")?;
    rows(unpaired, UNPAIRED.iter().map(|(name, _)| *name), unpaired_means, out)
}

fn rows<'a>(
    counts: &'a BTreeMap<String, u64>,
    known: impl Iterator<Item = &'a str>,
    means: impl Fn(&str) -> Option<&'static str>,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    // What a newer gateway counts besides is shown as it is.
    let newer = counts.keys().map(String::as_str).filter(|name| means(name).is_none());
    let names = known.chain(newer);
    let counted = names.filter_map(|name| Some((name, *counts.get(name)?))).filter(|(_, count)| *count > 0);
    let rows: Vec<_> = counted
        .map(|(name, count)| [name.to_owned(), count.to_string(), means(name).unwrap_or_default().to_owned()])
        .collect();
    if rows.is_empty() {
        return writeln!(out, "  none yet");
    }
    output::columns(out, &rows)
}
