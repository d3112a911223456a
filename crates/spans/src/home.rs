//! The home of what sends spans: it outlives every configuration.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::{runtime::Handle, sync::watch, time::timeout};
use tokio_util::task::TaskTracker;

use crate::{
    carrier::{Carrier, Connect},
    export::Exporter,
    input::OtlpInput,
    metrics::Metrics,
    settings::OtlpSettings,
    tracer::Tracer,
};

/// Paths inside the section and what is wrong there.
pub type Faults = Vec<(String, String)>;

/// How long a stop waits for what is still to be sent.
const FLUSH: Duration = Duration::from_secs(2);

/// Where tracers come from, and who waits for their last spans. Clones share it.
#[derive(Clone, Debug)]
pub struct Spans(Arc<Home>);

#[derive(Debug)]
struct Home {
    /// None in a build that cannot carry spans.
    connect: Option<Connect>,
    side: Handle,
    metrics: Metrics,
    current: Mutex<Option<Arc<Tracer>>>,
    closing: watch::Sender<bool>,
    exporters: TaskTracker,
}

impl Spans {
    /// The home of spans that `connect`'s carriers send from `side`.
    pub fn open(connect: Option<Connect>, side: Handle, registry: &mut Registry) -> Self {
        Self(Arc::new(Home {
            connect,
            side,
            metrics: Metrics::register(registry),
            current: Mutex::new(None),
            closing: watch::Sender::new(false),
            exporters: TaskTracker::new(),
        }))
    }

    /// The tracer of a section: the one in use where nothing in it has changed. Blocking.
    pub fn prepare(
        &self,
        input: Option<&OtlpInput>,
        resolve: &dyn Fn(&Path) -> PathBuf,
    ) -> Result<Option<Arc<Tracer>>, Faults> {
        let Some(input) = input else { return Ok(None) };
        let (settings, carrier) = check(self.0.connect, input, resolve)?;
        let current = self.0.current.lock().clone();
        Ok(Some(match current.filter(|tracer| tracer.settings == settings) {
            Some(same) => same,
            None => Tracer::new(settings, carrier, self.0.metrics.clone()),
        }))
    }

    /// The document with this tracer is taken: from now on its spans are sent. The former one's
    /// exporter ends when the last request that has it does.
    pub fn apply(&self, tracer: Option<&Arc<Tracer>>) {
        let home = &self.0;
        *home.current.lock() = tracer.cloned();
        if let Some((waiting, carrier)) = tracer.and_then(|tracer| tracer.begin()) {
            let exporter = Exporter {
                waiting,
                carrier,
                closing: home.closing.subscribe(),
                metrics: home.metrics.clone(),
                timeout: tracer.map_or(FLUSH, |tracer| tracer.settings.timeout),
                is_away: false,
            };
            home.exporters.spawn_on(exporter.run(), &home.side);
        }
    }

    /// Sends what waits, for two seconds at most; what comes later is dropped.
    pub async fn close(&self) {
        self.0.closing.send_replace(true);
        self.0.exporters.close();
        if timeout(FLUSH, self.0.exporters.wait()).await.is_err() {
            tracing::warn!(
                "stopping: spans are lost, since the collector did not take them within {FLUSH:?}"
            );
        }
    }
}

/// What a section comes to in a build that carries spans by `connect`. Blocking.
pub fn check(
    connect: Option<Connect>,
    input: &OtlpInput,
    resolve: &dyn Fn(&Path) -> PathBuf,
) -> Result<(OtlpSettings, Box<dyn Carrier>), Faults> {
    let Some(connect) = connect else {
        let message = "this program was built without the feature otlp and can send no spans; build it with `--features otlp`, or remove the section";
        return Err(vec![(String::new(), message.to_owned())]);
    };
    let settings = OtlpSettings::read(input, resolve)?;
    let carrier = connect(&settings).map_err(|(key, message)| vec![(key.to_owned(), message)])?;
    Ok((settings, carrier))
}

#[cfg(test)]
mod tests;
