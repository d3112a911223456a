//! The `intents:` section of the document: what is written there, and what it means.
//!
//! [`IntentsInput`] is the section as it stands in the file; [`IntentsInput::check`] turns it
//! into [`IntentsSettings`], or says everything that is wrong with it at once.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::{
    secret_file,
    units::{Size, Span},
};
use sluicegate_store::Caps;

use crate::kept;

/// `intents:` as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IntentsInput {
    /// The most intents that wait or are being applied; past it a write is refused as without a queue.
    pub max_count: u64,
    /// The most bytes that these take together.
    pub max_bytes: Size,
    /// The part of both that one tenant may take, above 0 and up to 1.
    #[schemars(range(max = 1.0))]
    pub tenant_share: f64,
    /// The largest body that is kept; a larger one is refused with 413.
    pub max_body: Size,
    /// The largest answer of the upstream that is kept whole; of a larger one status and headers are kept.
    pub max_answer: Size,
    /// How long an intent may wait before it is given up as expired.
    pub ttl: Span,
    /// The pause after a thaw and its drain, before the first intent is applied.
    pub soak: Span,
    /// How long an intent that is over can still be looked at.
    pub keep: Span,
    /// Request headers that are kept besides those that always are; credentials cannot be.
    pub keep_headers: Vec<String>,
    /// Headers that are set when an intent is applied: credentials of the gateway itself.
    pub headers: BTreeMap<String, String>,
    /// The same for values that stand in files, alone: the headers and the files.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers_file: BTreeMap<String, PathBuf>,
    /// How intents are applied.
    pub backfill: BackfillInput,
}

/// `intents.backfill:` as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BackfillInput {
    /// Intents per second, of one gateway.
    pub rps: f64,
    /// Intents that are applied at one time, of one gateway.
    pub concurrent: u32,
    /// Which intents are applied in the order they came in; without it those of one route and tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_by: Option<OrderByInput>,
    /// How often an intent is sent in all before it is dead, where each time nothing was applied.
    pub tries: u32,
    /// The pause before the second time, before jitter; it doubles with each further one.
    pub base: Span,
    /// The longest pause.
    pub cap: Span,
}

/// `intents.backfill.order_by:` as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderByInput {
    /// Those with the same value in this request header, of one tenant; those without it by route and tenant.
    Header(String),
    /// Those of one tenant, whatever their route.
    Tenant(bool),
}

impl Default for IntentsInput {
    fn default() -> Self {
        Self {
            max_count: 10_000,
            max_bytes: Size(256 << 20),
            tenant_share: 1.0,
            max_body: Size::kib(1024),
            max_answer: Size::kib(1024),
            ttl: Span::secs(24 * 3600),
            soak: Span::secs(30),
            keep: Span::secs(24 * 3600),
            keep_headers: Vec::new(),
            headers: BTreeMap::new(),
            headers_file: BTreeMap::new(),
            backfill: BackfillInput::default(),
        }
    }
}

impl Default for BackfillInput {
    fn default() -> Self {
        // Sixteen tries under these pauses take twenty minutes on average: an upstream that is
        // restarted after the window does not lose what was kept for it.
        Self {
            rps: 20.0,
            concurrent: 4,
            order_by: None,
            tries: 16,
            base: Span::secs(1),
            cap: Span::secs(300),
        }
    }
}

/// The checked section.
#[derive(Clone, Debug, PartialEq)]
pub struct IntentsSettings {
    /// The most that is kept of intents that are not over.
    pub caps: Caps,
    /// The largest body that is kept, in bytes.
    pub max_body: usize,
    /// The largest answer that is kept whole, in bytes.
    pub max_answer: usize,
    /// How long an intent may wait.
    pub ttl: Duration,
    /// The pause after a thaw.
    pub soak: Duration,
    /// How long an intent that is over can be looked at.
    pub keep: Duration,
    /// Headers that are kept besides [`ALWAYS_KEPT`](crate::ALWAYS_KEPT).
    pub keep_headers: Vec<HeaderName>,
    /// Headers that are set when an intent is applied.
    pub headers: HeaderMap,
    /// How intents are applied.
    pub backfill: BackfillSettings,
}

/// The checked `backfill:`.
#[derive(Clone, Debug, PartialEq)]
pub struct BackfillSettings {
    /// Intents per second.
    pub rps: f64,
    /// Intents at one time.
    pub concurrent: usize,
    /// Which intents stand in one line.
    pub order_by: OrderBy,
    /// How often an intent is sent in all.
    pub tries: u32,
    /// The first pause.
    pub base: Duration,
    /// The longest pause.
    pub cap: Duration,
}

/// Which intents stand in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderBy {
    /// Those of one route and tenant.
    Route,
    /// Those of one tenant.
    Tenant,
    /// Those with the same value in this header, of one tenant.
    Header(HeaderName),
}

impl Default for IntentsSettings {
    fn default() -> Self {
        let input = IntentsInput::default();
        Self {
            caps: Caps {
                max_count: input.max_count,
                max_bytes: input.max_bytes.0,
                share: input.tenant_share,
            },
            max_body: bytes(input.max_body),
            max_answer: bytes(input.max_answer),
            ttl: input.ttl.0,
            soak: input.soak.0,
            keep: input.keep.0,
            keep_headers: Vec::new(),
            headers: HeaderMap::new(),
            backfill: BackfillSettings {
                rps: input.backfill.rps,
                concurrent: count(input.backfill.concurrent),
                order_by: OrderBy::Route,
                tries: input.backfill.tries,
                base: input.backfill.base.0,
                cap: input.backfill.cap.0,
            },
        }
    }
}

impl IntentsSettings {
    /// The settings with one more header that is kept, such as the one that names the tenant.
    /// Credentials are left out here too.
    #[must_use]
    pub fn keeping(mut self, header: HeaderName) -> Self {
        if kept::fault(&header).is_none() && !self.keep_headers.contains(&header) {
            self.keep_headers.push(header);
        }
        self
    }
}

fn bytes(size: Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Spans past this are taken for a slip of the pen, and would not fit a clock's arithmetic.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A timer is no finer than a millisecond; a faster pace could not be kept.
const MOST_RPS: f64 = 10_000.0;

/// More at one time is a storm and no backfill.
const MOST_CONCURRENT: u32 = 1024;

impl IntentsInput {
    /// The same with what stands in files; or what is wrong with them. Blocking.
    pub fn with_files(&self, resolve: &dyn Fn(&Path) -> PathBuf) -> Result<Self, Vec<(String, String)>> {
        let headers = secret_file::merged(&self.headers, ("headers_file", &self.headers_file), resolve)?;
        Ok(Self { headers, headers_file: BTreeMap::new(), ..self.clone() })
    }

    /// The settings, or everything that is wrong: pairs of a path inside the section (such as
    /// `backfill.rps`) and a message.
    pub fn check(&self) -> Result<IntentsSettings, Vec<(String, String)>> {
        let mut faults = self.numbers();
        let mut fault = |path: &str, message: String| faults.push((path.to_owned(), message));
        for (path, span, least) in [
            ("ttl", self.ttl, Duration::from_secs(1)),
            ("soak", self.soak, Duration::ZERO),
            ("keep", self.keep, Duration::from_secs(1)),
            ("backfill.base", self.backfill.base, Duration::from_millis(1)),
            ("backfill.cap", self.backfill.cap, self.backfill.base.0),
        ] {
            if span.0 > LONGEST {
                fault(path, format!("`{span}` is longer than 366d; write a shorter duration"));
            } else if span.0 < least {
                fault(path, format!("`{span}` is below {}; write a longer duration", Span(least)));
            }
        }
        let mut keep_headers = Vec::with_capacity(self.keep_headers.len());
        for (at, name) in self.keep_headers.iter().enumerate() {
            match header_name(name) {
                Ok(name) => match kept::fault(&name) {
                    Some(message) => fault(&format!("keep_headers[{at}]"), message),
                    None => keep_headers.push(name),
                },
                Err(message) => fault(&format!("keep_headers[{at}]"), message),
            }
        }
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            match replayed(name, value) {
                Ok((name, value)) => drop(headers.insert(name, value)),
                Err(message) => fault(&format!("headers.{name}"), message),
            }
        }
        for name in secret_file::given_twice(&self.headers, &self.headers_file) {
            let message = format!("`{name}` is in `headers` as well; remove one of the two");
            fault(&format!("headers_file.{name}"), message);
        }
        for name in self.headers_file.keys() {
            if let Err(message) = replayed(name, "") {
                fault(&format!("headers_file.{name}"), message);
            }
        }
        let order_by = match &self.backfill.order_by {
            None => OrderBy::Route,
            Some(OrderByInput::Tenant(true)) => OrderBy::Tenant,
            Some(OrderByInput::Tenant(false)) => {
                let message = "`false` orders by nothing; write true, or leave `order_by` out".to_owned();
                fault("backfill.order_by.tenant", message);
                OrderBy::Route
            }
            Some(OrderByInput::Header(name)) => match header_name(name) {
                Ok(name) => OrderBy::Header(name),
                Err(message) => {
                    fault("backfill.order_by.header", message);
                    OrderBy::Route
                }
            },
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(IntentsSettings {
            caps: Caps { max_count: self.max_count, max_bytes: self.max_bytes.0, share: self.tenant_share },
            max_body: bytes(self.max_body),
            max_answer: bytes(self.max_answer),
            ttl: self.ttl.0,
            soak: self.soak.0,
            keep: self.keep.0,
            keep_headers,
            headers,
            backfill: BackfillSettings {
                rps: self.backfill.rps,
                concurrent: count(self.backfill.concurrent),
                order_by,
                tries: self.backfill.tries,
                base: self.backfill.base.0,
                cap: self.backfill.cap.0,
            },
        })
    }

    fn numbers(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |path: &str, message: String| faults.push((path.to_owned(), message));
        if self.max_count == 0 {
            fault("max_count", "`0` keeps nothing; write at least 1".to_owned());
        }
        if self.max_body.0 == 0 || self.max_body.0 > self.max_bytes.0 {
            let message =
                format!("`{}` is not between 1B and `max_bytes`, {}", self.max_body, self.max_bytes);
            fault("max_body", message);
        }
        if !(self.tenant_share > 0.0 && self.tenant_share <= 1.0) {
            fault("tenant_share", format!("`{}` is not above 0 and up to 1", self.tenant_share));
        }
        let backfill = &self.backfill;
        if !(backfill.rps > 0.0 && backfill.rps <= MOST_RPS) {
            fault("backfill.rps", format!("`{}` is not above 0 and up to {MOST_RPS}", backfill.rps));
        }
        if !(1..=MOST_CONCURRENT).contains(&backfill.concurrent) {
            let message = format!("`{}` is not between 1 and {MOST_CONCURRENT}", backfill.concurrent);
            fault("backfill.concurrent", message);
        }
        if backfill.tries == 0 {
            fault("backfill.tries", "`0` sends nothing; write at least 1".to_owned());
        }
        faults
    }
}

fn header_name(text: &str) -> Result<HeaderName, String> {
    text.parse().map_err(|_| format!("`{}` is not a header's name", text.escape_debug()))
}

/// A header that is set when an intent is applied. Its value is never shown in a message.
fn replayed(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let name = header_name(name)?;
    if let Some(message) = kept::framing_fault(&name) {
        return Err(message);
    }
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| "the value holds characters that a header cannot carry".to_owned())?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests;
