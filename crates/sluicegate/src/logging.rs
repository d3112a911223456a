//! The gateway's own log, on standard error.
//!
//! Its level follows the configuration while the gateway runs; `RUST_LOG` overrides it for
//! a process that is being looked into. Its form is settled at the start.

use std::sync::Arc;

use sluicegate_config::document::{LogFormat, LogInput, LogLevel};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt};

/// Sets the level of a running log.
#[derive(Clone)]
pub struct LogSwitch(Arc<dyn Fn(LogInput) + Send + Sync>);

impl LogSwitch {
    /// A switch that sets nothing: for a gateway inside of another program.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::new(|_| {}))
    }

    pub(crate) fn set(&self, log: LogInput) {
        (self.0)(log);
    }
}

/// Starts the log of this process.
pub(crate) fn start(log: LogInput) -> LogSwitch {
    let (filter, handle) = reload::Layer::new(filter(log));
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let registry = tracing_subscriber::registry().with(filter);
    // Fails only where a log was started before; then that one goes on.
    drop(match log.format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    });
    LogSwitch(Arc::new(move |log| drop(handle.reload(self::filter(log)))))
}

/// The storage engine tells of each of its steps at `info`; an operator wants its troubles.
const QUIET: &str = "fjall=warn,lsm_tree=warn";

fn filter(log: LogInput) -> EnvFilter {
    let by_level = || match log.level {
        LogLevel::Error => EnvFilter::new("error"),
        level => EnvFilter::new(format!("{},{QUIET}", level.as_str())),
    };
    EnvFilter::try_from_default_env().unwrap_or_else(|_| by_level())
}
