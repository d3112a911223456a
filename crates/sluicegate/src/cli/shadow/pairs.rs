//! The last differing pairs, a few lines each.

use std::{fmt::Write, io};

use super::{
    ShadowPairsArgs, ask,
    told::{
        ToldAgainst, ToldComparison, ToldCopy, ToldDifference, ToldPair, ToldPairs, ToldSeen, ToldSide,
        ToldValue,
    },
    typed,
};
use crate::cli::{
    Exit, Failure, Streams,
    output::{self, plain},
    read,
    rollout::numbers,
};

/// The most differences, and the most ids of each kind, that are shown of one pair; JSON has more.
const MOST_SHOWN: usize = 10;

pub(super) fn show(args: &ShadowPairsArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let limit = [("limit", args.limit.to_string())];
    let answer = ask("pairs", "GET", &args.named, &limit, to)?;
    if args.named.ask.json {
        output::json(to.out, &answer)?;
        return Ok(Exit::Done);
    }
    let told: ToldPairs = read(answer)?;
    if told.pairs.is_empty() {
        writeln!(
            to.out,
            "none is kept; what the comparisons say: {}",
            typed("report", &told.route, &told.to)
        )?;
    }
    for (at, pair) in told.pairs.iter().enumerate() {
        if at > 0 {
            writeln!(to.out)?;
        }
        write(pair, &told.to, to.out)?;
    }
    if told.kept > told.pairs.len() {
        writeln!(to.out, "\n{} are kept; --limit {0} shows all of them", told.kept)?;
    }
    Ok(Exit::Done)
}

pub(super) fn write(pair: &ToldPair, shadow: &str, out: &mut dyn io::Write) -> io::Result<()> {
    let ToldPair { at, request, .. } = pair;
    let at = at.round(jiff::Unit::Second).unwrap_or(*at);
    let id = if request.id.is_empty() { String::new() } else { format!("  request {}", request.id) };
    let head = format!("{at}  {} {}{id}  shadow-id {}", request.method, request.path, request.shadow_id);
    writeln!(out, "{}", plain(&head))?;
    let other = match pair.against {
        ToldAgainst::Shadow => shadow,
        ToldAgainst::Own => "its own once more (A/A)",
    };
    let copy = match &pair.copy {
        ToldCopy::Answered(copy) => side(copy),
        ToldCopy::Failed(why) => format!("no answer, {why}"),
    };
    writeln!(out, "  own {}; {}", side(&pair.primary), plain(&format!("{other} {copy}")))?;
    for line in pair.comparison.as_ref().map(lines).unwrap_or_default() {
        writeln!(out, "  {}", plain(&line))?;
    }
    Ok(())
}

/// `200 in 12 ms, 812 B`.
fn side(side: &ToldSide) -> String {
    format!("{} in {}, {}", side.status, numbers::time(side.took), output::bytes(side.bytes))
}

fn lines(comparison: &ToldComparison) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(ids) = &comparison.ids {
        let mut line = format!("ids: overlap {:.2}, rank distance {:.2}", ids.overlap, ids.rank_distance);
        for (what, ids) in [("missing", &ids.missing), ("new", &ids.new)] {
            if !ids.is_empty() {
                // Writing to a string cannot fail.
                let _ = write!(line, "; {what} {}", some_of(ids));
            }
        }
        if ids.order_changed {
            line += "; in another order";
        }
        lines.push(line);
    }
    if let Some(similarity) = comparison.texts {
        lines.push(format!("texts: similarity {similarity:.3}"));
    }
    // Those of the ids are told in the line above.
    let is_told = |it: &&ToldDifference| comparison.ids.is_some() && ["ids", "order"].contains(&&*it.class);
    let others: Vec<_> = comparison.differences.iter().filter(|it| !is_told(it)).collect();
    lines.extend(others.iter().take(MOST_SHOWN).map(|it| difference(it)));
    let more = others.len().saturating_sub(MOST_SHOWN) + comparison.more;
    if more > 0 {
        lines.push(format!("and {more} more; --json has what is kept of them"));
    }
    lines
}

fn some_of(ids: &[String]) -> String {
    let told = ids.iter().take(MOST_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match ids.len().saturating_sub(MOST_SHOWN) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

/// `/hits/1/score: 0.71 -> 0.64`; where the shadow has it elsewhere, its place too.
fn difference(difference: &ToldDifference) -> String {
    let ToldDifference { class, primary, shadow, .. } = difference;
    let pointer = |seen: &Option<ToldSeen>| {
        seen.as_ref().map(|seen| seen.pointer.clone()).filter(|pointer| !pointer.is_empty())
    };
    let (ours, theirs) = (pointer(primary), pointer(shadow));
    let place = ours.clone().or_else(|| theirs.clone()).unwrap_or_else(|| class.clone());
    let elsewhere = match (ours, theirs) {
        (Some(ours), Some(theirs)) if ours != theirs => format!(" at {theirs}"),
        _ => String::new(),
    };
    format!("{place}: {} -> {}{elsewhere}", value(primary.as_ref()), value(shadow.as_ref()))
}

fn value(seen: Option<&ToldSeen>) -> String {
    match seen.map(|seen| &seen.value) {
        None => "nothing".to_owned(),
        Some(ToldValue::Value(value)) => value.to_string(),
        // Equal marks are equal texts.
        Some(ToldValue::Redacted { characters, mark }) => {
            format!("text of {} ({mark})", output::count(*characters, "character"))
        }
        Some(ToldValue::Holds { what, size }) => format!("{what} of {size}"),
    }
}
