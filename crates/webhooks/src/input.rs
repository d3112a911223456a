//! The `webhooks:` section of the document.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::{
    secret_file::{self, REDACTED},
    units::Span,
};

use crate::sign::Secret;

/// What a receiver can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookEvent {
    /// A window of the calendar will begin.
    Announce,
    /// A freeze is on.
    Start,
    /// Every write that it covers has ended.
    Drained,
    /// It is over.
    End,
}

impl WebhookEvent {
    /// Every event there is.
    pub const ALL: [Self; 4] = [Self::Announce, Self::Start, Self::Drained, Self::End];

    /// Its name, as it stands in the document and in `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Announce => "announce",
            Self::Start => "start",
            Self::Drained => "drained",
            Self::End => "end",
        }
    }
}

/// One entry of `webhooks:` as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookInput {
    /// Names it in status and metrics; letters, digits and `_.-`, up to 64.
    pub name: String,
    /// Where messages are posted: an http or https URL.
    pub url: String,
    /// What it is told of.
    #[serde(default = "every")]
    pub events: Vec<WebhookEvent>,
    /// What messages are signed with: `whsec_` and 24 to 64 bytes in base64; this or `secret_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// A file with such secrets, one on a line; messages are signed with each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Header fields of its own, such as an Authorization.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The authorities to trust instead of the system's (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// How long one try may take.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// How often a message is tried, in all.
    #[serde(default = "tries")]
    #[schemars(range(min = 1, max = 100))]
    pub tries: u32,
    /// The first pause between tries is drawn below it; doubled with each try.
    #[serde(default = "base")]
    pub base: Span,
    /// The longest pause.
    #[serde(default = "cap")]
    pub cap: Span,
}

fn every() -> Vec<WebhookEvent> {
    WebhookEvent::ALL.to_vec()
}

const fn timeout() -> Span {
    Span::secs(10)
}

const fn tries() -> u32 {
    12
}

const fn base() -> Span {
    Span::secs(1)
}

const fn cap() -> Span {
    Span::secs(300)
}

/// The most receivers.
const MOST: usize = 32;

/// Fields that say how the message itself is read, or are made by the gateway.
const OURS: [&str; 10] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

impl WebhookInput {
    /// Everything wrong with the whole section: pairs of a path inside it, such as `[0].url`,
    /// and a message.
    #[must_use]
    pub fn faults(all: &[Self]) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if all.len() > MOST {
            faults.push((String::new(), format!("names {} receivers; {MOST} is the most", all.len())));
        }
        for (at, input) in all.iter().enumerate() {
            faults.extend(
                input.own_faults().into_iter().map(|(key, message)| (format!("[{at}].{key}"), message)),
            );
            if let Some(first) = all[..at].iter().position(|other| other.name == input.name) {
                let message =
                    format!("`{}` is already the name of webhooks[{first}]; give each its own", input.name);
                faults.push((format!("[{at}].name"), message));
            }
        }
        faults
    }

    fn own_faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, message: String| faults.push((key.to_owned(), message));
        let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !(1..=64).contains(&self.name.len()) || !self.name.chars().all(fits) {
            fault(
                "name",
                format!("`{}` is not a name; use 1 to 64 letters, digits and _.-", self.name.escape_debug()),
            );
        }
        if let Some(message) = url_fault(&self.url) {
            fault("url", message);
        }
        if self.events.is_empty() {
            fault(
                "events",
                "names nothing, so it would never be told; name events, or leave it out".to_owned(),
            );
        }
        match (&self.secret, &self.secret_file) {
            (None, None) => fault(
                "secret_file",
                "is missing: messages are always signed; name a file with a line made by `echo whsec_$(openssl rand -base64 32)`".to_owned(),
            ),
            (Some(_), Some(_)) => fault("secret", "stands beside `secret_file`; keep one".to_owned()),
            (Some(secret), None) => {
                if let Err(message) = Secret::read(secret) {
                    fault("secret", message);
                }
            }
            (None, Some(_)) => {}
        }
        for (name, value) in &self.headers {
            if let Some(message) = header_fault(name, value) {
                fault(&format!("headers.{name}"), message);
            }
        }
        for (key, span) in [("timeout", self.timeout), ("base", self.base), ("cap", self.cap)] {
            if span.0.is_zero() || span.0 > Duration::from_secs(3600) {
                fault(key, format!("`{span}` is not between 1ms and 1h"));
            }
        }
        if !(1..=100).contains(&self.tries) {
            fault("tries", format!("`{}` is not between 1 and 100", self.tries));
        }
        faults
    }

    /// What must not be shown, taken out.
    pub fn redact(&mut self) {
        secret_file::redact(self.secret.iter_mut().chain(self.headers.values_mut()));
        self.url = shown(&self.url);
    }
}

/// A URL as it may be shown: scheme, host and port. Receivers put keys into queries, and those of
/// chat services into paths; what stands before the host is a user and a password.
pub(crate) fn shown(url: &str) -> String {
    let scheme = url.find("://").filter(|at| !url[..*at].contains(['@', '/', '?', '#']));
    let (scheme, rest) = url.split_at(scheme.map_or(0, |at| at + 3));
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if rest.len() > 1 { format!("{scheme}{host}/{REDACTED}") } else { format!("{scheme}{host}{rest}") }
}

fn url_fault(url: &str) -> Option<String> {
    let uri: Option<Uri> = url.parse().ok();
    let known = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    };
    match uri.filter(known) {
        None => Some(format!(
            "`{}` is not an address to post to; write one such as https://ops.example.com/freezes",
            shown(url).chars().take(100).collect::<String>().escape_debug()
        )),
        Some(uri) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
            Some("carries a user and a password; put them into `headers` as an Authorization".to_owned())
        }
        Some(_) => None,
    }
}

fn header_fault(name: &str, value: &str) -> Option<String> {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Some(format!("`{}` is not a header name", name.escape_debug()));
    }
    if OURS.contains(&name.to_ascii_lowercase().as_str()) {
        return Some("is set by the gateway itself; remove it".to_owned());
    }
    HeaderValue::from_str(value).is_err().then(|| "has a value that no header can have".to_owned())
}

#[cfg(test)]
mod tests;
