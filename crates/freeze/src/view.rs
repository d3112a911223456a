//! Which freezes are on: one immutable value, replaced whole.
//!
//! The request path reads the [`View`] and never a clock. Only the timekeeper and explicit
//! calls make a new one, with [`View::evolve`], a pure function of the settings, what
//! operators set, and the time.
//!
//! | a freeze | goes on | goes off |
//! |---|---|---|
//! | `config` | `read_only: true` is applied | `read_only: false` is applied |
//! | of a window | the clock reaches its start | the clock reaches its end, an operator dismisses it, or it is taken out of the configuration |
//! | of an operator | it is put | its end, if it has one, or it is removed |
//!
//! A window may come again and again; each of its times is a freeze of its own, told from the
//! others by its start. When they come is laid out in the [`Calendar`].
//!
//! A window that has begun stays on when the clock is set back before its start: what was
//! announced as frozen must not thaw because a clock was corrected.

use std::sync::{Arc, OnceLock};

use http::HeaderValue;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::Leads;
use tokio::time::Instant;

use crate::{
    banner::Pages,
    calendar::{Calendar, Occurrence},
    input::{CONFIG_ID, FreezeSettings, Window},
    saved::{Dismissed, Saved, SavedFreeze},
    scope::Scope,
};

/// Who said that writes are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "FreezeSource")]
pub enum Source {
    /// `read_only` of the configuration.
    Config,
    /// A window of the configuration's calendar.
    Window,
    /// An operator, by the admin API or the command line.
    Operator,
}

/// What the drain of one freeze has shown. Its address is the identity of the freeze: a
/// freeze that begins anew under an old id has a tally of its own.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// The writes that were in flight when the freeze began.
    pub(crate) waited_for: OnceLock<usize>,
}

/// A freeze that is on.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    pub(crate) id: Arc<str>,
    pub(crate) reason: Option<Arc<str>>,
    pub(crate) since: Timestamp,
    pub(crate) until: Option<Timestamp>,
    pub(crate) scope: Arc<Scope>,
    pub(crate) source: Source,
    pub(crate) by: Option<Arc<str>>,
    /// The start of the window it comes from, which tells occurrences apart.
    pub(crate) window: Option<Timestamp>,
    /// `since` on the clock that is never set.
    pub(crate) started: Instant,
    pub(crate) drained_at: Option<Timestamp>,
    pub(crate) tally: Arc<Tally>,
    /// What reads carry while it is on.
    pub(crate) banner: HeaderValue,
}

/// What is worked out of a view once somebody asks. A copy begins without it: it is made to be
/// changed.
#[derive(Debug)]
pub(crate) struct Kept<T>(OnceLock<T>);

impl<T> Kept<T> {
    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(make)
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// The state of all freezes.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) active: Vec<Arc<Active>>,
    pub(crate) settings: Arc<FreezeSettings>,
    pub(crate) calendar: Arc<Calendar>,
    /// What is announced and has not begun.
    pub(crate) announced: Vec<Announced>,
    pub(crate) dismissed: Vec<Dismissed>,
    /// Whether any active freeze waits for its drain: only then does the end of a write
    /// concern anybody.
    pub(crate) undrained: bool,
    /// What anybody may read of it.
    pub(crate) banner: Kept<Pages>,
}

/// A freeze to come that has been announced: its id and its start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Announced {
    pub(crate) id: String,
    pub(crate) start: Timestamp,
}

/// What a freeze should be, before it is compared with what is on.
pub(crate) struct Wanted<'a> {
    pub(crate) id: &'a str,
    pub(crate) reason: Option<&'a str>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) scope: &'a Scope,
    pub(crate) source: Source,
    pub(crate) by: Option<&'a str>,
    pub(crate) window: Option<Timestamp>,
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) wall: Timestamp,
    pub(crate) steady: Instant,
}

impl View {
    /// The view after a restart: what operators had set and what has not ended since.
    pub(crate) fn restored(saved: Saved, now: Moment) -> Self {
        let mut view = Self { dismissed: saved.dismissed, ..Self::default() };
        for freeze in &saved.freezes {
            let mut active = view.renew(&freeze.wanted(), now);
            Arc::make_mut(&mut active).since = freeze.since;
            view.active.push(active);
        }
        view.undrained = !view.active.is_empty();
        view.evolve(now).unwrap_or(view)
    }

    /// The part that survives a restart.
    pub(crate) fn saved(&self) -> Saved {
        let operator = self.active.iter().filter(|active| active.source == Source::Operator);
        Saved {
            freezes: operator.map(|active| SavedFreeze::of(active)).collect(),
            dismissed: self.dismissed.clone(),
        }
    }

    /// The freezes that cover a request.
    pub(crate) fn covering<'a>(
        &'a self,
        route: &'a str,
        upstreams: Leads<'a>,
        tenant: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Active>> {
        self.active.iter().filter(move |active| active.scope.covers(route, upstreams, tenant))
    }

    /// The view as it should be now; `None` where it is so already.
    pub(crate) fn evolve(&self, now: Moment) -> Option<Self> {
        let settings = &self.settings;
        let mut active = Vec::with_capacity(self.active.len());
        if settings.read_only {
            active.push(self.renew(
                &Wanted {
                    id: CONFIG_ID,
                    reason: settings.reason.as_deref(),
                    until: None,
                    scope: &Scope::default(),
                    source: Source::Config,
                    by: None,
                    window: None,
                },
                now,
            ));
        }
        let calendar = self.laid_out(now.wall);
        for (window, at) in calendar.all().filter(|(window, at)| self.is_on(window, at, now.wall)) {
            active.push(self.renew(&window.wanted(at), now));
        }
        let operator = self.active.iter().filter(|active| active.source == Source::Operator);
        active.extend(operator.filter(|active| active.until.is_none_or(|until| now.wall < until)).cloned());
        let dismissed: Vec<_> = self
            .dismissed
            .iter()
            .filter(|dismissed| !is_stale(dismissed, &calendar, now.wall))
            .cloned()
            .collect();
        let announced = self.announced_at(&calendar, now.wall);
        let same = active.len() == self.active.len()
            && active.iter().zip(&self.active).all(|(new, old)| Arc::ptr_eq(new, old))
            && dismissed.len() == self.dismissed.len()
            && announced == self.announced
            && Arc::ptr_eq(&calendar, &self.calendar);
        (!same).then(|| {
            let settings = settings.clone();
            let undrained = false;
            Self { active, settings, calendar, announced, dismissed, undrained, banner: Kept::default() }
                .noting_drains()
        })
    }

    /// The calendar as it is, or laid out anew where it does not hold any more.
    fn laid_out(&self, now: Timestamp) -> Arc<Calendar> {
        if self.calendar.holds(&self.settings, now) {
            return self.calendar.clone();
        }
        Arc::new(Calendar::of(&self.settings, now, &self.active))
    }

    /// What is announced at this moment.
    fn announced_at(&self, calendar: &Calendar, now: Timestamp) -> Vec<Announced> {
        let is_announced = |at: &Occurrence| at.announced.is_some_and(|from| from <= now) && now < at.start;
        calendar
            .all()
            .filter(|(window, at)| is_announced(at) && self.is_to_come(window, at, now))
            .map(|(window, at)| Announced { id: window.id.clone(), start: at.start })
            .collect()
    }

    /// The view with an operator's freeze put in.
    pub(crate) fn with(&self, wanted: &Wanted<'_>, now: Moment) -> (Self, Arc<Active>) {
        let made = self.renew(wanted, now);
        let mut next = self.clone();
        match next
            .active
            .iter_mut()
            .find(|active| active.source == Source::Operator && *active.id == *wanted.id)
        {
            Some(place) => *place = made.clone(),
            None => next.active.push(made.clone()),
        }
        (next.noting_drains(), made)
    }

    /// The view with these freezes called drained, and those that were not so before.
    pub(crate) fn drained(&self, which: &[Arc<Tally>], at: Timestamp) -> (Self, Vec<Arc<Active>>) {
        let mut next = self.clone();
        let mut newly = Vec::new();
        for active in &mut next.active {
            if active.drained_at.is_none() && which.iter().any(|tally| Arc::ptr_eq(tally, &active.tally)) {
                Arc::make_mut(active).drained_at = Some(at);
                newly.push(active.clone());
            }
        }
        (next.noting_drains(), newly)
    }

    /// The next time at which the clock alone changes something.
    pub(crate) fn boundary(&self, now: Timestamp) -> Option<Timestamp> {
        let begins = self.calendar.all().flat_map(|(_, at)| at.announced.into_iter().chain([at.start]));
        let ends = self.active.iter().filter_map(|active| active.until);
        begins.chain(ends).chain(self.calendar.runs_out()).filter(|at| *at > now).min()
    }

    /// What has not begun, by its start: each window with its next times.
    pub(crate) fn next(&self, now: Timestamp) -> Vec<(&Window, &Occurrence)> {
        let mut next: Vec<_> =
            self.calendar.all().filter(|(window, at)| self.is_to_come(window, at, now)).collect();
        next.sort_by_key(|(_, at)| at.start);
        next
    }

    /// What is announced and has not begun, by its start.
    pub(crate) fn to_come(&self) -> Vec<(&Window, &Occurrence)> {
        // They were taken from the calendar and stand in its order.
        let mut announced = self.announced.iter().peekable();
        let is_next =
            |one: &&Announced, window: &Window, at: &Occurrence| one.start == at.start && one.id == window.id;
        let mut all: Vec<_> = self
            .calendar
            .all()
            .filter(|(window, at)| announced.next_if(|one| is_next(one, window, at)).is_some())
            .collect();
        all.sort_by_key(|(_, at)| at.start);
        all
    }

    /// Whether this has been announced.
    pub(crate) fn has_announced(&self, id: &str, start: Timestamp) -> bool {
        self.announced.iter().any(|one| one.start == start && one.id == id)
    }

    pub(crate) fn noting_drains(mut self) -> Self {
        self.undrained = self.active.iter().any(|active| active.drained_at.is_none());
        self
    }

    fn is_on(&self, window: &Window, at: &Occurrence, now: Timestamp) -> bool {
        now < at.end && (at.start <= now || self.was_on(window, at)) && !self.is_dismissed(window, at)
    }

    fn is_to_come(&self, window: &Window, at: &Occurrence, now: Timestamp) -> bool {
        now < at.start && !self.was_on(window, at) && !self.is_dismissed(window, at)
    }

    fn was_on(&self, window: &Window, at: &Occurrence) -> bool {
        self.active.iter().any(|active| active.window == Some(at.start) && *active.id == *window.id)
    }

    fn is_dismissed(&self, window: &Window, at: &Occurrence) -> bool {
        self.dismissed.iter().any(|dismissed| dismissed.is_of(&window.id, at.start))
    }

    /// The freeze that is on already where it is the same, the same freeze with new words
    /// where its scope has stayed, or a new one.
    fn renew(&self, wanted: &Wanted<'_>, now: Moment) -> Arc<Active> {
        let known = self.active.iter().find(|active| {
            active.source == wanted.source && *active.id == *wanted.id && active.window == wanted.window
        });
        match known {
            Some(active) if active.is(wanted) => active.clone(),
            Some(active) if *active.scope == *wanted.scope => Arc::new(Active {
                reason: wanted.reason.map(Arc::from),
                until: wanted.until,
                by: wanted.by.map(Arc::from),
                banner: banner(wanted.id, wanted.until),
                ..Active::clone(active)
            }),
            _ => Arc::new(Active {
                id: Arc::from(wanted.id),
                reason: wanted.reason.map(Arc::from),
                since: now.wall,
                until: wanted.until,
                scope: Arc::new(wanted.scope.clone()),
                source: wanted.source,
                by: wanted.by.map(Arc::from),
                window: wanted.window,
                started: now.steady,
                drained_at: None,
                tally: Arc::default(),
                banner: banner(wanted.id, wanted.until),
            }),
        }
    }
}

impl Active {
    fn is(&self, wanted: &Wanted<'_>) -> bool {
        self.reason.as_deref() == wanted.reason
            && self.until == wanted.until
            && self.by.as_deref() == wanted.by
            && *self.scope == *wanted.scope
    }
}

impl Window {
    fn wanted(&self, at: &Occurrence) -> Wanted<'_> {
        Wanted {
            id: &self.id,
            reason: self.reason.as_deref(),
            until: Some(at.end),
            scope: &self.scope,
            source: Source::Window,
            by: None,
            window: Some(at.start),
        }
    }
}

/// A dismissal is kept for as long as it can matter, also when a reload moved the window's end.
fn is_stale(dismissed: &Dismissed, calendar: &Calendar, now: Timestamp) -> bool {
    let matters =
        |(window, at): (&Window, &Occurrence)| dismissed.is_of(&window.id, at.start) && now < at.end;
    dismissed.until <= now && !calendar.all().any(matters)
}

/// `id=reindex;until=2030-01-05T03:00:00Z`, without the end where none is known.
fn banner(id: &str, until: Option<Timestamp>) -> HeaderValue {
    let text = match until {
        Some(until) => format!("id={id};until={until}"),
        None => format!("id={id}"),
    };
    // Ids are checked to be visible ASCII before they get here.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("id=?"))
}

#[cfg(test)]
mod tests;
