//! What is known of an upstream's pins, for those who decide by it.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;
use sluicegate_core::pins::{Diff, Pins};
use tokio::task::JoinSet;

use super::{Told, manifest, told::Source, words};
use crate::{input::ManifestInput, registry::Upstream};

/// A manifest that has not been read for this many intervals is old news.
const STALE_AFTER: u32 = 3;

/// Where pins are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PinSource {
    /// The header `X-WFGY` of an answer.
    Answer,
    /// The manifest.
    Manifest,
}

impl PinSource {
    /// `answer` or `manifest`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Manifest => "manifest",
        }
    }
}

/// What telling and pinning come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PinState {
    /// Nothing that was told is pinned otherwise.
    Match,
    /// Something is.
    Mismatch,
    /// It did match, but the manifest has not been readable for three intervals.
    Stale,
    /// Nothing has been told yet.
    Unknown,
}

/// What one source at one endpoint has told last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PinFinding {
    /// The endpoint, as it is written in the document.
    pub endpoint: Box<str>,
    /// Where it was told.
    pub source: PinSource,
    /// What it comes to.
    pub state: PinState,
    /// What is told otherwise than it is pinned, and stands.
    pub diff: Vec<Diff>,
    /// The declared pins of which it told nothing last.
    pub untold: Vec<Box<str>>,
    /// When the manifest was last read; when the answers last began to tell what they do.
    pub at: Option<Timestamp>,
    /// Why it could not be read, if that is the last that happened.
    pub failed: Option<Box<str>>,
}

impl PinFinding {
    fn of(told: &Told, (from, source): (PinSource, Source), manifest: Option<&ManifestInput>) -> Self {
        let is_stale = |(at, _): (tokio::time::Instant, Timestamp)| {
            let limit = manifest.map(|manifest| manifest.interval.0.saturating_mul(STALE_AFTER));
            from == PinSource::Manifest && limit.is_some_and(|limit| at.elapsed() > limit)
        };
        let state = match source.at {
            _ if !source.wrong.is_empty() => PinState::Mismatch,
            None => PinState::Unknown,
            Some(at) if is_stale(at) => PinState::Stale,
            Some(_) => PinState::Match,
        };
        let is_told = |name: &str| source.told.as_ref().is_some_and(|told| told.get(name).is_some());
        let untold = told.terms.pins.iter().filter(|(name, _)| !is_told(name));
        Self {
            endpoint: told.endpoint.text.clone(),
            source: from,
            state,
            untold: untold.map(|(name, _)| name.into()).collect(),
            at: source.at.map(|(_, at)| at),
            diff: source.wrong,
            failed: source.failed,
        }
    }

    /// Whether it speaks against moving traffic to the upstream. That answers have told nothing yet
    /// does not: they do so once there is traffic.
    fn is_obstacle(&self) -> bool {
        let unread = self.source == PinSource::Manifest && self.failed.is_some();
        self.state == PinState::Mismatch || unread
    }
}

impl fmt::Display for PinFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (endpoint, source) = (&self.endpoint, self.source.as_str());
        write!(f, "endpoint {endpoint}, by its {source}: ")?;
        match (self.state, &self.failed) {
            (PinState::Mismatch, _) => f.write_str(&words(&self.diff)),
            (_, Some(why)) => write!(f, "its pins cannot be read: {why}"),
            (PinState::Match, None) => f.write_str("its pins match"),
            (PinState::Stale, None) => f.write_str("its pins matched, but that is old"),
            (PinState::Unknown, None) => f.write_str("it has told no pins yet"),
        }
    }
}

impl Upstream {
    /// The pins it is declared to serve; empty where there are none.
    #[must_use]
    pub fn pins(&self) -> &Arc<Pins> {
        &self.pins
    }

    /// What each endpoint has told last: in its manifest, where one is set, and in its answers.
    #[must_use]
    pub fn pin_findings(&self) -> Vec<PinFinding> {
        let Some(pinned) = &self.pinned else { return Vec::new() };
        let manifest = pinned.manifest.as_ref();
        let found = pinned.told.iter().flat_map(|told| {
            let sources = told.sources().into_iter();
            let sources = sources.filter(|(from, _)| *from == PinSource::Answer || manifest.is_some());
            sources.map(|source| PinFinding::of(told, source, manifest))
        });
        found.collect()
    }

    /// Whether it serves what it is pinned to, asked now: the manifests of all endpoints are read.
    /// Without one, and for what it does not tell, the last answers decide.
    ///
    /// # Errors
    ///
    /// What speaks against it: each contradiction, and each manifest that could not be read.
    pub async fn check_pins(&self) -> Result<(), Vec<PinFinding>> {
        let pinned = self.pinned.as_ref();
        if let Some((pinned, manifest)) = pinned.and_then(|it| Some((it, it.manifest.as_ref()?))) {
            let mut looks = JoinSet::new();
            for told in &pinned.told {
                let (told, manifest) = (told.clone(), manifest.clone());
                looks.spawn(async move { manifest::look(&told, &manifest).await });
            }
            while looks.join_next().await.is_some() {}
        }
        let obstacles: Vec<_> = self.pin_findings().into_iter().filter(PinFinding::is_obstacle).collect();
        if obstacles.is_empty() { Ok(()) } else { Err(obstacles) }
    }

    /// Whether at least one of its endpoints is used.
    ///
    /// # Errors
    ///
    /// The state of each, in words.
    pub fn readiness(&self) -> Result<(), String> {
        if self.endpoints.iter().any(|endpoint| endpoint.is_available()) {
            return Ok(());
        }
        let states: Vec<_> = self.endpoints().map(|(text, state)| format!("{text} is {state}")).collect();
        Err(format!("no endpoint of upstream `{}` is used: {}", self.name, states.join(", ")))
    }
}
