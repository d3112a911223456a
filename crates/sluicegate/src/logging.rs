//! The gateway's own log, on standard error.
//!
//! Its level follows the configuration while the gateway runs; lines of the audit log are told at
//! each. `RUST_LOG` overrides both for a process that is being looked into. Its form is settled at
//! the start. At no level, nor by `RUST_LOG`, does it hold what others send along as secrets: paths,
//! queries, header fields and bodies of requests.

use std::sync::Arc;

use sluicegate_admin::audit::TARGET as AUDIT;
use sluicegate_config::document::{LogFormat, LogInput, LogLevel};
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, filter::filter_fn, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

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
    let registry = tracing_subscriber::registry().with(filter).with(filter_fn(is_discreet));
    // Fails only where a log was started before; then that one goes on.
    drop(match log.format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    });
    LogSwitch(Arc::new(move |log| drop(handle.reload(self::filter(log)))))
}

/// The storage engine tells of each of its steps at `info`; an operator wants its troubles.
const QUIET: &str = "fjall=warn,lsm_tree=warn";

/// By the document's level; but who has changed what is told at each.
fn filter(log: LogInput) -> EnvFilter {
    let quiet = if log.level == LogLevel::Error { "" } else { QUIET };
    let by_level = format!("{},{quiet},{AUDIT}=info", log.level.as_str());
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(by_level))
}

/// Those who show below these levels what came in a message: the clients of webhooks, key sets and
/// spans whole heads and bodies, HTTP/2 paths that cannot be read, gRPC the fields of an answer.
const TALKATIVE: [(&str, Level); 4] =
    [("ureq", Level::DEBUG), ("ureq_proto", Level::DEBUG), ("h2", Level::INFO), ("tonic", Level::INFO)];

/// Whether what is told this way holds no secret that others have sent along. It is asked beside
/// the filter, so that no level and no `RUST_LOG` lets out what it holds back.
fn is_discreet(told: &Metadata<'_>) -> bool {
    let source = told.target().split("::").next().unwrap_or_default();
    TALKATIVE.iter().all(|(talkative, most)| source != *talkative || told.level() <= most)
}

#[cfg(test)]
mod tests {
    use sluicegate_config::document::{LogInput, LogLevel};
    use tracing::{Level, enabled};
    use tracing_subscriber::{EnvFilter, filter::filter_fn, layer::SubscriberExt};

    use super::{filter, is_discreet};

    #[test]
    fn what_holds_secrets_is_told_at_no_level() {
        for asked in ["trace", "info,ureq=trace,ureq_proto=trace,ureq::run=trace,h2=trace,tonic=trace"] {
            let lines =
                tracing_subscriber::registry().with(EnvFilter::new(asked)).with(filter_fn(is_discreet));
            tracing::subscriber::with_default(lines, || {
                assert!(!enabled!(target: "ureq::run", Level::TRACE), "{asked}");
                assert!(!enabled!(target: "ureq_proto::util", Level::TRACE), "{asked}");
                assert!(enabled!(target: "ureq::run", Level::DEBUG), "{asked}");
                assert!(enabled!(target: "ureq_proto::client", Level::DEBUG), "{asked}");
                assert!(!enabled!(target: "h2::server", Level::DEBUG), "{asked}");
                assert!(!enabled!(target: "tonic::codec::decode", Level::DEBUG), "{asked}");
                assert!(enabled!(target: "h2::server", Level::INFO), "{asked}");
                assert_eq!(enabled!(target: "hyper::proto", Level::TRACE), asked == "trace");
            });
        }
    }

    #[test]
    fn changes_are_told_at_every_level() {
        for level in [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug] {
            let filter = filter(LogInput { level, ..LogInput::default() }).to_string();
            assert!(filter.split(',').any(|one| one == "sluicegate::audit=info"), "{filter}");
            assert!(filter.split(',').any(|one| one == level.as_str()), "{filter}");
            let quiet = filter.split(',').any(|one| one == "fjall=warn");
            assert_eq!(quiet, level != LogLevel::Error, "{filter}");
        }
    }
}
