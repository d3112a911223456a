//! The keys that outlive a reload, and who fetches them.
//!
//! A snapshot asks for a [`Verifier`] and hands it to [`Tokens::apply`] when it is taken. As long
//! as the document names the same URL the keys stay the same, last good ones included; with other
//! authorities to trust they are fetched anew at once. Another URL begins without keys.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use sluicegate_core::{Authorities, Clock};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
};

use crate::{
    Verifier,
    fetch::{keep, shown},
    files::{authorities_in, keys_in},
    input::{JwtSettings, KeysFrom},
    keys::Keys,
    metrics::Metrics,
};

/// The home of keys; clones are the same.
#[derive(Clone, Debug)]
pub struct Tokens {
    shared: Arc<Shared>,
    side: Handle,
    current: Arc<Mutex<Option<Arc<Source>>>>,
}

/// What the home shares with those who fetch.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) metrics: Metrics,
    clock: Clock,
    told: watch::Sender<()>,
}

/// Where keys come from, and those that there are.
#[derive(Debug)]
pub(crate) struct Source {
    /// Empty where they are from a file.
    pub(crate) url: Arc<str>,
    pub(crate) authorities: Option<Authorities>,
    pub(crate) keys: ArcSwapOption<Keys>,
    /// When these were fetched or read, in seconds since 1970; 0 before.
    taken_at: AtomicU64,
    /// Whether it is the one in use, which the gauges tell of. Held while they are set.
    in_use: Mutex<bool>,
    pub(crate) woken: Arc<Notify>,
    refresh: AtomicU64,
    begun: AtomicBool,
    trouble: Mutex<Option<String>>,
}

impl Source {
    fn new(url: &str, authorities: Option<Authorities>) -> Self {
        Self {
            url: url.into(),
            authorities,
            keys: ArcSwapOption::empty(),
            taken_at: AtomicU64::new(0),
            in_use: Mutex::new(false),
            woken: Arc::default(),
            refresh: AtomicU64::new(0),
            begun: AtomicBool::new(false),
            trouble: Mutex::new(None),
        }
    }

    /// Newer keys might verify what these did not, or there are none yet.
    pub(crate) fn hurry(&self) {
        self.woken.notify_one();
    }

    pub(crate) fn refresh(&self) -> Duration {
        Duration::from_millis(self.refresh.load(Ordering::Relaxed))
    }

    fn hold(&self, keys: Keys, clock: &Clock) {
        let now = clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.keys.store(Some(Arc::new(keys)));
        self.taken_at.store(now.as_secs(), Ordering::Relaxed);
    }

    /// The gauges tell of this one from now on.
    fn begin_use(&self, metrics: &Metrics) {
        let mut in_use = self.in_use.lock();
        *in_use = true;
        self.show(metrics);
    }

    fn end_use(&self) {
        *self.in_use.lock() = false;
    }

    fn show(&self, metrics: &Metrics) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        metrics.keys.set(gauge(self.keys.load().as_ref().map_or(0, |keys| keys.len() as u64)));
        metrics.taken_at.set(gauge(self.taken_at.load(Ordering::Relaxed)));
    }

    pub(crate) fn take(&self, keys: Keys, shared: &Shared) {
        self.hold(keys, &shared.clock);
        let in_use = self.in_use.lock();
        if *in_use {
            self.show(&shared.metrics);
        }
        drop(in_use);
        if self.trouble.lock().take().is_some() {
            tracing::info!(url = shown(&self.url), "the keys of tokens are fetched again");
        }
        shared.told.send_replace(());
    }

    pub(crate) fn failed(&self, reason: &str, shared: &Shared) {
        let kept = if self.keys.load().is_some() {
            "the last good ones stay in use"
        } else {
            "there are none, and requests with a token are refused"
        };
        let url = shown(&self.url);
        let said = format!("the keys of tokens cannot be fetched from {url}: {reason}; {kept}");
        let mut trouble = self.trouble.lock();
        if trouble.as_ref() != Some(&said) {
            tracing::warn!("{said}");
            *trouble = Some(said);
            shared.told.send_replace(());
        }
    }
}

impl Tokens {
    /// An empty home. Keys will be fetched on `side`.
    #[must_use]
    pub fn open(clock: Clock, side: Handle, registry: &mut Registry) -> Self {
        let shared = Shared { metrics: Metrics::register(registry), clock, told: watch::Sender::new(()) };
        Self { shared: Arc::new(shared), side, current: Arc::default() }
    }

    /// What verifies by these settings, with the keys that are known already; or what is wrong
    /// with a file, with its path inside the section. Nothing changes yet. Blocking: it reads files.
    pub fn verifier(
        &self,
        settings: JwtSettings,
        resolve: &dyn Fn(&Path) -> PathBuf,
    ) -> Result<Verifier, (String, String)> {
        let source = match &settings.keys {
            KeysFrom::File(path) => {
                let source = Source::new("", None);
                source.hold(keys_in(&resolve(path))?, &self.shared.clock);
                Arc::new(source)
            }
            KeysFrom::Url { url, ca, .. } => {
                let authorities = ca.as_ref().map(|path| authorities_in(&resolve(path))).transpose()?;
                let known = self.current.lock().clone().filter(|source| *source.url == **url);
                match known {
                    Some(source) if source.authorities == authorities => source,
                    known => {
                        let made = Source::new(url, authorities);
                        if let Some(former) = known {
                            made.keys.store(former.keys.load_full());
                            made.taken_at.store(former.taken_at.load(Ordering::Relaxed), Ordering::Relaxed);
                        }
                        Arc::new(made)
                    }
                }
            }
        };
        Ok(Verifier::new(settings, source, self.shared.clock.clone(), self.shared.metrics.clone()))
    }

    /// From now on this one's keys are those in use, or none are.
    pub fn apply(&self, verifier: Option<&Verifier>) {
        let former = self.current.lock().take();
        if let Some(former) = former {
            former.end_use();
        }
        let Some(verifier) = verifier else {
            self.shared.metrics.keys.set(0);
            self.shared.metrics.taken_at.set(0);
            self.shared.told.send_replace(());
            return;
        };
        let source = verifier.source.clone();
        if let KeysFrom::Url { refresh, .. } = verifier.keys_from() {
            let refresh = u64::try_from(refresh.as_millis()).unwrap_or(u64::MAX);
            let before = source.refresh.swap(refresh, Ordering::Relaxed);
            if !source.begun.swap(true, Ordering::AcqRel) {
                self.side.spawn(keep(Arc::downgrade(&source), self.shared.clone()));
            } else if before != refresh {
                source.hurry();
            }
        }
        source.begin_use(&self.shared.metrics);
        *self.current.lock() = Some(source);
        self.shared.told.send_replace(());
    }

    /// What is wrong with the keys in use, if anything is.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.current.lock().as_ref()?.trouble.lock().clone()
    }

    /// Told whenever [`Tokens::trouble`] may have changed.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.shared.told.subscribe()
    }
}
