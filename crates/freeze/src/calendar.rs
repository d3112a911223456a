//! The calendar laid out: which occurrences there are around a moment.
//!
//! Rules are not asked whenever somebody looks. What they say is laid out once, for as long as
//! it is sure to hold: each rule's occurrences that may be on, and the next [`AHEAD`]. It is
//! laid out anew when the document changes, when one of the rules is about to run out, which is
//! before the occurrence after the last would be announced, after [`HOLDS`], and when the clock
//! was set back to before the layout was made.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{
    input::{FreezeSettings, Moments, Window},
    view::{Active, Source},
};

/// So many of a rule's occurrences that have not begun are laid out.
pub(crate) const AHEAD: usize = 8;

/// More of one rule's occurrences are not on at one time: settings with so many are refused.
const ON_AT_ONCE: usize = 4;

/// How long a layout holds, where no rule runs out before.
const HOLDS: Duration = Duration::from_secs(30 * 24 * 3600);

/// One time at which a window is on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Occurrence {
    /// The window's place in the settings.
    window: usize,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// From when on it is announced, if it is.
    pub(crate) announced: Option<Timestamp>,
}

/// The occurrences around a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calendar {
    settings: Arc<FreezeSettings>,
    occurrences: Vec<Occurrence>,
    /// It holds from here up to there; with no rules, always.
    holds: Option<(Timestamp, Timestamp)>,
}

impl Calendar {
    /// Lays out these settings around `now`. What is on already stays laid out, though the clock
    /// may have been set back behind it.
    pub(crate) fn of(settings: &Arc<FreezeSettings>, now: Timestamp, active: &[Arc<Active>]) -> Self {
        let mut occurrences = Vec::new();
        let mut until = now.saturating_add(HOLDS).unwrap_or(Timestamp::MAX);
        let mut has_rules = false;
        for (at, window) in settings.windows.iter().enumerate() {
            match &window.moments {
                Moments::Once { start, end } => occurrences.push(window.occurrence(at, *start, *end)),
                Moments::Rule(rule) => {
                    has_rules = true;
                    let earliest = now.checked_sub(rule.lasts()).unwrap_or(Timestamp::MIN);
                    let mut starts = rule.starts(earliest, AHEAD + ON_AT_ONCE);
                    if starts.len() == AHEAD + ON_AT_ONCE {
                        until = until.min(runs_out(&starts, window.announce, now));
                    }
                    starts.extend(on_already(window, now, active).filter(|start| rule.begins_at(*start)));
                    starts.sort_unstable();
                    starts.dedup();
                    let ends = |start: Timestamp| start.checked_add(rule.lasts()).unwrap_or(Timestamp::MAX);
                    occurrences
                        .extend(starts.into_iter().map(|start| window.occurrence(at, start, ends(start))));
                }
            }
        }
        Self { settings: settings.clone(), occurrences, holds: has_rules.then_some((now, until)) }
    }

    /// Whether it says of these settings what there is to say at this moment.
    pub(crate) fn holds(&self, settings: &Arc<FreezeSettings>, now: Timestamp) -> bool {
        Arc::ptr_eq(&self.settings, settings)
            && self.holds.is_none_or(|(from, until)| (from..until).contains(&now))
    }

    /// When it must be laid out anew.
    pub(crate) fn runs_out(&self) -> Option<Timestamp> {
        self.holds.map(|(_, until)| until)
    }

    /// Everything that is laid out, window by window, each in the order of time.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Window, &Occurrence)> {
        let of = |occurrence| self.window(occurrence).map(|window| (window, occurrence));
        self.occurrences.iter().filter_map(of)
    }

    fn window(&self, occurrence: &Occurrence) -> Option<&Window> {
        self.settings.windows.get(occurrence.window)
    }
}

/// When more than these occurrences must be known: what follows the last of them may have to be
/// announced as soon as that itself is, or, where it is announced already, once the next has begun.
fn runs_out(starts: &[Timestamp], announce: SignedDuration, now: Timestamp) -> Timestamp {
    let last = starts.last().copied().unwrap_or(Timestamp::MAX);
    let announced = last.checked_sub(announce).unwrap_or(Timestamp::MIN);
    let next = starts.iter().copied().find(|start| *start > now).unwrap_or(last);
    announced.max(next)
}

/// The starts of this window's occurrences that are on and have not ended.
fn on_already<'a>(
    window: &'a Window,
    now: Timestamp,
    active: &'a [Arc<Active>],
) -> impl Iterator<Item = Timestamp> + 'a {
    let its = move |one: &&Arc<Active>| one.source == Source::Window && *one.id == *window.id;
    active.iter().filter(its).filter(move |one| one.until > Some(now)).filter_map(|one| one.window)
}

impl Window {
    fn occurrence(&self, window: usize, start: Timestamp, end: Timestamp) -> Occurrence {
        let announced =
            (!self.announce.is_zero()).then(|| start.checked_sub(self.announce).unwrap_or(Timestamp::MIN));
        Occurrence { window, start, end, announced }
    }
}

#[cfg(test)]
mod tests;
