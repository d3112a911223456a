//! What happens to freezes, one event after another, for whoever tells others of it.
//!
//! An event is found by comparing the view before a change with the one after it, in the
//! change itself: none is missed however quickly one follows another, and their order is that
//! of the changes. A listener that falls far behind loses the oldest and is told how many.
//!
//! What a restart brings back has begun before and is no event; a window or `read_only` that
//! is on when the document is taken begins with it.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::broadcast;

use crate::{
    scope::Scope,
    view::{Active, Source, View},
};

/// So many events may wait for a listener.
const KEPT: usize = 1024;

/// What happened to a freeze.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FreezeEventKind {
    /// A window of the calendar will begin.
    Announce,
    /// It is on.
    Start,
    /// Every write that it covers and that was let through has ended.
    Drained,
    /// It is over, or was lifted.
    End,
}

/// Something that happened to a freeze.
#[derive(Clone, Debug, PartialEq)]
pub struct FreezeEvent {
    /// What.
    pub kind: FreezeEventKind,
    /// When.
    pub at: Timestamp,
    /// The freeze's id.
    pub id: Arc<str>,
    /// Why it is on.
    pub reason: Option<Arc<str>>,
    /// Who says so.
    pub source: Source,
    /// The operator, where it was one who gave a name.
    pub by: Option<Arc<str>>,
    /// Since when it is on; of a window that is announced, when it begins.
    pub since: Timestamp,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
    /// What it covers.
    pub scope: Arc<Scope>,
    /// The start that the calendar gives this time of its window: the same on every gateway
    /// that runs the same document.
    pub window: Option<Timestamp>,
    /// When it was drained, if it was.
    pub drained_at: Option<Timestamp>,
}

/// Where events are told.
#[derive(Debug)]
pub(crate) struct Events(broadcast::Sender<FreezeEvent>);

impl Events {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<FreezeEvent> {
        self.0.subscribe()
    }

    /// Tells what lies between these two views.
    pub(crate) fn tell(&self, before: &View, after: &View, at: Timestamp) {
        if self.0.receiver_count() > 0 {
            for event in between(before, after, at) {
                // With nobody left to hear it, it is told to nobody.
                drop(self.0.send(event));
            }
        }
    }
}

fn between(before: &View, after: &View, at: Timestamp) -> Vec<FreezeEvent> {
    let same = |one: &Active, other: &Active| Arc::ptr_eq(&one.tally, &other.tally);
    let of = |kind, active: &Active| FreezeEvent {
        kind,
        at,
        id: active.id.clone(),
        reason: active.reason.clone(),
        source: active.source,
        by: active.by.clone(),
        since: active.since,
        until: active.until,
        scope: active.scope.clone(),
        window: active.window,
        drained_at: active.drained_at,
    };
    let mut events = Vec::new();
    for gone in before.active.iter().filter(|old| !after.active.iter().any(|new| same(old, new))) {
        events.push(of(FreezeEventKind::End, gone));
    }
    for (window, next) in after.next(Timestamp::MIN) {
        let new =
            after.has_announced(&window.id, next.start) && !before.has_announced(&window.id, next.start);
        if new {
            events.push(FreezeEvent {
                kind: FreezeEventKind::Announce,
                at,
                id: window.id.as_str().into(),
                reason: window.reason.as_deref().map(Arc::from),
                source: Source::Window,
                by: None,
                since: next.start,
                until: Some(next.end),
                scope: Arc::new(window.scope.clone()),
                window: Some(next.start),
                drained_at: None,
            });
        }
    }
    for active in &after.active {
        let old = before.active.iter().find(|old| same(old, active));
        if old.is_none() {
            events.push(of(FreezeEventKind::Start, active));
        }
        if active.drained_at.is_some() && old.is_none_or(|old| old.drained_at.is_none()) {
            events.push(of(FreezeEventKind::Drained, active));
        }
    }
    events
}

#[cfg(test)]
mod tests;
