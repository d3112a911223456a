//! The books of one shadow: what was compared, what differed, and what that proves.
//!
//! Every pair of answers is noted, of the route with its shadow and of the route with itself
//! ([`Against`]). A copy that got no answer differs, in the class `answer`: a shadow that answers
//! half the time must not look perfect by its other half. What is proven follows from the counts
//! alone (see [`noise`](crate::noise)) and may be asked for after each pair ([`Ledger::verdict`],
//! [`Ledger::report`]); what to look at is in the last differing pairs ([`Ledger::pairs`]) and in
//! the [log](crate::log).
//!
//! Everything is bounded, whatever the answers are: 200 classes and `other`, histograms, `keep`
//! pairs of at most a hundred differences each. Noting is a short lock and some counters; a
//! differing pair is copied and handed to the log's thread, which nobody waits for.

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

mod books;
mod classes;
mod input;
mod judge;
mod kept;
mod likeness;
mod pair;
mod times;
mod words;

pub use classes::{MOST_CLASSES, OTHER};
pub use input::{LedgerInput, LedgerSettings, LogInput};
pub use pair::{Against, Copied, Failed, KeptPair, Pair, RequestShown, Side};

use crate::{
    log::{Log, LogReport},
    report::{ClassCounts, ClassReport, Excess, Finding, Report, Verdict},
};
use books::Books;
use classes::Class;
use judge::Bar;
use kept::Kept;

/// How a pair was counted, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// The two sides differ.
    pub differs: bool,
    /// In which classes. There are never more names than [`MOST_CLASSES`] and [`OTHER`] between
    /// two resets.
    pub classes: Vec<Arc<str>>,
}

/// The books of one shadow.
#[derive(Debug)]
pub struct Ledger {
    route: Box<str>,
    to: Box<str>,
    state: Mutex<State>,
    log: Mutex<Option<Log>>,
}

#[derive(Debug)]
struct State {
    books: Books,
    kept: Kept,
    keep: usize,
    bar: Bar,
}

impl State {
    fn set(&mut self, settings: &LedgerSettings) {
        self.keep = settings.keep;
        self.bar = Bar { allow: settings.allow, pairs: settings.pairs };
        self.kept.cut(self.keep);
    }
}

/// A line of the log.
#[derive(Serialize)]
struct Line<'a> {
    route: &'a str,
    to: &'a str,
    #[serde(flatten)]
    pair: &'a KeptPair,
}

impl Ledger {
    /// Empty books of a route's shadow, the upstream `to`. Starts the log's thread if there is
    /// a log.
    #[must_use]
    pub fn new(route: &str, to: &str, settings: &LedgerSettings, at: Timestamp) -> Self {
        let bar = Bar { allow: settings.allow, pairs: settings.pairs };
        let state = State { books: Books::new(at), kept: Kept::default(), keep: settings.keep, bar };
        Self {
            route: route.into(),
            to: to.into(),
            state: Mutex::new(state),
            log: Mutex::new(settings.log.clone().map(Log::new)),
        }
    }

    /// Takes other settings. What was counted stays, kept pairs as far as there is room. A log
    /// that moves writes what it was given before to where it was.
    pub fn set(&self, settings: &LedgerSettings) {
        self.state.lock().set(settings);
        let mut log = self.log.lock();
        match (&*log, &settings.log) {
            (Some(open), Some(settings)) => open.set(settings.clone()),
            (None, Some(settings)) => *log = Some(Log::new(settings.clone())),
            (_, None) => {
                if let Some(open) = log.take() {
                    open.leave();
                }
            }
        }
    }

    /// Counts a pair.
    pub fn note(&self, against: Against, pair: &Pair<'_>) -> Noted {
        let mut state = self.state.lock();
        let before = state.books.all()[against as usize].differing;
        let places = state.books.note(against, pair);
        let all = state.books.all();
        if all[against as usize].differing == before {
            return Noted::default();
        }
        let shown = places.iter().filter_map(|place| state.books.classes().get(*place));
        let classes: Vec<Arc<str>> = shown.clone().map(|class| class.name.clone()).collect();
        let is_known = |class: &Class| judge::finding(class, all, state.bar.allow).0 == Finding::Noise;
        let is_noise = state.keep > 0 && (against == Against::Own || shown.clone().all(is_known));
        let kept = Arc::new(KeptPair::new(against, pair, classes.clone()));
        let keep = state.keep;
        state.kept.push(kept.clone(), is_noise, keep);
        drop(state);
        self.write(&kept);
        Noted { differs: true, classes }
    }

    fn write(&self, pair: &KeptPair) {
        // The line is made outside of the lock; most routes have no log.
        if self.log.lock().is_none() {
            return;
        }
        let line = serde_json::to_string(&Line { route: &self.route, to: &self.to, pair });
        if let (Some(log), Ok(line)) = (&*self.log.lock(), line) {
            log.write(line);
        }
    }

    /// Forgets everything that was counted and kept, and begins anew.
    pub fn reset(&self, at: Timestamp) {
        let mut state = self.state.lock();
        state.books = Books::new(at);
        state.kept = Kept::default();
    }

    /// What is proven.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let state = self.state.lock();
        state.bar.verdict(&state.books)
    }

    /// The differing pairs that were kept, the newest first.
    #[must_use]
    pub fn pairs(&self) -> Vec<Arc<KeptPair>> {
        self.state.lock().kept.newest_first()
    }

    /// Everything that is known.
    #[must_use]
    pub fn report(&self) -> Report {
        let log = self.log.lock().as_ref().map(Log::report);
        let state = self.state.lock();
        self.told(&state.books, state.bar, log)
    }

    fn told(&self, books: &Books, bar: Bar, log: Option<LogReport>) -> Report {
        let verdict = bar.verdict(books);
        let all = books.all();
        let mut classes: Vec<_> =
            books.classes().iter().map(|class| class_report(class, books, bar)).collect();
        let order = |class: &ClassReport| (class.finding != Finding::Different, -class.excess.estimate);
        classes.sort_by(|one, other| {
            let ((one_last, one_less), (other_last, other_less)) = (order(one), order(other));
            one_last.cmp(&other_last).then(one_less.total_cmp(&other_less))
        });
        let mut report = Report {
            route: self.route.clone(),
            to: self.to.clone(),
            since: books.since,
            verdict,
            says: String::new(),
            missing: bar.missing(books, verdict),
            allow: bar.allow,
            pairs: bar.pairs,
            excess: Excess::new(all, judge::known(all)),
            shadow: books.kind_report(Against::Shadow),
            own: books.kind_report(Against::Own),
            classes,
            log,
        };
        report.says = words::says(&report);
        report
    }

    /// Lets the log open its file anew, as after it was moved away.
    pub fn reopen_log(&self) {
        if let Some(log) = &*self.log.lock() {
            log.reopen();
        }
    }
}

fn class_report(class: &Class, books: &Books, bar: Bar) -> ClassReport {
    let all = books.all();
    let (finding, known) = judge::finding(class, all, bar.allow);
    let counts = class.counts(all);
    let [shadow, own] =
        counts.map(|counts| ClassCounts { differing: counts.differing, share: counts.share() });
    ClassReport { class: class.name.clone(), finding, shadow, own, excess: Excess::new(counts, known) }
}

#[cfg(test)]
mod tests;
