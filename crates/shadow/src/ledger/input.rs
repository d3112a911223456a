//! `keep`, `allow`, `pairs` and `log` of a route's comparison: what is written, what it means.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::units::Size;

use crate::log::LogSettings;

/// The most differing pairs that can be kept: each may hold a hundred differences.
const MOST_KEPT: usize = 1000;

/// More pairs than this are taken for a slip of the pen.
const MOST_PAIRS: u64 = 1_000_000_000;

/// The smallest file: a pair of answers that differ in everything fits in.
const LEAST_SIZE: Size = Size::kib(64);

/// The most files of a log.
const MOST_FILES: u32 = 1000;

/// What is kept of the comparisons, and when they are a verdict.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerInput {
    /// How many of the last differing pairs are kept to be looked at; at most 1000.
    #[schemars(range(max = 1000))]
    pub keep: usize,
    /// The share of answers that may differ beyond noise.
    #[schemars(range(min = 0.0, max = 0.999_999))]
    pub allow: f64,
    /// The fewest pairs of each kind, with the shadow and with the route's own upstream, for a verdict.
    #[schemars(range(min = 1))]
    pub pairs: u64,
    /// A file with one line of JSON for each differing pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogInput>,
}

/// A file with one line of JSON for each differing pair.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogInput {
    /// The file; older ones stand beside it with `.1`, `.2` and so on at the end.
    pub path: String,
    /// The size that no file exceeds; at least 64KiB.
    #[serde(default = "default_max_size")]
    pub max_size: Size,
    /// How many files there are at most, with the one that is written to.
    #[serde(default = "default_files")]
    #[schemars(range(min = 1, max = 1000))]
    pub files: u32,
}

const fn default_max_size() -> Size {
    Size::kib(64 * 1024)
}

const fn default_files() -> u32 {
    3
}

impl Default for LedgerInput {
    fn default() -> Self {
        Self { keep: 20, allow: 0.01, pairs: 200, log: None }
    }
}

/// What is kept of the comparisons, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerSettings {
    /// How many of the last differing pairs are kept.
    pub keep: usize,
    /// The share of answers that may differ beyond noise.
    pub allow: f64,
    /// The fewest pairs of each kind for a verdict.
    pub pairs: u64,
    /// Where differing pairs are written.
    pub log: Option<LogSettings>,
}

impl Default for LedgerSettings {
    fn default() -> Self {
        let LedgerInput { keep, allow, pairs, log: _ } = LedgerInput::default();
        Self { keep, allow, pairs, log: None }
    }
}

impl LedgerInput {
    /// The settings, or everything that is wrong: pairs of a path inside the section (such as
    /// `log.files`) and a message. A relative path of the log is one below `base`.
    pub fn check(&self, base: &Path) -> Result<LedgerSettings, Vec<(String, String)>> {
        let mut faults = Vec::new();
        let mut fault = |path: &str, message: String| faults.push((path.to_owned(), message));
        if self.keep > MOST_KEPT {
            fault("keep", format!("{} pairs are more than {MOST_KEPT}; `log` keeps them all", self.keep));
        }
        if !(0.0..1.0).contains(&self.allow) {
            fault("allow", format!("{} is not a share from 0 to below 1, such as 0.01 for 1 %", self.allow));
        }
        if self.pairs == 0 {
            fault("pairs", "0 pairs show nothing; write 1 or more".to_owned());
        }
        if self.pairs > MOST_PAIRS {
            fault("pairs", format!("{} is above {MOST_PAIRS}; write fewer", self.pairs));
        }
        if let Some(log) = &self.log {
            log.faults().for_each(|(key, message)| fault(&format!("log.{key}"), message));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let log = self.log.as_ref().map(|log| log.settings(base));
        Ok(LedgerSettings { keep: self.keep, allow: self.allow, pairs: self.pairs, log })
    }
}

impl LogInput {
    fn faults(&self) -> impl Iterator<Item = (&'static str, String)> {
        let path = (self.path.is_empty() || self.path.ends_with('/'))
            .then(|| ("path", format!("`{}` names no file; write one, such as shadow.jsonl", self.path)));
        let size = (self.max_size < LEAST_SIZE)
            .then(|| ("max_size", format!("`{}` is below {LEAST_SIZE}; write more", self.max_size)));
        let files = (self.files == 0 || self.files > MOST_FILES).then(|| {
            ("files", format!("{} is not from 1 to {MOST_FILES}; 1 is a file that is emptied", self.files))
        });
        [path, size, files].into_iter().flatten()
    }

    fn settings(&self, base: &Path) -> LogSettings {
        let path: PathBuf = base.join(&self.path);
        LogSettings { path, max_size: self.max_size.0, files: self.files }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;
    use sluicegate_core::units::Size;

    use super::{LedgerInput, LedgerSettings};

    fn check(input: serde_json::Value) -> Result<LedgerSettings, Vec<(String, String)>> {
        let input: LedgerInput = serde_json::from_value(input).unwrap();
        input.check(Path::new("/etc/gate"))
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        assert_eq!(check(json!({})).unwrap(), LedgerSettings::default());
        let log = check(json!({ "log": { "path": "shadow.jsonl" } })).unwrap().log.unwrap();
        assert_eq!(log.path, Path::new("/etc/gate/shadow.jsonl"));
        assert_eq!((log.max_size, log.files), (Size::kib(64 * 1024).0, 3));
        let elsewhere = check(json!({ "log": { "path": "/var/log/s", "files": 1 } })).unwrap().log.unwrap();
        assert_eq!(elsewhere.path, Path::new("/var/log/s"));
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let faults = check(json!({
            "keep": 1001, "allow": 1.0, "pairs": 0,
            "log": { "path": "", "max_size": "1KiB", "files": 0 },
        }))
        .unwrap_err();
        let paths: Vec<_> = faults.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["keep", "allow", "pairs", "log.path", "log.max_size", "log.files"]);
        assert!(faults[1].1.contains("0.01 for 1 %"), "{faults:?}");
        for allow in [-0.1, 2.0] {
            assert_eq!(check(json!({ "allow": allow })).unwrap_err()[0].0, "allow");
        }
        assert_eq!(check(json!({ "pairs": u64::MAX })).unwrap_err()[0].0, "pairs");
        assert_eq!(check(json!({ "log": { "path": "logs/" } })).unwrap_err()[0].0, "log.path");
        let none = LedgerInput { allow: f64::NAN, ..LedgerInput::default() };
        assert!(none.check(Path::new("")).is_err());
    }

    #[test]
    fn a_key_that_is_not_known_is_refused() {
        assert!(serde_json::from_value::<LedgerInput>(json!({ "kept": 1 })).is_err());
        assert!(serde_json::from_value::<LedgerInput>(json!({ "log": { "path": "a", "size": 1 } })).is_err());
    }
}
