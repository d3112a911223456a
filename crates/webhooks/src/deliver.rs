//! The task of one receiver: takes the oldest message and does not let go before it is
//! delivered, delivered by another gateway, or given up.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use sluicegate_core::Clock;
use tokio::{sync::watch, time::sleep};

use crate::{
    claims::{Claim, Claims},
    message::Message,
    metrics::{Counts, Outcome, Try},
    outbox::Outbox,
    post::{Failure, post},
    settings::WebhookSettings,
    status::{LastDelivery, LastFailure},
};

/// How often a message that another gateway tries is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a receiver's task works with.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) outbox: Outbox,
    pub(crate) counts: Counts,
    pub(crate) claims: Claims,
    pub(crate) clock: Clock,
}

type Following = watch::Receiver<Arc<WebhookSettings>>;

/// Delivers for as long as the receiver is there.
pub(crate) async fn serve(receiver: Arc<Receiver>, settings: Following) {
    loop {
        let message = receiver.outbox.oldest().await;
        let outcome = receiver.deliver(&message, &settings).await;
        receiver.counts.ended(outcome);
        receiver.outbox.done();
    }
}

impl Receiver {
    async fn deliver(&self, message: &Arc<Message>, settings: &Following) -> Outcome {
        let name = settings.borrow().name.clone();
        let claim = loop {
            match self.claims.claim(&name, message).await {
                Claim::Delivered => return Outcome::Elsewhere,
                Claim::Theirs => sleep(LOOK_AGAIN).await,
                ours @ Claim::Ours(_) => break ours,
            }
        };
        let outcome = self.claims.holding(claim, self.try_on(message, settings)).await;
        self.claims.settle(claim, outcome == Outcome::Delivered).await;
        outcome
    }

    async fn try_on(&self, message: &Arc<Message>, settings: &Following) -> Outcome {
        let mut tries = 0;
        loop {
            // A reload may have put right what was wrong.
            let now = settings.borrow().clone();
            let timestamp = i64::try_from(self.clock.unix_millis() / 1000).unwrap_or(i64::MAX);
            tries += 1;
            self.outbox.with(|inside| inside.next_try = None);
            match post(now.clone(), message.clone(), timestamp).await {
                Ok(status) => {
                    self.counts.tried(Try::Ok);
                    self.delivered(message, status.as_u16());
                    return Outcome::Delivered;
                }
                Err(failure) => {
                    let is_last = failure.is_final || tries >= now.tries;
                    let pause = (!is_last).then(|| self.pause(&now, tries, failure.after));
                    self.failed(message, &now.name, &failure, pause);
                    match pause {
                        Some(pause) => sleep(pause).await,
                        None => return Outcome::GivenUp,
                    }
                }
            }
        }
    }

    /// Full jitter below a bound that doubles with each try; not before the receiver wants it.
    fn pause(&self, settings: &WebhookSettings, tries: u32, after: Option<Duration>) -> Duration {
        let doubled = settings.base.saturating_mul(1_u32.checked_shl(tries - 1).unwrap_or(u32::MAX));
        let bound = u64::try_from(doubled.min(settings.cap).as_millis()).unwrap_or(u64::MAX);
        let drawn = Duration::from_millis(self.claims.chance.below(bound.saturating_add(1)));
        drawn.max(after.unwrap_or_default().min(settings.cap))
    }

    fn now(&self) -> Timestamp {
        let millis = i64::try_from(self.clock.unix_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
    }

    fn delivered(&self, message: &Message, status: u16) {
        let last = LastDelivery {
            at: self.now(),
            id: message.id.clone(),
            event: message.event,
            about: message.about.clone(),
            status,
        };
        self.outbox.with(|inside| {
            inside.failures_in_a_row = 0;
            inside.last_delivery = Some(last);
        });
    }

    fn failed(&self, message: &Message, webhook: &str, failure: &Failure, pause: Option<Duration>) {
        self.counts.tried(failure.result);
        let (event, about, error) = (message.event.as_str(), &message.about, &failure.words);
        if let Some(pause) = pause {
            tracing::warn!(webhook, event, %about, %error, ?pause, "a message is not delivered; tried again");
        } else {
            tracing::error!(webhook, event, %about, %error, "a message is given up");
        }
        let now = self.now();
        let last = LastFailure { at: now, id: message.id.clone(), error: error.clone() };
        self.outbox.with(|inside| {
            inside.failures_in_a_row = inside.failures_in_a_row.saturating_add(1);
            inside.last_failure = Some(last);
            inside.next_try = pause.and_then(|pause| now.checked_add(pause).ok());
        });
    }
}
