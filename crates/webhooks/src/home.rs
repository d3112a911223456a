//! Where receivers live. They outlive every reload, by their names.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use sluicegate_core::{Chance, Clock};
use sluicegate_store::Store;
use tokio::{runtime::Handle, sync::watch, task::AbortHandle};

use crate::{
    claims::Claims,
    deliver::{Receiver, serve},
    message::Message,
    metrics::{Metrics, Outcome},
    outbox::Outbox,
    settings::WebhookSettings,
    status::WebhookStatus,
};

/// How to open the home of the webhooks.
pub struct OpenOptions {
    /// Where claims are.
    pub store: Store,
    /// What time it is.
    pub clock: Clock,
    /// Where pauses and the tags of writes are drawn from.
    pub chance: Arc<Chance>,
    /// Where deliveries run.
    pub side: Handle,
}

/// The webhooks of this process. Clones share them.
#[derive(Clone, Debug)]
pub struct Webhooks(Arc<Home>);

#[derive(Debug)]
pub(crate) struct Home {
    claims: Claims,
    clock: Clock,
    side: Handle,
    metrics: Metrics,
    receivers: Mutex<BTreeMap<String, Running>>,
}

/// A receiver and the task that delivers to it.
#[derive(Debug)]
struct Running {
    receiver: Arc<Receiver>,
    settings: watch::Sender<Arc<WebhookSettings>>,
    task: AbortHandle,
}

impl Webhooks {
    /// Opens the home, without a receiver.
    pub fn open(options: OpenOptions, registry: &mut Registry) -> Self {
        let OpenOptions { store, clock, chance, side } = options;
        Self(Arc::new_cyclic(|home| Home {
            claims: Claims { store, chance },
            clock,
            side,
            metrics: Metrics::register(registry, home.clone()),
            receivers: Mutex::default(),
        }))
    }

    /// From now on these are the receivers. One whose name stays keeps its outbox, and uses its
    /// new settings from the next try on; what waits for one that goes is dropped.
    pub fn apply(&self, all: &[Arc<WebhookSettings>]) {
        let home = &self.0;
        let mut receivers = home.receivers.lock();
        receivers.retain(|name, running| {
            let stays = all.iter().any(|settings| settings.name == *name);
            if !stays {
                running.task.abort();
                let dropped = running.receiver.outbox.pending();
                if dropped > 0 {
                    tracing::warn!(webhook = %name, dropped, "removed with messages that were not delivered");
                }
                home.metrics.forget(name);
            }
            stays
        });
        for settings in all {
            match receivers.get(&settings.name) {
                Some(running) => drop(running.settings.send_replace(settings.clone())),
                None => drop(receivers.insert(settings.name.clone(), home.start(settings))),
            }
        }
    }

    /// Puts a message into the outbox of each receiver that asked for its event. Never waits.
    pub fn send(&self, message: Message) {
        let message = Arc::new(message);
        for running in self.0.receivers.lock().values() {
            let asked = running.settings.borrow().events.contains(&message.event);
            if asked && !running.receiver.outbox.push(message.clone()) {
                let name = &running.settings.borrow().name;
                running.receiver.counts.ended(Outcome::Dropped);
                tracing::error!(webhook = %name, event = message.event.as_str(), about = %message.about,
                    "the outbox is full; a message is dropped");
            }
        }
    }

    /// So many messages were lost before they could be sent: no receiver gets them.
    pub fn missed(&self, lost: u64) {
        for running in self.0.receivers.lock().values() {
            running.receiver.counts.dropped(lost);
        }
    }

    /// Whether there is anybody to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.receivers.lock().is_empty()
    }

    /// How each receiver fares.
    #[must_use]
    pub fn status(&self) -> Vec<WebhookStatus> {
        self.0.receivers.lock().values().map(Running::status).collect()
    }
}

impl Home {
    fn start(&self, settings: &Arc<WebhookSettings>) -> Running {
        let receiver = Arc::new(Receiver {
            outbox: Outbox::default(),
            counts: self.metrics.counts(&settings.name),
            claims: self.claims.clone(),
            clock: self.clock.clone(),
        });
        let (sender, following) = watch::channel(settings.clone());
        let task = self.side.spawn(serve(receiver.clone(), following)).abort_handle();
        Running { receiver, settings: sender, task }
    }

    pub(crate) fn pending(&self) -> Vec<(String, usize)> {
        let receivers = self.receivers.lock();
        receivers.iter().map(|(name, running)| (name.clone(), running.receiver.outbox.pending())).collect()
    }
}

impl Running {
    fn status(&self) -> WebhookStatus {
        let settings = self.settings.borrow().clone();
        let counts = &self.receiver.counts;
        self.receiver.outbox.with(|inside| WebhookStatus {
            name: settings.name.clone(),
            url: settings.shown.clone(),
            events: settings.events.clone(),
            pending: inside.pending(),
            delivered: counts.of(Outcome::Delivered),
            elsewhere: counts.of(Outcome::Elsewhere),
            given_up: counts.of(Outcome::GivenUp),
            dropped: counts.of(Outcome::Dropped),
            failures_in_a_row: inside.failures_in_a_row,
            last_delivery: inside.last_delivery.clone(),
            last_failure: inside.last_failure.clone(),
            next_try: inside.next_try,
        })
    }
}

#[cfg(test)]
mod tests;
