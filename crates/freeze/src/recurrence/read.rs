//! Reading a rule, and refusing what cannot be meant or would be too much work.

use std::time::Duration;

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime, date},
    tz::TimeZone,
};
use rrule::{Frequency, RRule, Unvalidated};

use super::{Except, HORIZON, MOST_A_DAY, MOST_COUNTED, Recurrence, Until, on_wall, wall};

/// The key that is wrong, and what is wrong with it.
pub(crate) type Fault = (String, String);

/// So many of a rule's occurrences are looked at for ones that overlap.
const LOOKED_AT: usize = 500;

/// The longest text of a rule, in bytes.
const LONGEST_RULE: usize = 512;

/// The most exceptions of one rule.
const MOST_EXCEPTIONS: usize = 1000;

/// A rule as it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written<'a> {
    pub(crate) rule: &'a str,
    pub(crate) zone: &'a str,
    pub(crate) from: &'a str,
    pub(crate) lasts: Duration,
    pub(crate) except: &'a [String],
}

impl Written<'_> {
    /// The rule, or all that is wrong with it.
    pub(crate) fn check(self) -> Result<Recurrence, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, message: String| faults.push((key.to_owned(), message));
        let rule = rule(self.rule).map_err(|message| fault("rule", message)).ok();
        let zone = zone(self.zone).map_err(|message| fault("time_zone", message)).ok();
        let from = from(self.from).map_err(|message| fault("from", message)).ok();
        if self.except.len() > MOST_EXCEPTIONS {
            fault("except", format!("has {} entries; {MOST_EXCEPTIONS} is the most", self.except.len()));
        }
        let mut except = Vec::new();
        for (at, text) in self.except.iter().take(MOST_EXCEPTIONS).enumerate() {
            match exception(text) {
                Ok(exception) => except.push(exception),
                Err(message) => fault(&format!("except[{at}]"), message),
            }
        }
        let (Some((rule, until)), Some(zone), Some(from)) = (rule, zone, from) else { return Err(faults) };
        if !faults.is_empty() {
            return Err(faults);
        }
        if let Err(error) = rule.clone().validate(on_wall(from)) {
            return Err(vec![("rule".to_owned(), format!("cannot be used: {error}"))]);
        }
        let lasts = SignedDuration::try_from(self.lasts).unwrap_or(SignedDuration::MAX);
        let made = Recurrence { rule, from, zone, until, except, lasts };
        made.refuse_impossible().map(|()| made).map_err(|fault| vec![fault])
    }
}

impl Recurrence {
    /// Refuses a rule that never comes true, and occurrences that run into one another on the
    /// wall clock: the hour that a night lacks once a year is no mistake of the rule.
    fn refuse_impossible(&self) -> Result<(), Fault> {
        let begin = self.zone.to_ambiguous_timestamp(self.from).compatible().unwrap_or_default();
        if self.starts(begin, 1).is_empty() {
            let message = format!(
                "never comes true in the ten years from {}; check its days and months, UNTIL and `except`",
                self.from
            );
            return Err(("rule".to_owned(), message));
        }
        let horizon = self.from.saturating_add(HORIZON);
        let set = self.on_the_wall(self.from, horizon);
        let walls: Vec<_> = set.iter().flatten().filter_map(wall).take(LOOKED_AT).collect();
        let overlap = walls.windows(2).find_map(|two| {
            let (first, second) = (*two.first()?, *two.last()?);
            (first.duration_until(second) < self.lasts).then_some((first, second))
        });
        match overlap {
            None => Ok(()),
            Some((first, second)) => Err((
                "duration".to_owned(),
                format!(
                    "is longer than the time between two occurrences: the one of {second} begins before that of {first} has ended; \
                     write a shorter duration, or `read_only: true` where it never ends"
                ),
            )),
        }
    }
}

/// The rule without its `UNTIL`, and that.
fn rule(text: &str) -> Result<(RRule<Unvalidated>, Option<Until>), String> {
    let example = "write one such as FREQ=WEEKLY;BYDAY=SU;BYHOUR=2";
    let known = |c: char| c.is_ascii_alphanumeric() || "=;,+-:".contains(c);
    let shown = || text.chars().take(60).collect::<String>().escape_debug().to_string();
    if text.len() > LONGEST_RULE || !text.chars().all(known) {
        return Err(format!("`{}` is not a rule of RFC 5545; {example}", shown()));
    }
    let text = text.to_ascii_uppercase();
    let parts = text.strip_prefix("RRULE:").unwrap_or(&text).split(';');
    let (ends, kept): (Vec<&str>, Vec<&str>) = parts.partition(|part| part.starts_with("UNTIL="));
    let until = match *ends.as_slice() {
        [] => None,
        [end] => Some(until(end.trim_start_matches("UNTIL="))?),
        _ => return Err("has UNTIL more than once; keep one".to_owned()),
    };
    let rule: RRule<Unvalidated> = kept
        .join(";")
        .parse()
        .map_err(|error| format!("`{}` is not a rule of RFC 5545: {error}; {example}", shown()))?;
    if until.is_some() && rule.get_count().is_some() {
        return Err("has both COUNT and UNTIL; keep one".to_owned());
    }
    if matches!(rule.get_freq(), Frequency::Minutely | Frequency::Secondly) {
        return Err(
            "comes by the minute or second, which is no calendar; HOURLY is the most often".to_owned()
        );
    }
    if rule.get_interval() == 0 {
        return Err("has INTERVAL=0; write 1 or more, or leave it out".to_owned());
    }
    if let Some(count) = rule.get_count().filter(|count| !(1..=MOST_COUNTED).contains(count)) {
        return Err(format!("has COUNT={count}; write 1 to {MOST_COUNTED}, or UNTIL with the last day"));
    }
    let hours = match rule.get_freq() {
        Frequency::Hourly => 24,
        _ => rule.get_by_hour().len().max(1),
    };
    let a_day = hours * rule.get_by_minute().len().max(1) * rule.get_by_second().len().max(1);
    if a_day > MOST_A_DAY {
        return Err(format!("comes {a_day} times in a day; {MOST_A_DAY} is the most"));
    }
    Ok((rule, until))
}

/// `20301231T235959Z`, the same without `Z` on the wall clock, or a day, to its end.
fn until(text: &str) -> Result<Until, String> {
    let local = |text: &str| DateTime::strptime("%Y%m%dT%H%M%S", text).ok();
    let read = match text.strip_suffix('Z') {
        Some(utc) => local(utc).and_then(|utc| TimeZone::UTC.to_timestamp(utc).ok()).map(Until::At),
        None => local(text).map(Until::Local).or_else(|| {
            let day = Date::strptime("%Y%m%d", text).ok()?;
            Some(Until::Local(day.at(23, 59, 59, 0)))
        }),
    };
    read.ok_or_else(|| {
        format!(
            "has UNTIL={text}, which is no time; write it as 20301231T235959Z, 20301231T235959 or 20301231"
        )
    })
}

fn zone(name: &str) -> Result<TimeZone, String> {
    let shown = || name.chars().take(60).collect::<String>().escape_debug().to_string();
    TimeZone::get(name)
        .map_err(|_| format!("`{}` is not a time zone; write a name such as Europe/Berlin or UTC", shown()))
}

fn from(text: &str) -> Result<DateTime, String> {
    let local = local(text).ok_or_else(|| {
        let shown: String = text.chars().take(60).collect();
        format!(
            "`{}` is not a time of the wall clock; write one such as 2030-01-06T02:00:00, without an offset: `time_zone` says where",
            shown.escape_debug()
        )
    })?;
    let range = date(2000, 1, 1).at(0, 0, 0, 0)..date(2200, 1, 1).at(0, 0, 0, 0);
    if range.contains(&local) { Ok(local) } else { Err(format!("`{text}` is not in the years 2000 to 2199")) }
}

fn exception(text: &str) -> Result<Except, String> {
    let day = || text.parse::<Date>().ok().filter(|_| !text.contains(['T', 't', ' '])).map(Except::Day);
    day().or_else(|| local(text).map(Except::At)).ok_or_else(|| {
        let shown: String = text.chars().take(60).collect();
        format!(
            "`{}` is neither a day nor a time of the wall clock; write 2030-12-22, or 2030-12-22T02:00:00",
            shown.escape_debug()
        )
    })
}

/// A time to the second, without an offset: one with an offset would say where it is twice.
fn local(text: &str) -> Option<DateTime> {
    let has_time = text.contains(['T', 't', ' ']);
    if !has_time || text.parse::<Timestamp>().is_ok() || text.contains(['[', 'Z', 'z']) {
        return None;
    }
    text.parse::<DateTime>().ok().filter(|local| local.subsec_nanosecond() == 0)
}
