//! The `freeze:` section of the document: what is written there, and what it means.
//!
//! [`FreezeInput`] is the section as it stands in the file; [`FreezeInput::check`] turns it
//! into [`FreezeSettings`], or says everything that is wrong with it at once. Whether the
//! routes, tenants and upstreams of a scope exist is for the owner of the whole document to
//! check; see [`FreezeInput::scopes`].

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::units::Span;

use crate::scope::Scope;

mod status;

pub use status::StatusRule;

/// The id of the freeze that `read_only: true` makes; no window or operator may use it.
pub const CONFIG_ID: &str = "config";

/// The longest id of a freeze, in characters.
pub const MAX_ID: usize = 64;

/// The longest reason, in bytes: it goes into every refusal.
pub const MAX_REASON: usize = 1024;

/// `freeze:` as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FreezeInput {
    /// Refuse every write for as long as this is true.
    pub read_only: bool,
    /// Why writes are refused while `read_only` is true; clients see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Status of a refused write: `auto` is 503 where the end is known and 423 where it is not; or always 423, or 503.
    pub status: StatusRule,
    /// How long upgraded connections and streamed answers on write routes go on after a freeze has begun.
    pub stream_grace: Span,
    /// How long a drain waits after the last attempt whose end is unknown.
    pub settle: Span,
    /// How long before a freeze an attempt may have gone out of sight and still count as unsettled for it.
    pub unsettled_memory: Span,
    /// What `Retry-After` says.
    pub retry_after: RetryAfterInput,
    /// Freezes with a start and an end.
    pub windows: Vec<WindowInput>,
}

/// `freeze.retry_after:` as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryAfterInput {
    /// What is said where no end is known; at least 1s.
    pub default: Span,
    /// Up to this much is added to the time to the end, at random, so that clients do not return all at once.
    pub spread: Span,
}

/// One entry of `freeze.windows:` as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowInput {
    /// Names the freeze; letters, digits and `-._~:@+`, up to 64.
    pub id: String,
    /// When it begins (RFC 3339, such as 2030-01-05T02:00:00Z).
    #[schemars(extend("format" = "date-time"))]
    pub start: String,
    /// When it ends (RFC 3339); after `start`.
    #[schemars(extend("format" = "date-time"))]
    pub end: String,
    /// Why writes are refused; clients see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it covers; without it, everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

impl Default for FreezeInput {
    fn default() -> Self {
        Self {
            read_only: false,
            reason: None,
            status: StatusRule::Auto,
            stream_grace: Span::secs(5),
            settle: Span::secs(0),
            unsettled_memory: Span::secs(60),
            retry_after: RetryAfterInput::default(),
            windows: Vec::new(),
        }
    }
}

impl Default for RetryAfterInput {
    fn default() -> Self {
        Self { default: Span::secs(60), spread: Span::secs(30) }
    }
}

/// The checked section.
#[derive(Clone, Debug, PartialEq)]
pub struct FreezeSettings {
    /// Every write is refused.
    pub read_only: bool,
    /// Why, where `read_only` says so.
    pub reason: Option<String>,
    /// The status of a refused write.
    pub status: StatusRule,
    /// How long streams on write routes go on.
    pub stream_grace: Duration,
    /// How long a drain waits after the last unsettled attempt.
    pub settle: Duration,
    /// How long before a freeze an unsettled attempt counts for it.
    pub unsettled_memory: Duration,
    /// `Retry-After` where no end is known.
    pub retry_default: Duration,
    /// The most that is added to the time to the end.
    pub retry_spread: Duration,
    /// The calendar.
    pub windows: Vec<Window>,
}

/// One checked window of the calendar.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Names the freeze.
    pub id: String,
    /// When it begins.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
    /// Why.
    pub reason: Option<String>,
    /// What it covers.
    pub scope: Scope,
}

impl Default for FreezeSettings {
    fn default() -> Self {
        let input = FreezeInput::default();
        Self {
            read_only: input.read_only,
            reason: input.reason,
            status: input.status,
            stream_grace: input.stream_grace.0,
            settle: input.settle.0,
            unsettled_memory: input.unsettled_memory.0,
            retry_default: input.retry_after.default.0,
            retry_spread: input.retry_after.spread.0,
            windows: Vec::new(),
        }
    }
}

/// Spans past this are taken for a slip of the pen, and would not fit the clock's arithmetic.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

impl FreezeInput {
    /// The settings, or everything that is wrong: pairs of a path inside the section (such as
    /// `windows[0].end`) and a message.
    pub fn check(&self) -> Result<FreezeSettings, Vec<(String, String)>> {
        let mut faults = Vec::new();
        let mut fault = |path: &str, message: String| faults.push((path.to_owned(), message));
        if self.retry_after.default.0 < Duration::from_secs(1) {
            fault(
                "retry_after.default",
                format!("`{}` is below 1s, the least that Retry-After can say", self.retry_after.default),
            );
        }
        for (path, span) in [
            ("stream_grace", self.stream_grace),
            ("settle", self.settle),
            ("unsettled_memory", self.unsettled_memory),
            ("retry_after.default", self.retry_after.default),
            ("retry_after.spread", self.retry_after.spread),
        ] {
            if span.0 > LONGEST {
                fault(path, format!("`{span}` is longer than 366d; write a shorter duration"));
            }
        }
        if let Some(message) = self.reason.as_deref().and_then(reason_fault) {
            fault("reason", message);
        }
        let mut windows: Vec<Window> = Vec::with_capacity(self.windows.len());
        for (at, input) in self.windows.iter().enumerate() {
            let (window, wrong) = input.read();
            faults
                .extend(wrong.into_iter().map(|(path, message)| (format!("windows[{at}].{path}"), message)));
            if let Some(first) = self.windows[..at].iter().position(|other| other.id == input.id) {
                faults.push((
                    format!("windows[{at}].id"),
                    format!("`{}` is already the id of windows[{first}]; give each window its own", input.id),
                ));
            }
            windows.extend(window);
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(FreezeSettings {
            read_only: self.read_only,
            reason: self.reason.clone(),
            status: self.status,
            stream_grace: self.stream_grace.0,
            settle: self.settle.0,
            unsettled_memory: self.unsettled_memory.0,
            retry_default: self.retry_after.default.0,
            retry_spread: self.retry_after.spread.0,
            windows,
        })
    }

    /// Every scope in the section with its path, for the check that what it names exists.
    pub fn scopes(&self) -> impl Iterator<Item = (String, &Scope)> {
        self.windows
            .iter()
            .enumerate()
            .filter_map(|(at, window)| Some((format!("windows[{at}].scope"), window.scope.as_ref()?)))
    }
}

impl WindowInput {
    fn read(&self) -> (Option<Window>, Vec<(String, String)>) {
        let mut faults = Vec::new();
        if let Some(message) = id_fault(&self.id) {
            faults.push(("id".to_owned(), message));
        }
        let start = instant("start", &self.start, &mut faults);
        let end = instant("end", &self.end, &mut faults);
        if let (Some(start), Some(end)) = (start, end)
            && end <= start
        {
            faults
                .push(("end".to_owned(), format!("`{}` is not after the start, `{}`", self.end, self.start)));
        }
        if let Some(message) = self.reason.as_deref().and_then(reason_fault) {
            faults.push(("reason".to_owned(), message));
        }
        let scope = self.scope.clone().unwrap_or_default();
        faults.extend(scope.faults().into_iter().map(|(path, message)| (format!("scope.{path}"), message)));
        let window = start.zip(end).map(|(start, end)| Window {
            id: self.id.clone(),
            start,
            end,
            reason: self.reason.clone(),
            scope,
        });
        (window, faults)
    }
}

fn instant(path: &str, text: &str, faults: &mut Vec<(String, String)>) -> Option<Timestamp> {
    let instant = text.parse().ok();
    if instant.is_none() {
        let message = format!("`{text}` is not an RFC 3339 time with a zone, such as 2030-01-05T02:00:00Z");
        faults.push((path.to_owned(), message));
    }
    instant
}

/// What is wrong with the id of a window or of an operator's freeze. It stands in a URL, a
/// header and a metric's label, so it keeps to characters that need no escape there.
pub(crate) fn id_fault(id: &str) -> Option<String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "-._~:@+".contains(c);
    if id == CONFIG_ID {
        Some(format!("`{CONFIG_ID}` is kept for the configuration's `read_only`; choose another id"))
    } else if id.is_empty() || id.len() > MAX_ID || !id.chars().all(known) || id == "." || id == ".." {
        Some(format!("`{}` is not an id; use 1 to {MAX_ID} letters, digits and -._~:@+", id.escape_debug()))
    } else {
        None
    }
}

/// What is wrong with a reason.
pub(crate) fn reason_fault(reason: &str) -> Option<String> {
    (reason.len() > MAX_REASON).then(|| {
        format!("has {} bytes; {MAX_REASON} is the most, since every refusal carries it", reason.len())
    })
}

#[cfg(test)]
mod tests;
