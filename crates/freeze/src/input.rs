//! The `freeze:` section of the document: what is written there, and what it means.
//!
//! [`FreezeInput`] is the section as it stands in the file; [`FreezeInput::check`] turns it
//! into [`FreezeSettings`], or says everything that is wrong with it at once. Whether the
//! routes, tenants and upstreams of a scope exist is for the owner of the whole document to
//! check; see [`FreezeInput::scopes`].

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::units::Span;

use crate::scope::Scope;

mod status;
mod window;

pub use status::StatusRule;
pub use window::{Moments, Window, WindowInput};

/// The id of the freeze that `read_only: true` makes; no window or operator may use it.
pub const CONFIG_ID: &str = "config";

/// The longest id of a freeze, in characters.
pub const MAX_ID: usize = 64;

/// The longest reason, in bytes: it goes into every refusal.
pub const MAX_REASON: usize = 1024;

/// The most windows: the calendar is laid out anew with each change of the section.
const MOST_WINDOWS: usize = 500;

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
    /// What anybody may read at `/.sluicegate/freeze.json`.
    pub banner: BannerInput,
    /// The calendar: freezes with a start and an end, or with a rule by which they come again.
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

/// `freeze.banner:` as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the document")]
pub struct BannerInput {
    /// Whether it is there at all.
    pub enabled: bool,
    /// Whether it says why.
    pub reason: bool,
    /// Whether it names routes.
    pub routes: bool,
    /// Whether it tells what has been announced.
    pub next: bool,
    /// How long a page may keep it.
    pub max_age: Span,
}

impl Default for BannerInput {
    fn default() -> Self {
        Self { enabled: true, reason: true, routes: true, next: true, max_age: Span::secs(5) }
    }
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
            banner: BannerInput::default(),
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
    /// What anybody may read.
    pub banner: BannerInput,
    /// The calendar.
    pub windows: Vec<Window>,
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
            banner: input.banner,
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
            ("banner.max_age", self.banner.max_age),
        ] {
            if span.0 > LONGEST {
                fault(path, format!("`{span}` is longer than 366d; write a shorter duration"));
            }
        }
        if let Some(message) = self.reason.as_deref().and_then(reason_fault) {
            fault("reason", message);
        }
        if self.windows.len() > MOST_WINDOWS {
            fault(
                "windows",
                format!(
                    "has {} entries; {MOST_WINDOWS} is the most: leave out what is over, or write a `rule`",
                    self.windows.len()
                ),
            );
        }
        let mut windows: Vec<Window> = Vec::with_capacity(self.windows.len().min(MOST_WINDOWS));
        for (at, input) in self.windows.iter().take(MOST_WINDOWS).enumerate() {
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
            banner: self.banner,
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
