//! What an operator does: put a freeze on, lift one.
//!
//! The change takes effect first and is written down second, so that a full disk never keeps
//! writes flowing that should stop. A change that could not be written down stays, and the
//! error says so; the timekeeper tries again.

use std::sync::Arc;

use jiff::Timestamp;
use sluicegate_core::BoxError;

use super::{Freezes, Home, millis};
use crate::{
    error::FreezeError,
    input::{CONFIG_ID, id_fault, reason_fault},
    saved::Dismissed,
    scope::Scope,
    status::FreezeRecord,
    view::{Active, Source, View, Wanted},
};

/// What an operator asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FreezeOrder {
    /// Why; clients see it.
    pub reason: Option<String>,
    /// Until when; `None`: until it is removed.
    pub until: Option<Timestamp>,
    /// What it covers; the default is everything.
    pub scope: Scope,
    /// Who asks, for the record.
    pub by: Option<String>,
}

/// A freeze that was put on.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The version with the freeze.
    pub version: u64,
    /// The freeze as it is now.
    pub freeze: FreezeRecord,
    /// Whether it survives a restart; false only where the state is kept in memory alone.
    pub persisted: bool,
}

/// A freeze that was lifted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The version without the freeze.
    pub version: u64,
    /// Its id.
    pub id: String,
    /// The end of the window that was dismissed, where it was one.
    pub dismissed_until: Option<Timestamp>,
}

/// The most freezes that operators may have on at once: each is looked at by every request.
const MOST: usize = 100;

/// The longest name of an operator, in bytes.
const MAX_BY: usize = 256;

impl Freezes {
    /// Puts a freeze on, or gives one that is on new words. It is in effect when the call is
    /// first polled, and survives a restart when the call returns `Ok`.
    ///
    /// A freeze that is on and keeps its scope keeps its start, and a drain that was reached.
    ///
    /// Needs a tokio runtime, since it writes to disk on a blocking thread.
    pub async fn put(&self, id: &str, order: FreezeOrder) -> Result<Applied, FreezeError> {
        let home = &self.0;
        let now = home.moment();
        order.check(id, now.wall)?;
        let order = FreezeOrder { until: order.until.map(millis), ..order };
        let mut taken = Ok(());
        home.change(now.wall, |view| {
            taken = view.takes(id, now.wall);
            taken.is_ok().then(|| view.with(&order.wanted(id), now).0)
        });
        taken?;
        home.tick();
        home.wake.notify_one();
        let version = self.version();
        let record = home.record(id, Source::Operator);
        self.persist(version).await?;
        let persisted = home.saver.is_durable();
        // Lifted by somebody else within this call: it is told as it was.
        let freeze = record.unwrap_or_else(|| order.past_record(id, now.wall));
        Ok(Applied { version, freeze: FreezeRecord { persisted, ..freeze }, persisted })
    }

    /// Lifts a freeze, or dismisses a window that is on, for the rest of its time.
    ///
    /// Needs a tokio runtime, since it writes to disk on a blocking thread.
    pub async fn remove(&self, id: &str, by: Option<&str>) -> Result<Removed, FreezeError> {
        let now = self.0.moment().wall;
        let mut lifted = Ok(None);
        self.0.change(now, |view| {
            lifted = view.lifts(id);
            lifted.is_ok().then(|| view.without(id, by, now))
        });
        let dismissed_until = lifted?;
        self.0.wake.notify_one();
        let version = self.version();
        self.persist(version).await?;
        Ok(Removed { version, id: id.to_owned(), dismissed_until })
    }

    async fn persist(&self, version: u64) -> Result<(), FreezeError> {
        self.0.clone().save().await.map_err(|source| FreezeError::NotPersisted { version, source })
    }
}

impl Home {
    /// Writes down what operators set, where the file lacks it.
    pub(super) async fn save(self: Arc<Self>) -> Result<(), BoxError> {
        if !self.saver.lacks(&self.live().load().saved()) {
            return Ok(());
        }
        let work = move || self.saver.save(|| self.live().load().saved());
        match tokio::task::spawn_blocking(work).await {
            Ok(saved) => Ok(saved?),
            Err(error) => Err(error.into()),
        }
    }
}

impl FreezeOrder {
    fn check(&self, id: &str, now: Timestamp) -> Result<(), FreezeError> {
        let mut faults: Vec<(String, String)> = Vec::new();
        if id == CONFIG_ID {
            return Err(FreezeError::Reserved { id: id.to_owned() });
        }
        faults.extend(id_fault(id).map(|message| ("id".to_owned(), message)));
        faults.extend(
            self.reason.as_deref().and_then(reason_fault).map(|message| ("reason".to_owned(), message)),
        );
        if let Some(until) = self.until.filter(|until| *until <= now) {
            let message = format!("`{until}` has passed (it is {now}); write a time to come");
            faults.push(("until".to_owned(), message));
        }
        if self.by.as_ref().is_some_and(|by| by.len() > MAX_BY) {
            faults.push(("by".to_owned(), format!("is longer than {MAX_BY} bytes")));
        }
        let scope = self.scope.faults().into_iter();
        faults.extend(scope.map(|(path, message)| (format!("scope.{path}"), message)));
        if faults.is_empty() { Ok(()) } else { Err(FreezeError::Invalid(faults)) }
    }

    fn wanted<'a>(&'a self, id: &'a str) -> Wanted<'a> {
        Wanted {
            id,
            reason: self.reason.as_deref(),
            until: self.until,
            scope: &self.scope,
            source: Source::Operator,
            by: self.by.as_deref(),
            window: None,
        }
    }

    fn past_record(&self, id: &str, since: Timestamp) -> FreezeRecord {
        FreezeRecord {
            id: id.to_owned(),
            reason: self.reason.clone(),
            since,
            until: self.until,
            scope: (!self.scope.is_everything()).then(|| self.scope.clone()),
            writes_in_flight: 0,
            unsettled: 0,
            drained_at: None,
            source: Source::Operator,
            by: self.by.clone(),
            persisted: false,
            unsettled_attempts: Vec::new(),
        }
    }
}

impl View {
    /// Whether an operator's freeze may have this id.
    fn takes(&self, id: &str, now: Timestamp) -> Result<(), FreezeError> {
        if self.calendar.all().any(|(window, at)| window.id == id && now < at.end) {
            return Err(FreezeError::Reserved { id: id.to_owned() });
        }
        let others =
            self.active.iter().filter(|active| active.source == Source::Operator && *active.id != *id);
        if others.count() >= MOST {
            let message = format!("would be one more than {MOST} freezes; lift one first");
            return Err(FreezeError::Invalid(vec![("id".to_owned(), message)]));
        }
        Ok(())
    }

    /// Whether something of this id can be lifted, and the end of its window if it has one.
    fn lifts(&self, id: &str) -> Result<Option<Timestamp>, FreezeError> {
        let named = || self.active.iter().filter(|active| *active.id == *id);
        if named().any(|active| active.source == Source::Config) {
            return Err(FreezeError::Configured);
        }
        if named().next().is_none() {
            let active = self.active.iter().map(|active| active.id.to_string()).collect();
            return Err(FreezeError::Unknown { id: id.to_owned(), active });
        }
        Ok(named().find(|active| active.source == Source::Window).and_then(|active| active.until))
    }

    /// The view with everything of this id lifted.
    fn without(&self, id: &str, by: Option<&str>, now: Timestamp) -> Self {
        let mut next = self.clone();
        let (lifted, kept): (Vec<Arc<Active>>, _) =
            next.active.into_iter().partition(|active| *active.id == *id);
        next.active = kept;
        for active in lifted {
            if let (Some(start), Some(until)) = (active.window, active.until) {
                let by = by.map(str::to_owned);
                next.dismissed.push(Dismissed { id: id.to_owned(), start, until, at: now, by });
            }
        }
        next.noting_drains()
    }
}
