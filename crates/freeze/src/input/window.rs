//! One entry of the calendar: a start and an end, or a rule and how long.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::units::Span;

use super::{LONGEST, id_fault, reason_fault};
use crate::{
    recurrence::{Fault, Recurrence, Written},
    scope::Scope,
};

/// One entry of `freeze.windows:` as it is written: `start` and `end`, or `rule`, `from` and `duration`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowInput {
    /// Names the freeze; letters, digits and `-._~:@+`, up to 64.
    pub id: String,
    /// When it begins (RFC 3339, such as 2030-01-05T02:00:00Z).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub start: Option<String>,
    /// When it ends (RFC 3339); after `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub end: Option<String>,
    /// When it begins again and again: a recurrence rule of RFC 5545, such as FREQ=WEEKLY;BYDAY=SU;BYHOUR=2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The time zone whose wall clock the rule is read on; without it, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// From when on the rule holds, on that wall clock, such as 2030-01-06T02:00:00; it gives what the rule leaves out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// How long each time lasts, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
    /// What the rule says and is left out: days, such as 2030-12-22, or single times, such as 2030-12-22T02:00:00.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// How long before it begins it is announced; without it, it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announce: Option<Span>,
    /// Why writes are refused; clients see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it covers; without it, everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

/// One checked window of the calendar.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Names the freeze.
    pub id: String,
    /// When it is on.
    pub moments: Moments,
    /// How long before each time it is announced; zero: not at all.
    pub announce: SignedDuration,
    /// Why.
    pub reason: Option<String>,
    /// What it covers.
    pub scope: Scope,
}

impl Window {
    /// The first `limit` times of the window that end after `now`: start and end of each.
    #[must_use]
    pub fn times(&self, now: Timestamp, limit: usize) -> Vec<(Timestamp, Timestamp)> {
        match &self.moments {
            Moments::Once { start, end } if now < *end => vec![(*start, *end)],
            Moments::Once { .. } => Vec::new(),
            Moments::Rule(rule) => {
                let after = now.checked_sub(rule.lasts()).unwrap_or(Timestamp::MIN);
                let ends = |start: Timestamp| start.checked_add(rule.lasts()).unwrap_or(Timestamp::MAX);
                let times = rule.starts(after, limit + 1).into_iter().map(|start| (start, ends(start)));
                times.filter(|(_, end)| now < *end).take(limit).collect()
            }
        }
    }
}

/// When a window is on.
#[derive(Clone, Debug, PartialEq)]
pub enum Moments {
    /// From here to there.
    Once {
        /// When it begins.
        start: Timestamp,
        /// When it ends.
        end: Timestamp,
    },
    /// Again and again.
    Rule(Arc<Recurrence>),
}

impl WindowInput {
    /// The window, or what is wrong with it by its keys.
    pub(super) fn read(&self) -> (Option<Window>, Vec<Fault>) {
        let mut faults = Vec::new();
        if let Some(message) = id_fault(&self.id) {
            faults.push(("id".to_owned(), message));
        }
        let moments = match &self.rule {
            None => self.once(&mut faults),
            Some(rule) => self.by_rule(rule, &mut faults),
        };
        if let Some(announce) = self.announce.filter(|announce| announce.0 > LONGEST) {
            faults.push(("announce".to_owned(), too_long(announce)));
        }
        if let Some(message) = self.reason.as_deref().and_then(reason_fault) {
            faults.push(("reason".to_owned(), message));
        }
        let scope = self.scope.clone().unwrap_or_default();
        faults.extend(scope.faults().into_iter().map(|(path, message)| (format!("scope.{path}"), message)));
        let window = moments.map(|moments| Window {
            id: self.id.clone(),
            moments,
            announce: self.announce.and_then(|span| span.0.try_into().ok()).unwrap_or_default(),
            reason: self.reason.clone(),
            scope,
        });
        (window, faults)
    }

    fn once(&self, faults: &mut Vec<Fault>) -> Option<Moments> {
        for (key, is_there) in [
            ("from", self.from.is_some()),
            ("time_zone", self.time_zone.is_some()),
            ("duration", self.duration.is_some()),
            ("except", !self.except.is_empty()),
        ] {
            if is_there {
                let message = "belongs to a `rule`; add one, or remove the key and write `start` and `end`";
                faults.push((key.to_owned(), message.to_owned()));
            }
        }
        let start = instant("start", self.start.as_deref(), faults);
        let end = instant("end", self.end.as_deref(), faults);
        let (start, end) = (start?, end?);
        if end <= start {
            let shown = |text: &Option<String>| text.clone().unwrap_or_default();
            let message = format!("`{}` is not after the start, `{}`", shown(&self.end), shown(&self.start));
            faults.push(("end".to_owned(), message));
        }
        Some(Moments::Once { start, end })
    }

    fn by_rule(&self, rule: &str, faults: &mut Vec<Fault>) -> Option<Moments> {
        for (key, text) in [("start", &self.start), ("end", &self.end)] {
            if text.is_some() {
                let message = "stands beside a `rule`; a rule has `from` and `duration` instead";
                faults.push((key.to_owned(), message.to_owned()));
            }
        }
        let missing = |key: &str, what: &str| (key.to_owned(), format!("a `rule` needs `{key}`: {what}"));
        if self.from.is_none() {
            faults.push(missing("from", "the first time of the wall clock, such as 2030-01-06T02:00:00"));
        }
        let lasts = match self.duration {
            None => {
                faults.push(missing("duration", "how long each time lasts, such as 1h"));
                None
            }
            Some(span) if span.0.is_zero() => {
                faults.push(("duration".to_owned(), "is no time at all; write one such as 1h".to_owned()));
                None
            }
            Some(span) if span.0 > LONGEST => {
                faults.push(("duration".to_owned(), too_long(span)));
                None
            }
            Some(span) => Some(span.0),
        };
        let written = Written {
            rule,
            zone: self.time_zone.as_deref().unwrap_or("UTC"),
            from: self.from.as_deref()?,
            // What is wrong with the rest is told all the same.
            lasts: lasts.unwrap_or(Duration::from_millis(1)),
            except: &self.except,
        };
        match written.check() {
            Ok(rule) => lasts.map(|_| Moments::Rule(Arc::new(rule))),
            Err(more) => {
                faults.extend(more);
                None
            }
        }
    }
}

fn too_long(span: Span) -> String {
    format!("`{span}` is longer than 366d; write a shorter duration")
}

fn instant(path: &str, text: Option<&str>, faults: &mut Vec<Fault>) -> Option<Timestamp> {
    let Some(text) = text else {
        let message = format!(
            "a window needs `{path}`, an RFC 3339 time such as 2030-01-05T02:00:00Z; or a `rule`, `from` and `duration`"
        );
        faults.push((path.to_owned(), message));
        return None;
    };
    let instant = text.parse().ok();
    if instant.is_none() {
        let message = format!("`{text}` is not an RFC 3339 time with a zone, such as 2030-01-05T02:00:00Z");
        faults.push((path.to_owned(), message));
    }
    instant
}
