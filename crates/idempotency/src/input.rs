//! What is written about idempotency in a document, and what it means.
//!
//! [`IdempotencyInput`] is the `idempotency:` section of a route and [`FencesInput`] the one
//! at the top level; `check` turns each into settings, or says everything that is wrong with
//! it at once.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::{
    ClaimName,
    units::{Size, Span},
};
use sluicegate_store::{fence::OnUnknown, fingerprint::FingerprintRules};

mod fences;

pub use fences::{FencesInput, FencesSettings};

/// `idempotency:` of a route, as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdempotencyInput {
    /// Whether a write without a key is refused.
    pub required: bool,
    /// How long a key is remembered once its write has ended. Customary are 48h for an API, 14d for webhooks, 3d for batch jobs.
    pub ttl: Span,
    /// How long a duplicate waits for the first request's answer before it is told to come back; 0s never waits.
    pub wait: Span,
    /// What happens where the first attempt's fate cannot be known: `refuse` the retry or let it run (`retry`). Without it `refuse`, or `retry` where the upstream `honours_keys`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_unknown: Option<OnUnknown>,
    /// What a key is derived from where none is sent; all of the parts must be there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub key_from: Vec<KeyPartInput>,
    /// What else, besides tenant, method and route, separates keys of the same text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<ScopeInput>,
    /// JSON pointers to fields of the body that may differ between the first request and its retry; `*` stands for every item or member.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// The status of the refusal of another request under a known key: 422 or 409.
    #[schemars(extend("enum" = [409, 422]))]
    pub conflict_status: u16,
    /// What happens while the store cannot be used: `closed` refuses keyed writes, `open` lets them through without a fence. Without it `closed` where a key is required, else `open`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_lost: Option<WhenLost>,
    /// The largest request body that is held to compare it; a larger one needs a `Content-Digest`.
    pub max_body: Size,
    /// The largest answer whose body is kept for duplicates; of a larger one status and headers are.
    pub max_answer: Size,
    /// How long a write goes on after its client has left; without it the top level's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detached_limit: Option<Span>,
}

/// A part that a key is derived from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyPartInput {
    /// The value of this request header.
    Header(String),
    /// The text, number or truth value at this JSON pointer into the body.
    Json(String),
}

/// What separates keys of the same text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScopeInput {
    /// The value of this request header.
    Header(String),
    /// This claim of a JWT that was verified by `jwt`.
    Claim(String),
}

/// What happens while the store cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenLost {
    /// Keyed writes are refused.
    Closed,
    /// Keyed writes go through without a fence.
    Open,
}

impl Default for IdempotencyInput {
    fn default() -> Self {
        Self {
            required: false,
            ttl: Span::secs(48 * 3600),
            wait: Span::secs(2),
            on_unknown: None,
            key_from: Vec::new(),
            scope: Vec::new(),
            ignore: Vec::new(),
            conflict_status: 422,
            when_lost: None,
            max_body: Size::kib(1024),
            max_answer: Size::kib(1024),
            detached_limit: None,
        }
    }
}

/// The checked section of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct IdempotencySettings {
    /// A write without a key is refused.
    pub required: bool,
    /// How long a key is remembered.
    pub ttl: Duration,
    /// How long a duplicate waits.
    pub wait: Duration,
    /// What happens where a fate is unknown; none leaves it to what the upstream promises.
    pub on_unknown: Option<OnUnknown>,
    /// What a key is derived from.
    pub key_from: Vec<KeyPart>,
    /// What separates keys of the same text.
    pub scope: Vec<ScopePart>,
    /// What of a request makes its fingerprint.
    pub rules: Arc<FingerprintRules>,
    /// The status of a conflict.
    pub conflict_status: StatusCode,
    /// What happens while the store cannot be used.
    pub when_lost: WhenLost,
    /// The largest request body that is held.
    pub max_body: usize,
    /// The largest answer whose body is kept.
    pub max_answer: usize,
    /// How long a write goes on without its client; none leaves it to the top level.
    pub detached_limit: Option<Duration>,
}

/// A checked part that a key is derived from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// A header's values.
    Header(HeaderName),
    /// What stands at a JSON pointer.
    Json(Box<str>),
}

/// A checked part of what separates keys of the same text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopePart {
    /// A header's values.
    Header(HeaderName),
    /// What a claim of a verified token says.
    Claim(ClaimName),
}

/// Spans past this are taken for a slip of the pen, and would not fit the clock's arithmetic.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// What is wrong in a section: pairs of a path inside it and a message.
pub(crate) struct Faults(Vec<(String, String)>);

impl IdempotencyInput {
    /// The settings, or everything that is wrong: pairs of a path inside the section (such as
    /// `key_from[0].header`) and a message.
    pub fn check(&self) -> Result<IdempotencySettings, Vec<(String, String)>> {
        let mut faults = Faults(Vec::new());
        faults.span("ttl", self.ttl, true);
        faults.span("wait", self.wait, false);
        if let Some(limit) = self.detached_limit {
            faults.span("detached_limit", limit, true);
        }
        if self.ttl < self.wait {
            faults.add(
                "ttl",
                format!(
                    "`{}` is shorter than `wait`, `{}`; a key must outlive its wait",
                    self.ttl, self.wait
                ),
            );
        }
        let conflict_status = match self.conflict_status {
            409 => StatusCode::CONFLICT,
            422 => StatusCode::UNPROCESSABLE_ENTITY,
            other => {
                faults.add("conflict_status", format!("{other} is not offered; write 422 or 409"));
                StatusCode::UNPROCESSABLE_ENTITY
            }
        };
        for (at, pointer) in self.ignore.iter().enumerate() {
            faults.pointer(&format!("ignore[{at}]"), pointer);
        }
        let mut key_from = Vec::new();
        for (at, part) in self.key_from.iter().enumerate() {
            match part {
                KeyPartInput::Header(name) => {
                    key_from
                        .extend(faults.header(&format!("key_from[{at}].header"), name).map(KeyPart::Header));
                }
                KeyPartInput::Json(pointer) => {
                    faults.pointer(&format!("key_from[{at}].json"), pointer);
                    key_from.push(KeyPart::Json(pointer.as_str().into()));
                }
            }
        }
        let mut scope = Vec::new();
        for (at, part) in self.scope.iter().enumerate() {
            match part {
                ScopeInput::Header(name) => {
                    scope.extend(faults.header(&format!("scope[{at}].header"), name).map(ScopePart::Header));
                }
                ScopeInput::Claim(name) => match ClaimName::new(name) {
                    Ok(name) => scope.push(ScopePart::Claim(name)),
                    Err(message) => faults.add(&format!("scope[{at}].claim"), message),
                },
            }
        }
        let max_body = faults.size("max_body", self.max_body);
        let max_answer = faults.size("max_answer", self.max_answer);
        faults.or(IdempotencySettings {
            required: self.required,
            ttl: self.ttl.0,
            wait: self.wait.0,
            on_unknown: self.on_unknown,
            key_from,
            scope,
            rules: Arc::new(FingerprintRules {
                ignore: self.ignore.iter().map(|pointer| pointer.as_str().into()).collect(),
            }),
            conflict_status,
            when_lost: self.when_lost.unwrap_or(if self.required {
                WhenLost::Closed
            } else {
                WhenLost::Open
            }),
            max_body,
            max_answer,
            detached_limit: self.detached_limit.map(|limit| limit.0),
        })
    }
}

impl Default for IdempotencySettings {
    fn default() -> Self {
        let input = IdempotencyInput::default();
        Self {
            required: input.required,
            ttl: input.ttl.0,
            wait: input.wait.0,
            on_unknown: None,
            key_from: Vec::new(),
            scope: Vec::new(),
            rules: Arc::default(),
            conflict_status: StatusCode::UNPROCESSABLE_ENTITY,
            when_lost: WhenLost::Open,
            max_body: 1 << 20,
            max_answer: 1 << 20,
            detached_limit: None,
        }
    }
}

impl Faults {
    fn add(&mut self, path: &str, message: String) {
        self.0.push((path.to_owned(), message));
    }

    fn or<T>(self, settings: T) -> Result<T, Vec<(String, String)>> {
        if self.0.is_empty() { Ok(settings) } else { Err(self.0) }
    }

    fn span(&mut self, path: &str, span: Span, positive: bool) {
        if span.0 > LONGEST {
            self.add(path, format!("`{span}` is longer than 366d; write a shorter duration"));
        } else if positive && span.0.is_zero() {
            self.add(path, "0s is not long enough; write a duration such as 48h".to_owned());
        }
    }

    fn size(&mut self, path: &str, size: Size) -> usize {
        usize::try_from(size.0).unwrap_or_else(|_| {
            self.add(path, format!("`{size}` is more than this machine can hold; write a smaller size"));
            0
        })
    }

    fn header(&mut self, path: &str, name: &str) -> Option<HeaderName> {
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok();
        if parsed.is_none() {
            let name = name.escape_debug();
            self.add(path, format!("`{name}` is not a header name; write one such as x-delivery-id"));
        }
        parsed
    }

    /// RFC 6901: empty, or tokens each behind a `/`, in which `~` stands for itself only as
    /// `~0` and before `1`.
    fn pointer(&mut self, path: &str, pointer: &str) {
        let wrong_start = !pointer.is_empty() && !pointer.starts_with('/');
        let wrong_escape =
            pointer.split('~').skip(1).any(|after| !after.starts_with('0') && !after.starts_with('1'));
        if wrong_start || wrong_escape {
            let pointer = pointer.escape_debug();
            self.add(
                path,
                format!("`{pointer}` is not a JSON pointer; write one such as /order/id (`~` as ~0, `/` in a name as ~1)"),
            );
        }
    }
}

#[cfg(test)]
mod tests;
