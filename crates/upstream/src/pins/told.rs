//! What one endpoint tells of its pins, and what of it stands.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use sluicegate_core::pins::{Diff, PINS, Pins};
use tokio::time::Instant;

use super::{PinSource, merged, tells_otherwise, words};
use crate::{endpoint::Endpoint, metrics::PinMetrics};

/// From one read that may find out whether an endpoint has been put right to the next.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// At most one line in the log per endpoint in so long.
const LOG_EVERY: Duration = Duration::from_secs(1);
/// What stands for a header that cannot be read.
const UNREADABLE: &str = "X-WFGY";
/// So much of it is shown.
const SHOWN: usize = 128;

/// What the document says of pins: what is found under the same terms may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) pins: Arc<Pins>,
    /// The path of the manifest.
    pub(crate) manifest: Option<String>,
    /// Whether the endpoint is left out while a contradiction stands.
    pub(crate) refuse: bool,
}

/// What an endpoint has told; all workers share it, and it outlives reloads that leave the terms
/// as they are.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) terms: Terms,
    metrics: PinMetrics,
    /// The header that was last found to contradict nothing.
    good: ArcSwapOption<HeaderValue>,
    /// Whether a contradiction stands.
    stands: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    manifest: Source,
    answer: Source,
    next_probe: Option<Instant>,
    next_log: Option<Instant>,
    /// There from when it runs until it is replaced.
    gauge: Option<Gauge>,
}

/// What one source has said last.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    pub(super) told: Option<Pins>,
    pub(super) wrong: Vec<Diff>,
    pub(super) at: Option<(Instant, Timestamp)>,
    /// Why it could not be read, if that is the last that happened.
    pub(super) failed: Option<Box<str>>,
}

impl State {
    fn standing(&self) -> Vec<Diff> {
        merged(&self.manifest.wrong, &self.answer.wrong)
    }
}

impl Told {
    /// Nothing is known of `endpoint` yet but what still holds of what it told under `former`
    /// terms.
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        terms: Terms,
        metrics: PinMetrics,
        former: Option<&Self>,
    ) -> Self {
        let mut state = State::default();
        if let Some(former) = former {
            let known = former.state.lock();
            // Answers tell for themselves from the first one on; a manifest may be the only word.
            if terms.pins == former.terms.pins {
                state.answer = known.answer.clone();
            }
            if terms.manifest.is_some() && terms.manifest == former.terms.manifest {
                state.manifest = known.manifest.clone();
                let told = known.manifest.told.as_ref();
                state.manifest.wrong = told.map(|told| terms.pins.contradicted(told)).unwrap_or_default();
            }
        }
        let stands = AtomicBool::new(!state.standing().is_empty());
        Self { endpoint, terms, metrics, good: ArcSwapOption::empty(), stands, state: Mutex::new(state) }
    }

    /// It runs from now on: shows itself, and leaves the endpoint out if that is due.
    pub(crate) fn begin(&self) {
        let mut state = self.state.lock();
        let metrics = &self.metrics;
        state.gauge.get_or_insert_with(|| metrics.begin(&self.terms.pins, &self.endpoint.text));
        self.show(&state, !state.standing().is_empty());
    }

    /// Another one takes its place: what comes in late is judged and not shown.
    pub(crate) fn retire(&self) {
        let mut state = self.state.lock();
        state.gauge = None;
        self.endpoint.leave_out(false);
    }

    /// What stands, the manifest's word first.
    pub(crate) fn standing(&self) -> Vec<Diff> {
        self.state.lock().standing()
    }

    /// Compares what an answer tells. What comes back stands against passing it on.
    pub(crate) fn hear(&self, headers: &HeaderMap) -> Option<Vec<Diff>> {
        let mut lines = headers.get_all(PINS).iter();
        let lines = (lines.next(), lines.next());
        if !self.stands.load(Ordering::Acquire) {
            match lines {
                (None, _) => return None,
                (Some(line), None) if self.good.load().as_deref() == Some(line) => return None,
                _ => {}
            }
        }
        let against = self.weigh(headers, lines.0);
        (self.terms.refuse && !against.is_empty()).then_some(against)
    }

    #[cold]
    fn weigh(&self, headers: &HeaderMap, first: Option<&HeaderValue>) -> Vec<Diff> {
        let declared = &self.terms.pins;
        let read = Pins::of(headers);
        let (told, wrong) = match (&read, first) {
            (Ok(Some(told)), _) => (Some(told), declared.contradicted(told)),
            (Err(_), Some(line)) => (None, vec![unreadable(declared, line)]),
            (Ok(None) | Err(_), _) => return self.standing(),
        };
        for diff in &wrong {
            self.metrics.mismatch(&diff.pin, PinSource::Answer);
        }
        let mut state = self.state.lock();
        let before = state.standing();
        let silent = |diff: &&Diff| match told {
            Some(told) => &*diff.pin != UNREADABLE && told.get(&diff.pin).is_none(),
            None => true,
        };
        let kept: Vec<_> = state.answer.wrong.iter().filter(silent).cloned().collect();
        state.answer.wrong = merged(&wrong, &kept);
        state.answer.told = told.cloned().or(state.answer.told.take());
        state.answer.at = Some((Instant::now(), Timestamp::now()));
        state.answer.failed = read.as_ref().err().map(|why| why.as_str().into());
        if !wrong.is_empty() {
            state.next_probe = Some(Instant::now() + PROBE_EVERY);
        }
        let after = self.settle(&mut state, &before);
        drop(state);
        if let (true, Some(line), false) =
            (wrong.is_empty(), first, headers.get_all(PINS).iter().nth(1).is_some())
        {
            // Copied: its own bytes are a part of the connection's buffer and would keep all of it.
            self.good.store(HeaderValue::from_bytes(line.as_bytes()).ok().map(Arc::new));
        }
        let untold = |diff: &Diff| told.is_none_or(|told| tells_otherwise(declared, told, &diff.pin));
        after.into_iter().filter(untold).collect()
    }

    /// What a look at the manifest came to.
    pub(crate) fn read(&self, manifest: Result<Pins, String>) {
        let mut state = self.state.lock();
        let told = match manifest {
            Ok(told) => told,
            Err(why) => {
                self.metrics.unread();
                if state.manifest.failed.is_none() {
                    tracing::warn!(endpoint = %self.endpoint.text, why, "the manifest cannot be read");
                }
                state.manifest.failed = Some(why.into());
                return;
            }
        };
        let declared = &self.terms.pins;
        let before = state.standing();
        let wrong = declared.contradicted(&told);
        for diff in &wrong {
            self.metrics.mismatch(&diff.pin, PinSource::Manifest);
        }
        state.answer.wrong.retain(|diff| tells_otherwise(declared, &told, &diff.pin));
        let at = Some((Instant::now(), Timestamp::now()));
        state.manifest = Source { told: Some(told), wrong, at, failed: None };
        self.settle(&mut state, &before);
    }

    /// Whether a read may go to the endpoint that is left out, to find out whether it has been put
    /// right. What its manifest contradicts, its manifest has to put right.
    pub(crate) fn takes_probe(&self) -> bool {
        let (mut state, now) = (self.state.lock(), Instant::now());
        let due = state.manifest.wrong.is_empty() && state.next_probe.is_none_or(|at| at <= now);
        if due {
            state.next_probe = Some(now + PROBE_EVERY);
        }
        due
    }

    /// What each source has said last.
    pub(super) fn sources(&self) -> [(PinSource, Source); 2] {
        let state = self.state.lock();
        [(PinSource::Manifest, state.manifest.clone()), (PinSource::Answer, state.answer.clone())]
    }

    /// What stands now; tells of it where that has changed since `before`.
    fn settle(&self, state: &mut State, before: &[Diff]) -> Vec<Diff> {
        let after = state.standing();
        if after == before {
            return after;
        }
        self.stands.store(!after.is_empty(), Ordering::Release);
        self.show(state, !after.is_empty());
        let now = Instant::now();
        if state.gauge.is_some() && state.next_log.is_none_or(|at| at <= now) {
            state.next_log = Some(now + LOG_EVERY);
            let endpoint = &self.endpoint.text;
            if after.is_empty() {
                tracing::info!(%endpoint, "the endpoint serves what it is pinned to again");
            } else {
                tracing::warn!(
                    %endpoint, diff = words(&after), refuse = self.terms.refuse,
                    "the endpoint does not serve what it is pinned to"
                );
            }
        }
        after
    }

    fn show(&self, state: &State, stands: bool) {
        let Some(gauge) = &state.gauge else { return };
        gauge.set(i64::from(stands));
        self.endpoint.leave_out(stands && self.terms.refuse);
    }
}

fn unreadable(declared: &Pins, line: &HeaderValue) -> Diff {
    let expected: Vec<_> = declared.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let got: String = String::from_utf8_lossy(line.as_bytes()).chars().take(SHOWN).collect();
    Diff { pin: UNREADABLE.into(), expected: Some(expected.join(",").into()), got: Some(got.into()) }
}

#[cfg(test)]
mod tests;
