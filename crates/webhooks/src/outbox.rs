//! What a receiver is still to be told, and how it went so far.

use std::{collections::VecDeque, sync::Arc};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    message::Message,
    status::{LastDelivery, LastFailure},
};

/// The most messages that wait for one receiver.
pub const OUTBOX: usize = 1000;

/// The messages for one receiver, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    inside: Mutex<Inside>,
    wake: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Inside {
    waiting: VecDeque<Arc<Message>>,
    pub(crate) failures_in_a_row: u32,
    pub(crate) last_delivery: Option<LastDelivery>,
    pub(crate) last_failure: Option<LastFailure>,
    pub(crate) next_try: Option<Timestamp>,
}

impl Inside {
    pub(crate) fn pending(&self) -> usize {
        self.waiting.len()
    }
}

impl Outbox {
    /// Takes a message; false where there is no room for it.
    pub(crate) fn push(&self, message: Arc<Message>) -> bool {
        let mut inside = self.inside.lock();
        if inside.waiting.len() >= OUTBOX {
            return false;
        }
        inside.waiting.push_back(message);
        drop(inside);
        self.wake.notify_one();
        true
    }

    /// The oldest message, once there is one. It stays until [`Outbox::done`].
    pub(crate) async fn oldest(&self) -> Arc<Message> {
        loop {
            let oldest = self.inside.lock().waiting.front().cloned();
            match oldest {
                Some(message) => return message,
                None => self.wake.notified().await,
            }
        }
    }

    /// The oldest message is done with.
    pub(crate) fn done(&self) {
        let mut inside = self.inside.lock();
        inside.waiting.pop_front();
        inside.next_try = None;
    }

    pub(crate) fn pending(&self) -> usize {
        self.inside.lock().pending()
    }

    /// Looks at it, or notes something in it.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut Inside) -> R) -> R {
        look(&mut self.inside.lock())
    }
}
