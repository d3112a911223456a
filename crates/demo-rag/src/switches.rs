//! The switches: what makes an instance slow, failing, hanging or forgetful of keys.
//!
//! They belong to one instance, are flipped in code or by `PUT /debug/switches`, and take
//! effect for the next request; `hang` also lets go of those it holds when it is turned off.
//! They touch only paths under `/v1`, so that the debug paths, the manifest and the health
//! check (which has `healthy`) can be asked whatever is switched.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch;

/// The longest time a switch can add, in milliseconds: ten minutes.
pub const MAX_DELAY_MS: u64 = 600_000;

/// When a connection is broken off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    /// Never.
    #[default]
    Off,
    /// After the request was read, before it had an effect.
    Before,
    /// After the effect, before a byte of the answer.
    After,
    /// In the middle of an event stream; for other answers as `after`.
    Midway,
}

/// Which requests the delays and faults befall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All under `/v1`.
    #[default]
    All,
    /// Those that change nothing.
    Reads,
    /// Those that change documents.
    Writes,
}

/// How the switches stand.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Milliseconds to wait before a request is worked on.
    pub delay_ms: u64,
    /// Up to this many milliseconds more, by chance.
    pub jitter_ms: u64,
    /// The share of requests that fail before they have an effect, 0 to 1.
    pub fail_rate: f64,
    /// The status they fail with, 400 to 599.
    pub fail_status: u16,
    /// Requests wait, before their effect, until this is turned off.
    pub hang: bool,
    /// When the connection is broken off.
    pub reset: Reset,
    /// The share of requests that `reset` befalls, 0 to 1.
    pub reset_rate: f64,
    /// Milliseconds between two tokens of an answer.
    pub slow_tokens_ms: u64,
    /// Whether `Idempotency-Key` is honoured.
    pub honour_keys: bool,
    /// Whether a write that was read in full goes on when its client is gone.
    pub run_on: bool,
    /// Whether `/healthz` answers 200; else 503.
    pub healthy: bool,
    /// Which requests all but `slow_tokens_ms`, `honour_keys` and `healthy` befall.
    pub scope: Scope,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delay_ms: 0,
            jitter_ms: 0,
            fail_rate: 0.0,
            fail_status: 500,
            hang: false,
            reset: Reset::Off,
            reset_rate: 1.0,
            slow_tokens_ms: 0,
            honour_keys: false,
            run_on: false,
            healthy: true,
            scope: Scope::All,
        }
    }
}

/// Why switches cannot be set so.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The change is not a JSON object.
    #[error("the switches are not a JSON object: {0}")]
    Syntax(serde_json::Error),
    /// A member is unknown or of another type.
    #[error("switch {name:?}: {source}")]
    Member {
        /// The member.
        name: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A value out of its range.
    #[error("switch {name:?}: {got} is not in {range}")]
    Range {
        /// The member.
        name: &'static str,
        /// What it was set to.
        got: String,
        /// What it may be.
        range: &'static str,
    },
}

impl Settings {
    /// These settings with the members of a JSON object put in place of their own; what it
    /// does not name stays.
    pub fn changed(self, json: &[u8]) -> Result<Self, SwitchError> {
        let change: Map<String, Value> = serde_json::from_slice(json).map_err(SwitchError::Syntax)?;
        let mut settings = self;
        for (name, value) in change {
            // One member at a time, so that the error can say which one it was.
            let member = |source| SwitchError::Member { name: name.clone(), source };
            let mut whole = serde_json::to_value(settings).map_err(member)?;
            if let Value::Object(members) = &mut whole {
                members.insert(name.clone(), value);
            }
            settings = serde_json::from_value(whole).map_err(member)?;
        }
        settings.checked()
    }

    fn checked(self) -> Result<Self, SwitchError> {
        let times = [
            ("delay_ms", self.delay_ms),
            ("jitter_ms", self.jitter_ms),
            ("slow_tokens_ms", self.slow_tokens_ms),
        ];
        for (name, got) in times {
            if got > MAX_DELAY_MS {
                return Err(SwitchError::Range { name, got: got.to_string(), range: "0 to 600000" });
            }
        }
        for (name, got) in [("fail_rate", self.fail_rate), ("reset_rate", self.reset_rate)] {
            if !(0.0..=1.0).contains(&got) {
                return Err(SwitchError::Range { name, got: got.to_string(), range: "0 to 1" });
            }
        }
        if !(400..=599).contains(&self.fail_status) {
            let got = self.fail_status.to_string();
            return Err(SwitchError::Range { name: "fail_status", got, range: "400 to 599" });
        }
        Ok(self)
    }
}

/// The switches of one instance; clones share them.
#[derive(Clone, Debug)]
pub struct Switches {
    live: Arc<watch::Sender<Settings>>,
    first: Settings,
}

impl Switches {
    pub(crate) fn new(first: Settings) -> Result<Self, SwitchError> {
        let first = first.checked()?;
        Ok(Self { live: Arc::new(watch::Sender::new(first)), first })
    }

    /// How they stand now.
    #[must_use]
    pub fn get(&self) -> Settings {
        *self.live.borrow()
    }

    /// Sets all of them. Nothing changes where a value is out of its range.
    pub fn set(&self, settings: Settings) -> Result<(), SwitchError> {
        self.live.send_replace(settings.checked()?);
        Ok(())
    }

    /// Changes some of them, as `switches.update(|s| s.hang = true)`.
    pub fn update(&self, change: impl FnOnce(&mut Settings)) -> Result<Settings, SwitchError> {
        self.try_update(|mut settings| {
            change(&mut settings);
            settings.checked()
        })
    }

    /// Puts all of them back to how the instance was started.
    pub fn reset(&self) {
        self.live.send_replace(self.first);
    }

    /// Changes some of them by a JSON object.
    pub(crate) fn update_json(&self, json: &[u8]) -> Result<Settings, SwitchError> {
        self.try_update(|settings| settings.changed(json))
    }

    fn try_update(
        &self,
        change: impl FnOnce(Settings) -> Result<Settings, SwitchError>,
    ) -> Result<Settings, SwitchError> {
        let mut result = Ok(self.first);
        self.live.send_if_modified(|settings| {
            result = change(*settings);
            match &result {
                Ok(changed) => {
                    *settings = *changed;
                    true
                }
                Err(_) => false,
            }
        });
        result
    }

    /// Waits until the switches stand so.
    pub(crate) async fn until(&self, stand: impl FnMut(&Settings) -> bool) {
        // `self` holds the sender, so the channel cannot close while this waits.
        let _ = self.live.subscribe().wait_for(stand).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Reset, Scope, Settings, Switches};

    #[test]
    fn a_change_names_what_it_sets_and_leaves_the_rest() {
        let start = Settings { honour_keys: true, ..Settings::default() };
        let changed = start.changed(br#"{"delay_ms": 20, "reset": "after", "scope": "writes"}"#).unwrap();
        let want =
            Settings { delay_ms: 20, reset: Reset::After, scope: Scope::Writes, honour_keys: true, ..start };
        assert_eq!(changed, want);
    }

    #[test]
    fn bad_changes_say_what_is_wrong_and_change_nothing() {
        let table = [
            ("", "the switches are not a JSON object: EOF while parsing"),
            ("[1]", "the switches are not a JSON object: invalid type: sequence"),
            (r#"{"delay": 1}"#, r#"switch "delay": unknown field `delay`, expected one of `delay_ms`"#),
            (r#"{"delay_ms": "1s"}"#, r#"switch "delay_ms": invalid type: string "1s", expected u64"#),
            (r#"{"delay_ms": -1}"#, r#"switch "delay_ms": invalid value: integer `-1`"#),
            (r#"{"delay_ms": 600001}"#, r#"switch "delay_ms": 600001 is not in 0 to 600000"#),
            (r#"{"fail_rate": 1.5}"#, r#"switch "fail_rate": 1.5 is not in 0 to 1"#),
            (r#"{"fail_status": 200}"#, r#"switch "fail_status": 200 is not in 400 to 599"#),
            (r#"{"reset": "never"}"#, r#"switch "reset": unknown variant `never`, expected one of"#),
            (r#"{"hang": 1}"#, r#"switch "hang": invalid type: integer `1`, expected a boolean"#),
        ];
        let switches = Switches::new(Settings::default()).unwrap();
        for (json, message) in table {
            let error = switches.update_json(json.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(message), "{json}: {error}");
            assert_eq!(switches.get(), Settings::default(), "{json}");
        }
    }

    #[test]
    fn they_are_changed_in_code_and_go_back_to_the_start() {
        let start = Settings { honour_keys: true, ..Settings::default() };
        let switches = Switches::new(start).unwrap();
        let other = switches.clone();
        switches.update(|s| s.hang = true).unwrap();
        assert!(other.get().hang);
        assert!(switches.update(|s| s.fail_rate = f64::NAN).is_err());
        assert!(other.get().hang);
        other.reset();
        assert_eq!(switches.get(), start);
        assert!(switches.set(Settings { fail_status: 99, ..start }).is_err());
    }
}
