//! Whether what is written can be done.

use std::time::Duration;

use sluicegate_core::{KeyInput, KeySource};

use super::{RolloutInput, RolloutSettings};

/// Spans past this are taken for a slip of the pen, and would not fit the clock's arithmetic.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The longest salt, in bytes.
const MAX_SALT: usize = 128;

impl RolloutInput {
    /// The settings, or everything that is wrong: pairs of a path inside the rollout (such as
    /// `steps[1]`) and a message.
    pub fn check(&self) -> Result<RolloutSettings, Vec<(String, String)>> {
        let mut faults = self.faults();
        let sticky = self.sticky.as_ref().map_or(Ok(KeySource::PerRequest), KeyInput::check);
        let sticky = sticky.unwrap_or_else(|(kind, message)| {
            faults.push((format!("sticky.{kind}"), message));
            KeySource::PerRequest
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(RolloutSettings {
            active: self.active.as_str().into(),
            candidate: self.candidate.as_str().into(),
            weight: self.weight,
            salt: self.salt.as_deref().map(Into::into),
            sticky,
            steps: self.steps.as_slice().into(),
            at_least: self.window.at_least.0,
            samples: self.window.samples,
            gates: self.gates,
            abort: self.abort,
            dry_run: self.dry_run.as_slice().into(),
            switch_hold: self.switch.hold.0,
            auto_promote: self.auto_promote,
            kill: self.kill,
        })
    }

    fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |path: &str, message: String| faults.push((path.to_owned(), message));
        if self.active == self.candidate {
            fault(
                "candidate",
                format!("`{}` is the active upstream; name the one that is tried", self.candidate),
            );
        }
        if self.weight > 100 {
            fault("weight", format!("{} is above 100; it is percent of the keys", self.weight));
        }
        if self.salt.as_ref().is_some_and(|salt| salt.is_empty() || salt.len() > MAX_SALT) {
            fault("salt", format!("is empty or longer than {MAX_SALT} bytes; leave it out for the name"));
        }
        for (path, message) in step_faults(&self.steps) {
            fault(&path, message);
        }
        if self.window.samples == 0 {
            fault("window.samples", "0 samples show nothing; write 1 or more".to_owned());
        }
        for (path, span) in [("window.at_least", self.window.at_least), ("switch.hold", self.switch.hold)] {
            if span.0 > LONGEST {
                fault(path, format!("`{span}` is longer than 366d; write a shorter duration"));
            }
        }
        for (path, share) in [
            ("gates.error_rate", self.gates.error_rate),
            ("gates.latency_p95_uplift", self.gates.latency_p95_uplift),
            ("abort.error_rate", self.abort.error_rate),
        ] {
            if !(share > 0.0 && share < 1.0) {
                fault(path, format!("{share} is not a share above 0 and below 1, such as 0.005 for 0.5 %"));
            }
        }
        if self.abort.error_rate < self.gates.error_rate {
            fault(
                "abort.error_rate",
                format!(
                    "{} is below gates.error_rate, {}: a run would be aborted for what its gate allows",
                    self.abort.error_rate, self.gates.error_rate
                ),
            );
        }
        let ratio = self.abort.latency_p99_ratio;
        if !(ratio > 1.0 && ratio <= 1000.0) {
            fault("abort.latency_p99_ratio", format!("{ratio} is not above 1 and up to 1000, such as 2"));
        }
        for (at, gate) in self.dry_run.iter().enumerate() {
            if self.dry_run[..at].contains(gate) {
                fault(&format!("dry_run[{at}]"), "is there twice; write it once".to_owned());
            }
        }
        faults
    }
}

fn step_faults(steps: &[u8]) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        if !(1..=100).contains(step) {
            faults.push((format!("steps[{at}]"), format!("{step} is not a percentage from 1 to 100")));
        } else if at > 0 && steps[at - 1] >= *step {
            let message = format!("{step} does not come after {}; steps rise", steps[at - 1]);
            faults.push((format!("steps[{at}]"), message));
        }
    }
    if steps.last() != Some(&100) {
        faults.push(("steps".to_owned(), "do not end with 100, where every key is on the candidate".into()));
    }
    faults
}
