//! A route's `shadow:`: what is written there, and what it means.
//!
//! [`ShadowsInput`] is the key as it stands in the file, one shadow or a list of them;
//! [`ShadowInput::check`] turns each into [`ShadowSettings`], or says everything that is wrong
//! with it at once. Whether the upstream exists is for the owner of the whole document to check.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer, value::SeqAccessDeserializer},
};
use sluicegate_core::{
    KeyInput, KeySource, Share, secret_file,
    units::{Size, Span},
};

use crate::{
    compare::{AnswersInput, Comparer},
    head::{ADDED, is_framing},
    ledger::LedgerSettings,
};

mod comparison;
#[cfg(test)]
mod tests;

pub use comparison::ComparisonInput;

/// The most shadows that one route may have.
pub const MOST_SHADOWS: usize = 8;

/// A copy may take this long at most: its place, and what is held for it, are taken as long.
const LONGEST: Duration = Duration::from_secs(3600);

/// The largest request or answer that is held for a copy.
const LARGEST: u64 = 64 << 20;

/// A share of a route's requests is copied to another upstream.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShadowInput {
    /// The upstream that gets the copies.
    pub to: String,
    /// The share of requests that is copied, in percent.
    #[schemars(range(min = 0, max = 100))]
    pub percent: f64,
    /// The most copies per second; further ones are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rps: Option<f64>,
    /// The most copies at one time; further ones are left out.
    #[serde(default = "default_max_in_flight")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_in_flight: u32,
    /// The largest body that is copied.
    #[serde(default = "default_max_body")]
    pub max_body: Size,
    /// How long a copy may take, to the last byte of its answer.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// What makes requests belong together, so that all of them are copied or none; without it what the route's rollout goes by, and without that each request is drawn by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_by: Option<KeyInput>,
    /// Headers taken off the copies, besides the credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strip: Vec<String>,
    /// Headers set on the copies: credentials of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// The same for values that stand in files, alone: the headers and the files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set_file: BTreeMap<String, PathBuf>,
    /// Whether writes are copied as well: only where the other upstream is a test copy. Each gets an `Idempotency-Key` of its own.
    #[serde(default)]
    pub writes: bool,
    /// The share of copies, in percent, that is also sent to the route's own upstream, to learn how much two answers of the same version differ; only where answers are compared.
    #[serde(default = "default_noise")]
    #[schemars(range(min = 0, max = 100))]
    pub noise: f64,
    /// How answers are compared; without it they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<ComparisonInput>,
}

/// One shadow, or a list of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ShadowsInput {
    /// One.
    One(Box<ShadowInput>),
    /// Several, each with an upstream of its own.
    Several(Vec<ShadowInput>),
}

impl ShadowsInput {
    /// Each of them with its path from the key on: empty for a single one, else `[0]`.
    pub fn each(&self) -> impl Iterator<Item = (String, &ShadowInput)> {
        let (one, several): (_, &[ShadowInput]) = match self {
            Self::One(shadow) => (Some((String::new(), &**shadow)), &[]),
            Self::Several(shadows) => (None, shadows),
        };
        one.into_iter().chain(several.iter().enumerate().map(|(at, shadow)| (format!("[{at}]"), shadow)))
    }

    /// Replaces what must not be shown.
    pub fn redact(&mut self) {
        let shadows = match self {
            Self::One(shadow) => std::slice::from_mut(&mut **shadow),
            Self::Several(shadows) => shadows,
        };
        secret_file::redact(shadows.iter_mut().flat_map(|shadow| shadow.set.values_mut()));
    }
}

impl<'de> Deserialize<'de> for ShadowsInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = ShadowsInput;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a shadow, such as { to: lab, percent: 1 }, or a list of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ShadowsInput, A::Error> {
                let shadow = ShadowInput::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ShadowsInput::One(Box::new(shadow)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<ShadowsInput, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(ShadowsInput::Several)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for ShadowsInput {
    fn schema_name() -> Cow<'static, str> {
        "ShadowsInput".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<ShadowInput>();
        json_schema!({
            "description": "One shadow, or a list of them.",
            "anyOf": [one, { "type": "array", "items": one, "minItems": 1, "maxItems": MOST_SHADOWS }]
        })
    }
}

/// The checked entry.
#[derive(Clone, Debug)]
pub struct ShadowSettings {
    /// The upstream that gets the copies.
    pub to: Box<str>,
    /// The share of requests that is copied.
    pub share: Share,
    /// The same, as it was written.
    pub percent: f64,
    /// The most copies per second.
    pub max_rps: Option<f64>,
    /// The most copies at one time.
    pub max_in_flight: usize,
    /// The largest body that is copied, in bytes.
    pub max_body: usize,
    /// How long a copy may take.
    pub timeout: Duration,
    /// What makes requests belong together; none says nothing of it.
    pub sample_by: Option<KeySource>,
    /// Headers taken off the copies.
    pub strip: Box<[HeaderName]>,
    /// Headers set on the copies.
    pub set: HeaderMap,
    /// Writes are copied as well.
    pub writes: bool,
    /// The share of copies that is also sent to the route's own upstream.
    pub noise: Share,
    /// How answers are compared.
    pub compare: Option<CompareSettings>,
}

/// How answers are compared, and what is kept of it.
#[derive(Clone, Debug)]
pub struct CompareSettings {
    /// Compares them.
    pub comparer: std::sync::Arc<Comparer>,
    /// The largest answer that is compared, in bytes as they come.
    pub max_answer: usize,
    /// By which rules, as they are written.
    pub rules: String,
    /// What is kept of what was found.
    pub ledger: LedgerSettings,
}

impl ShadowInput {
    /// The same with what stands in files; or what is wrong with them. Blocking.
    pub fn with_files(&self, resolve: &dyn Fn(&Path) -> PathBuf) -> Result<Self, Vec<(String, String)>> {
        let set = secret_file::merged(&self.set, ("set_file", &self.set_file), resolve)?;
        Ok(Self { set, set_file: BTreeMap::new(), ..self.clone() })
    }

    /// The settings, or everything that is wrong: pairs of a path inside the shadow (such as
    /// `compare.ignore[0]`) and a message. `answers` says where a route's answers have what;
    /// `resolve` finds files beside the configuration.
    pub fn check(
        &self,
        answers: &AnswersInput,
        resolve: &dyn Fn(&std::path::Path) -> std::path::PathBuf,
    ) -> Result<ShadowSettings, Vec<(String, String)>> {
        let mut faults = self.faults();
        let sample_by =
            self.sample_by.as_ref().map(KeyInput::check).transpose().unwrap_or_else(|(key, why)| {
                faults.push((format!("sample_by.{key}"), why));
                None
            });
        let mut names = Vec::new();
        for (at, name) in self.strip.iter().enumerate() {
            match HeaderName::try_from(name) {
                Ok(name) => names.push(name),
                Err(_) => faults.push((format!("strip[{at}]"), not_a_header(name))),
            }
        }
        let mut set = HeaderMap::new();
        for (name, value) in &self.set {
            match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                (Err(_), _) => faults.push((format!("set.{name}"), not_a_header(name))),
                (Ok(name), _) if is_framing(&name) || ADDED.contains(&name.as_str()) => {
                    let message = format!("`{name}` is set by the gateway itself; remove it");
                    faults.push((format!("set.{name}"), message));
                }
                (Ok(_), Err(_)) => {
                    let message = "has a character that no header may have; write visible ASCII".to_owned();
                    faults.push((format!("set.{name}"), message));
                }
                (Ok(name), Ok(mut value)) => {
                    value.set_sensitive(true);
                    set.insert(name, value);
                }
            }
        }
        for name in secret_file::given_twice(&self.set, &self.set_file) {
            let message = format!("`{name}` is in `set` as well; remove one of the two");
            faults.push((format!("set_file.{name}"), message));
        }
        for name in self.set_file.keys() {
            match HeaderName::try_from(name) {
                Err(_) => faults.push((format!("set_file.{name}"), not_a_header(name))),
                Ok(parsed) if is_framing(&parsed) || ADDED.contains(&parsed.as_str()) => {
                    let message = format!("`{parsed}` is set by the gateway itself; remove it");
                    faults.push((format!("set_file.{name}"), message));
                }
                Ok(_) => {}
            }
        }
        let compare = self.compare.as_ref().map(|compare| compare.check(answers, resolve)).transpose();
        let compare = compare.unwrap_or_else(|found| {
            faults.extend(found.into_iter().map(|(path, message)| {
                let path = if path.is_empty() { "compare".to_owned() } else { format!("compare.{path}") };
                (path, message)
            }));
            None
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(ShadowSettings {
            to: self.to.as_str().into(),
            share: Share::of_percent(self.percent),
            percent: self.percent,
            max_rps: self.max_rps,
            max_in_flight: self.max_in_flight as usize,
            max_body: bytes(self.max_body),
            timeout: self.timeout.0,
            sample_by,
            strip: names.into(),
            set,
            writes: self.writes,
            noise: Share::of_percent(self.noise),
            compare,
        })
    }

    fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |path: &str, message: String| faults.push((path.to_owned(), message));
        for (path, percent) in [("percent", self.percent), ("noise", self.noise)] {
            if !(0.0..=100.0).contains(&percent) {
                fault(path, format!("{percent} is not a percentage from 0 to 100"));
            }
        }
        if let Some(rate) = self.max_rps.filter(|rate| !(*rate >= 0.001 && *rate <= 1e6)) {
            fault("max_rps", format!("{rate} is not a rate; write copies per second from 0.001 to 1000000"));
        }
        if !(1..=10_000).contains(&self.max_in_flight) {
            fault("max_in_flight", format!("{} is not from 1 to 10000", self.max_in_flight));
        }
        if self.max_body.0 > LARGEST {
            fault("max_body", format!("`{}` is more than 64MiB, the most that is held", self.max_body));
        }
        if self.timeout.0.is_zero() || self.timeout.0 > LONGEST {
            let message =
                format!("`{}` is not above 0 and up to 1h; write a duration such as 5s", self.timeout);
            fault("timeout", message);
        }
        faults
    }
}

impl AnswersInput {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// As many bytes as this machine can address.
fn bytes(size: Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

fn not_a_header(name: &str) -> String {
    format!("`{name}` is not the name of a header; write one such as x-internal")
}

const fn default_max_in_flight() -> u32 {
    100
}

const fn default_max_body() -> Size {
    Size::kib(256)
}

const fn default_timeout() -> Span {
    Span::secs(5)
}

const fn default_noise() -> f64 {
    10.0
}
