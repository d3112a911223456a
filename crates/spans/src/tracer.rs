//! Which traces are sampled, and the way of their spans into the queue.

use std::sync::Arc;

use parking_lot::Mutex;
use sluicegate_core::span::{Span, SpanSink};
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};

use crate::{
    carrier::{Carrier, Why},
    metrics::Metrics,
    settings::OtlpSettings,
};

/// The other end of a queue, and who carries what comes out.
type Outlet = (Receiver<Span>, Box<dyn Carrier>);

/// What requests of one configuration hand their spans to.
#[derive(Debug)]
pub struct Tracer {
    pub(crate) settings: OtlpSettings,
    /// Traces that begin here are sampled where the lower half of their id is below it.
    below: u64,
    queue: Sender<Span>,
    metrics: Metrics,
    /// Taken when the first document with it is.
    unsent: Mutex<Option<Outlet>>,
}

impl Tracer {
    pub(crate) fn new(settings: OtlpSettings, carrier: Box<dyn Carrier>, metrics: Metrics) -> Arc<Self> {
        let (queue, waiting) = channel(settings.queue);
        let below = threshold(settings.sample);
        Arc::new(Self { settings, below, queue, metrics, unsent: Mutex::new(Some((waiting, carrier))) })
    }

    /// Whether a trace that begins here is sampled.
    #[must_use]
    pub fn samples(&self, trace: u128) -> bool {
        // The lower half is random in every kind of trace id.
        let half = u64::try_from(trace & u128::from(u64::MAX)).unwrap_or(u64::MAX);
        self.below == u64::MAX || half < self.below
    }

    /// The other end of the queue, and who carries what comes out; once.
    pub(crate) fn begin(&self) -> Option<Outlet> {
        self.unsent.lock().take()
    }
}

impl SpanSink for Tracer {
    fn take(&self, span: Span) {
        let why = match self.queue.try_send(span) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => Why::QueueFull,
            Err(TrySendError::Closed(_)) => Why::Stopping,
        };
        self.metrics.dropped(why, 1);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of all numbers")]
fn threshold(share: f64) -> u64 {
    // The largest share below 1 stays below the largest number: casts saturate.
    if share >= 1.0 { u64::MAX } else { (share.max(0.0) * u64::MAX as f64) as u64 }
}

#[cfg(test)]
mod tests {
    use super::threshold;

    #[test]
    fn a_share_of_all_traces_is_sampled() {
        assert_eq!((threshold(0.0), threshold(1.0)), (0, u64::MAX));
        assert_eq!(threshold(0.5), 1 << 63);
    }
}
