//! Looking at the freezes, and waiting for them.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{Freezes, Home, drain::Count, millis};
use crate::{
    calendar::Occurrence,
    error::FreezeError,
    flight::Unsettled,
    input::Window,
    scope::Scope,
    status::{DrainReport, FreezeRecord, FreezeStatus, NEXT_SHOWN, Next, UNSETTLED_SHOWN, UnsettledAttempt},
    view::{Active, Moment, Source, View},
};

impl Freezes {
    /// The state of all freezes.
    #[must_use]
    pub fn status(&self) -> FreezeStatus {
        // The version first: a change that comes between is seen, and told again by the next
        // call that asks for what is newer.
        let version = self.version();
        let view = self.0.live().load_full();
        let now = self.0.moment();
        let freezes = self.0.records(&view, now);
        FreezeStatus { version, active: !freezes.is_empty(), next: next(&view, now.wall), freezes }
    }

    /// The state as soon as its version is another than `since`, or after `wait`.
    ///
    /// Another, and not a later one: versions start anew with the process.
    pub async fn changed(&self, since: u64, wait: Duration) -> FreezeStatus {
        let mut versions = self.subscribe();
        let newer = versions.wait_for(|version| *version != since);
        // Whichever comes first, the answer is the present state.
        drop(tokio::time::timeout(wait, newer).await);
        self.status()
    }

    /// Waits until the freeze of this id is drained, lifted or over, at most for `limit`.
    pub async fn wait_drained(&self, id: &str, limit: Duration) -> Result<DrainReport, FreezeError> {
        let mut versions = self.subscribe();
        let view = self.0.live().load_full();
        if !view.active.iter().any(|active| *active.id == *id) {
            let active = view.active.iter().map(|active| active.id.to_string()).collect();
            return Err(FreezeError::Unknown { id: id.to_owned(), active });
        }
        let mut last = self.0.report(&view, id);
        let settled = async {
            loop {
                versions.borrow_and_update();
                let report = self.0.report(&self.0.live().load_full(), id);
                if report.ended {
                    last.ended = true;
                    return;
                }
                last = report;
                if last.drained || versions.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(limit, settled).await.is_err() {
            let now = self.0.report(&self.0.live().load_full(), id);
            last = if now.ended { DrainReport { ended: true, ..last } } else { now };
        }
        Ok(last)
    }
}

impl Home {
    /// The record of a freeze that is on.
    pub(super) fn record(&self, id: &str, source: Source) -> Option<FreezeRecord> {
        let view = self.live().load_full();
        let mut records = self.records(&view, self.moment()).into_iter();
        records.find(|record| record.id == id && record.source == source)
    }

    fn records(&self, view: &View, now: Moment) -> Vec<FreezeRecord> {
        if view.active.is_empty() {
            return Vec::new();
        }
        let counts = self.count(view, |_, _| {});
        let both = view.active.iter().zip(counts);
        both.map(|(active, count)| self.one_record(active, count, now)).collect()
    }

    fn one_record(&self, active: &Active, mut count: Count, now: Moment) -> FreezeRecord {
        count.newest.sort_by_key(|unsettled| std::cmp::Reverse(unsettled.ended));
        count.newest.truncate(UNSETTLED_SHOWN);
        FreezeRecord {
            id: active.id.to_string(),
            reason: active.reason.as_deref().map(str::to_owned),
            since: active.since,
            until: active.until,
            scope: shown(&active.scope),
            writes_in_flight: count.in_flight,
            unsettled: count.unsettled,
            drained_at: active.drained_at,
            source: active.source,
            by: active.by.as_deref().map(str::to_owned),
            persisted: active.source != Source::Operator || self.saver.holds(active),
            unsettled_attempts: count.newest.iter().map(|unsettled| attempt(unsettled, now)).collect(),
        }
    }

    fn report(&self, view: &View, id: &str) -> DrainReport {
        let mut report =
            DrainReport { drained: true, waited_for: 0, in_flight: 0, unsettled: 0, ended: true };
        for (active, count) in view.active.iter().zip(self.count(view, |_, _| {})) {
            if *active.id != *id {
                continue;
            }
            // A window and an operator's freeze may share an id; what both cover counts once.
            let waited_for = active.tally.waited_for.get().copied().unwrap_or_default();
            report.waited_for = report.waited_for.max(waited_for);
            report.in_flight = report.in_flight.max(count.in_flight);
            report.unsettled = report.unsettled.max(count.unsettled);
            report.drained &= active.drained_at.is_some();
            report.ended = false;
        }
        report.drained &= !report.ended;
        report
    }
}

fn next(view: &View, now: Timestamp) -> Vec<Next> {
    let shown = |(window, at): (&Window, &Occurrence)| Next {
        id: window.id.clone(),
        reason: window.reason.clone(),
        starts: at.start,
        ends: at.end,
        scope: shown(&window.scope),
        announced: view.has_announced(&window.id, at.start),
    };
    view.next(now).into_iter().take(NEXT_SHOWN).map(shown).collect()
}

fn shown(scope: &Scope) -> Option<Scope> {
    (!scope.is_everything()).then(|| scope.clone())
}

fn attempt(unsettled: &Arc<Unsettled>, now: Moment) -> UnsettledAttempt {
    let ago = now.steady.saturating_duration_since(unsettled.ended);
    let ago = SignedDuration::try_from(ago).unwrap_or_default();
    UnsettledAttempt {
        route: unsettled.route.to_string(),
        upstream: unsettled.upstream.to_string(),
        tenant: unsettled.tenant.as_deref().map(str::to_owned),
        request_id: unsettled.request_id.to_string(),
        ended_at: millis(now.wall.checked_sub(ago).unwrap_or(now.wall)),
    }
}
