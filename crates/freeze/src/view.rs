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
//! A window that has begun stays on when the clock is set back before its start: what was
//! announced as frozen must not thaw because a clock was corrected.

use std::sync::{Arc, OnceLock};

use http::HeaderValue;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sluicegate_core::Leads;
use tokio::time::Instant;

use crate::{
    input::{CONFIG_ID, FreezeSettings, Window},
    saved::{Dismissed, Saved, SavedFreeze},
    scope::Scope,
};

/// Who said that writes are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

/// The state of all freezes.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) active: Vec<Arc<Active>>,
    pub(crate) settings: Arc<FreezeSettings>,
    pub(crate) dismissed: Vec<Dismissed>,
    /// Whether any active freeze waits for its drain: only then does the end of a write
    /// concern anybody.
    pub(crate) undrained: bool,
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
        for window in settings.windows.iter().filter(|window| self.is_on(window, now.wall)) {
            active.push(self.renew(&window.wanted(), now));
        }
        let operator = self.active.iter().filter(|active| active.source == Source::Operator);
        active.extend(operator.filter(|active| active.until.is_none_or(|until| now.wall < until)).cloned());
        let dismissed: Vec<_> =
            self.dismissed.iter().filter(|dismissed| !self.is_stale(dismissed, now.wall)).cloned().collect();
        let same = active.len() == self.active.len()
            && active.iter().zip(&self.active).all(|(new, old)| Arc::ptr_eq(new, old))
            && dismissed.len() == self.dismissed.len();
        (!same)
            .then(|| Self { active, settings: settings.clone(), dismissed, undrained: false }.noting_drains())
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
        let starts = self.settings.windows.iter().map(|window| window.start);
        let ends = self.active.iter().filter_map(|active| active.until);
        starts.chain(ends).filter(|at| *at > now).min()
    }

    /// Windows that have not begun, by their start.
    pub(crate) fn upcoming(&self, now: Timestamp) -> Vec<&Window> {
        let mut windows: Vec<_> = self
            .settings
            .windows
            .iter()
            .filter(|window| now < window.start && !self.was_on(window) && !self.is_dismissed(window))
            .collect();
        windows.sort_by_key(|window| window.start);
        windows
    }

    pub(crate) fn noting_drains(mut self) -> Self {
        self.undrained = self.active.iter().any(|active| active.drained_at.is_none());
        self
    }

    fn is_on(&self, window: &Window, now: Timestamp) -> bool {
        now < window.end && (window.start <= now || self.was_on(window)) && !self.is_dismissed(window)
    }

    fn was_on(&self, window: &Window) -> bool {
        self.active.iter().any(|active| active.window == Some(window.start) && *active.id == *window.id)
    }

    fn is_dismissed(&self, window: &Window) -> bool {
        self.dismissed.iter().any(|dismissed| dismissed.is_of(window))
    }

    /// A dismissal is kept for as long as it can matter, also when a reload moved the
    /// window's end.
    fn is_stale(&self, dismissed: &Dismissed, now: Timestamp) -> bool {
        let matters = |window: &Window| dismissed.is_of(window) && now < window.end;
        dismissed.until <= now && !self.settings.windows.iter().any(matters)
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
    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            id: &self.id,
            reason: self.reason.as_deref(),
            until: Some(self.end),
            scope: &self.scope,
            source: Source::Window,
            by: None,
            window: Some(self.start),
        }
    }
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
