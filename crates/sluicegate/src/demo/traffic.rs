//! Mixed traffic through the gateway, as clients of its own would send it.
//!
//! A handful of clients, each with one kept-alive HTTP/1.1 connection over loopback, ask for
//! documents, write some and listen to answers, at most [`RATE`] requests per second in all;
//! a client waits for its answer before it asks again, so a slow gateway is asked less. What
//! is asked comes from a seed, and so is the same in each demo.
//!
//! A request that fails on a connection kept from before is sent once more on a new one:
//! none of them does more when it is done twice. Everything else that is not a success is
//! counted as an error and named, except a write refused by a freeze, which has a count of
//! its own.

mod client;
mod mix;
mod tally;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at},
};

use self::{client::Client, mix::Mix, tally::Tally};
use crate::gateway::Gateway;

/// Clients that read and write.
const MIXED: u32 = 8;
/// What each of them asks for in a second, at most.
const MIXED_RATE: u32 = 6;
/// Clients that listen to answers, one in a second at most.
const LISTENERS: u32 = 2;
/// Requests per second of all of them, at most.
pub(super) const RATE: u32 = MIXED * MIXED_RATE + LISTENERS;

/// Running traffic; it ends when this is dropped.
pub(super) struct Traffic {
    clients: JoinSet<()>,
    tally: Arc<Mutex<Tally>>,
}

impl Traffic {
    /// Starts to send to where this gateway listens.
    pub(super) fn start(gateway: &Arc<Gateway>) -> Self {
        let tally = Arc::new(Mutex::new(Tally::new(Instant::now())));
        let mut clients = JoinSet::new();
        for seed in 0..MIXED + LISTENERS {
            let (mix, rate) = match seed {
                ..MIXED => (Mix::reads_and_writes(seed.into()), MIXED_RATE),
                _ => (Mix::answers(seed.into()), 1),
            };
            // Spread over the period, so that they do not all ask at once.
            let period = Duration::from_secs(1) / rate;
            let offset = period * seed / (MIXED + LISTENERS);
            clients.spawn(run(Client::of(gateway.clone()), mix, tally.clone(), period, offset));
        }
        Self { clients, tally }
    }

    /// What happened since the last call, for the live line.
    pub(super) fn line(&self) -> String {
        self.tally.lock().line(Instant::now())
    }

    /// Ends it, and says how it was.
    pub(super) async fn stop(mut self) -> String {
        self.clients.shutdown().await;
        self.tally.lock().summary()
    }

    /// The counts since the start.
    #[cfg(test)]
    pub(super) fn totals(&self) -> tally::Totals {
        self.tally.lock().totals()
    }
}

async fn run(mut client: Client, mut mix: Mix, tally: Arc<Mutex<Tally>>, period: Duration, offset: Duration) {
    let mut ticks = interval_at(Instant::now() + offset, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let ask = mix.ask();
        let begun = Instant::now();
        let (outcome, answered) = client.send(&ask).await;
        tally.lock().add(&ask, &outcome, answered.duration_since(begun));
    }
}
