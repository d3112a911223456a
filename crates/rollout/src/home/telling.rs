//! What is told of the rollouts.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Entry, Home, Rollouts,
    entry::{Inner, Said},
    watch_over::dry_gates,
};
use crate::{
    error::RolloutError,
    machine::{Phase, State},
    status::{Progress, RolloutStatus},
};

impl Rollouts {
    /// All rollouts of the document, by name.
    #[must_use]
    pub fn status(&self) -> Vec<RolloutStatus> {
        self.0.entries().iter().filter_map(|entry| self.0.tell(entry)).collect()
    }

    /// One rollout.
    pub fn status_of(&self, name: &str) -> Result<RolloutStatus, RolloutError> {
        let entry = self.0.entry(name)?;
        let gone = || RolloutError::Unknown { name: name.to_owned(), known: Vec::new() };
        self.0.tell(&entry).ok_or_else(gone)
    }

    /// The version and all rollouts as soon as the version is another than `since`, or after
    /// `wait`. Another, and not a later one: versions start anew with the process.
    pub async fn changed(&self, since: u64, wait: Duration) -> (u64, Vec<RolloutStatus>) {
        let mut versions = self.subscribe();
        // Whichever comes first, the answer is the present state.
        drop(tokio::time::timeout(wait, versions.wait_for(|version| *version != since)).await);
        (self.version(), self.status())
    }

    /// What is not as it should be, by rollout: for the readiness of the gateway.
    #[must_use]
    pub fn troubles(&self) -> Vec<(String, String)> {
        let each = |entry: &std::sync::Arc<Entry>| {
            let inner = entry.lock();
            let troubles = inner.declared.as_ref().map(|said| inner.troubles(said)).unwrap_or_default();
            troubles.into_iter().map(|trouble| (entry.name.to_string(), trouble)).collect::<Vec<_>>()
        };
        self.0.entries().iter().flat_map(each).collect()
    }
}

impl Home {
    fn tell(&self, entry: &Entry) -> Option<RolloutStatus> {
        let inner = entry.lock();
        let said = inner.declared.clone()?;
        let settings = &said.declared.settings;
        let view = entry.shared.view();
        let state = inner.in_effect();
        let names = [&settings.active, &settings.candidate].map(ToString::to_string);
        let phase = state.as_ref().map_or(Phase::Idle { promoted: false }, |state| state.phase.clone());
        Some(RolloutStatus {
            name: entry.name.to_string(),
            version: state.as_ref().map_or(0, |state| state.version),
            epoch: state.as_ref().map_or(0, |state| state.epoch),
            run: state.as_ref().map_or(0, |state| state.run),
            weight: view.weight,
            active: names[view.active.index()].clone(),
            candidate: names[view.active.other().index()].clone(),
            steps: settings.steps.to_vec(),
            killed: settings.kill,
            open: view.open && !view.killed,
            gateway: self.gateway.to_string(),
            objections: state.as_ref().map(|state| self.objections(state)).unwrap_or_default(),
            progress: state.as_ref().and_then(|state| inner.progress(state, &said)),
            last: state.as_ref().map(|state| state.last.clone()),
            pins: said.pins.clone(),
            troubles: inner.troubles(&said),
            can: phase.can().iter().map(|&command| command.to_owned()).collect(),
            phase,
        })
    }

    fn objections(&self, state: &State) -> Vec<crate::machine::Objection> {
        let now = self.now();
        state.objections.iter().filter(|held| now < held.until).cloned().collect()
    }
}

impl Inner {
    /// How far the window has come.
    fn progress(&self, state: &State, said: &Said) -> Option<Progress> {
        let settings = &said.declared.settings;
        let window = self.watch.window.as_ref().filter(|window| window.is_of(state))?;
        let report = window.report.clone()?;
        let elapsed = Instant::now().saturating_duration_since(window.begun);
        let step = state.phase.step();
        Some(Progress {
            step,
            of: settings.steps.len(),
            weight: state.weight(settings),
            next: step.and_then(|step| settings.steps.get(step + 1)).copied(),
            elapsed_ms: millis(elapsed),
            at_least_ms: millis(settings.at_least),
            remaining_ms: millis(settings.at_least.saturating_sub(elapsed)),
            samples: report.samples,
            samples_needed: settings.samples,
            missing: report.missing(),
            verdict: report.verdict_without(&dry_gates(settings)),
            says: match &self.waits {
                Some(waits) => format!("{}; the step waits: {waits}", report.says()),
                None => report.says(),
            },
            report,
        })
    }

    /// What is not as it should be.
    fn troubles(&self, said: &Said) -> Vec<String> {
        let mut troubles = Vec::new();
        let cannot = self.trouble.as_deref();
        match (&self.known, cannot) {
            (None, Some(trouble)) => troubles.push(format!(
                "its record was never read, so everything is on the document's active arm: {trouble}"
            )),
            (Some(_), Some(trouble)) => {
                troubles.push(format!("this gateway goes on with the state it knows: {trouble}"));
            }
            (_, None) => {}
        }
        if self.cut.is_some() {
            troubles.push("it is aborted on this gateway, and the others have not been told yet".to_owned());
        }
        if let Some(known) = &self.known
            && known.state.slot_of_active(&said.declared.settings).is_none()
        {
            troubles.push(format!(
                "its record is about `{}` and `{}`, which are not in this gateway's document: everything is on \
                 the document's active arm",
                known.state.active, known.state.candidate
            ));
        }
        troubles
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
