//! A rule that says again and again when a window begins: RFC 5545's `RRULE`, in a time zone.
//!
//! The crate `rrule` works out the rule on the *wall clock alone*, as if there were no time
//! zones; where such a time lies is then asked of the zone's own data (`jiff`, which brings a
//! copy for machines without one). So no change of the clocks can add, lose or double an
//! occurrence of the rule:
//!
//! - A wall-clock time that the clocks skip is read with the offset from before the gap: 02:30
//!   becomes 03:30 where the clocks go from 02:00 to 03:00 (RFC 5545, 3.3.5 and the last
//!   paragraph of `BYxxx` in 3.3.10). A freeze that was planned is not left out for it.
//! - A wall-clock time that comes twice means the first.
//! - Two wall-clock times that come out as one moment are one occurrence.
//! - How long an occurrence lasts is exact: `1h` is 3,600 seconds, also over a change.
//!
//! `from` is `DTSTART`: it gives what the rule leaves out (the time of day, the weekday, the
//! phase of an `INTERVAL`), and nothing begins before it. It is an occurrence only if the
//! rule says so. `COUNT` counts what `except` leaves out, as in RFC 5545.
//!
//! # Bounded work
//!
//! Nothing is found beyond [`HORIZON`] from where the search begins, and a rule that finds
//! nothing at all there is refused, as are rules by the minute or second, more than
//! [`MOST_A_DAY`] times in a day and a `COUNT` past [`MOST_COUNTED`]. A rule without `COUNT`
//! is taken up near the moment that is asked for, however long ago it began. `rrule` looks at
//! the end of a rule only where it finds an occurrence, so that one which never comes true
//! would be looked for until the year 10000; its own limit of 100,000 steps, hours or days,
//! between two occurrences is on, which is more than [`HORIZON`] has of either.

use std::{collections::BTreeSet, time::Duration};

use chrono::DateTime as Moment;
use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime},
    tz::TimeZone,
};
use rrule::{Frequency, RRule, RRuleSet, Tz, Unvalidated};

mod read;

pub(crate) use read::{Fault, Written};

/// How far ahead a rule is looked at.
pub(crate) const HORIZON: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// The largest `COUNT`: all that come before must be gone through.
pub(crate) const MOST_COUNTED: u32 = 1000;

/// The most times in one day.
pub(crate) const MOST_A_DAY: usize = 96;

/// Farther than any zone's clocks have ever been moved at once (a day, in Apia and Manila).
const LARGEST_SHIFT: SignedDuration = SignedDuration::from_hours(48);

/// A checked rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Recurrence {
    rule: RRule<Unvalidated>,
    from: DateTime,
    zone: TimeZone,
    until: Option<Until>,
    except: Vec<Except>,
    lasts: SignedDuration,
}

/// The last moment at which an occurrence may begin.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Until {
    At(Timestamp),
    Local(DateTime),
}

/// What is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Except {
    /// The occurrence at this time of the wall clock.
    At(DateTime),
    /// Every occurrence that begins on this day.
    Day(Date),
}

impl Recurrence {
    /// How long each occurrence lasts.
    #[must_use]
    pub fn lasts(&self) -> SignedDuration {
        self.lasts
    }

    /// The zone whose wall clock the rule is read on.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first `limit` occurrences that begin at `after` or later, and before `HORIZON` has
    /// passed since; in order, none twice.
    #[must_use]
    pub fn starts(&self, after: Timestamp, limit: usize) -> Vec<Timestamp> {
        let before = after.saturating_add(HORIZON).unwrap_or(Timestamp::MAX);
        self.starts_between(after, before, limit)
    }

    /// Whether an occurrence begins at this very moment.
    pub(crate) fn begins_at(&self, at: Timestamp) -> bool {
        let next = at.checked_add(Duration::from_millis(1)).unwrap_or(Timestamp::MAX);
        !self.starts_between(at, next, 1).is_empty()
    }

    /// The first `limit` that begin at `after` or later and before `before`.
    fn starts_between(&self, after: Timestamp, before: Timestamp, limit: usize) -> Vec<Timestamp> {
        let low = self.local(after).saturating_sub(LARGEST_SHIFT);
        let high = self.local(before).saturating_add(LARGEST_SHIFT);
        let Some(set) = self.on_the_wall(low, high) else { return Vec::new() };
        let mut found = BTreeSet::new();
        // Enough are found; but one that a gap has moved may come after one that is moved less.
        let mut enough: Option<DateTime> = None;
        for local in set.into_iter().filter_map(wall) {
            if enough.is_some_and(|enough| local > enough) {
                break;
            }
            let Some(at) = self.instant(local).filter(|at| (after..before).contains(at)) else { continue };
            if !self.is_excepted(local) {
                found.insert(at);
                if found.len() >= limit && enough.is_none() {
                    enough = Some(local.saturating_add(LARGEST_SHIFT));
                }
            }
        }
        found.into_iter().take(limit).collect()
    }

    /// The rule on the wall clock alone, taken up some time before `low` and ended after `high`.
    fn on_the_wall(&self, low: DateTime, high: DateTime) -> Option<RRuleSet> {
        let begin = self.taken_up_before(low);
        let last = match self.until {
            Some(Until::At(at)) => high.min(self.local(at).saturating_add(LARGEST_SHIFT)),
            Some(Until::Local(until)) => high.min(until),
            None => high,
        };
        if last < begin {
            return None;
        }
        let rule = self.rule.clone().until(on_wall(last)).validate(on_wall(begin)).ok()?;
        Some(RRuleSet::new(on_wall(begin)).rrule(rule).limit())
    }

    /// A moment in the phase of the rule, at least one whole interval before `low`, and not
    /// before `from`.
    ///
    /// Months and years have no fixed length, and there are few of them; what is counted must
    /// be gone through from the beginning.
    fn taken_up_before(&self, low: DateTime) -> DateTime {
        let hours = match self.rule.get_freq() {
            Frequency::Hourly => 1,
            Frequency::Daily => 24,
            Frequency::Weekly => 7 * 24,
            _ => return self.from,
        };
        if self.rule.get_count().is_some() || low <= self.from {
            return self.from;
        }
        let step = i64::from(self.rule.get_interval()).max(1) * hours;
        let steps = self.from.duration_until(low).as_hours() / step - 1;
        if steps < 1 {
            return self.from;
        }
        self.from.saturating_add(SignedDuration::from_hours(steps.saturating_mul(step)))
    }

    fn local(&self, at: Timestamp) -> DateTime {
        self.zone.to_datetime(at)
    }

    /// The moment of a wall-clock time, unless that is after `UNTIL`.
    fn instant(&self, local: DateTime) -> Option<Timestamp> {
        let at = self.zone.to_ambiguous_timestamp(local).compatible().ok()?;
        match self.until {
            Some(Until::At(until)) if at > until => None,
            _ => Some(at),
        }
    }

    fn is_excepted(&self, local: DateTime) -> bool {
        self.except.iter().any(|except| match except {
            Except::At(at) => *at == local,
            Except::Day(day) => *day == local.date(),
        })
    }
}

/// A time of the wall clock, in the terms of `rrule`: as if it were UTC.
fn on_wall(local: DateTime) -> Moment<Tz> {
    let seconds = TimeZone::UTC.to_timestamp(local).map(Timestamp::as_second).unwrap_or_default();
    Moment::from_timestamp(seconds, 0).unwrap_or_default().with_timezone(&Tz::UTC)
}

/// The way back.
fn wall(moment: Moment<Tz>) -> Option<DateTime> {
    let at = Timestamp::from_second(moment.timestamp()).ok()?;
    Some(TimeZone::UTC.to_datetime(at))
}

#[cfg(test)]
mod tests;
