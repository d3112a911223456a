//! A value that is replaced whole while others read it.
//!
//! Readers take no lock and never wait; writers are few (an operator, a reload, a timer) and
//! are serialised, so that an update built from the present value is never lost. Each
//! change raises a version that can be waited for: long polls and event streams follow it.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

/// A value read without locks and replaced whole.
#[derive(Debug)]
pub struct Live<T> {
    value: ArcSwap<T>,
    /// Serialises writers; holds the version, which rises by one with each change.
    version: watch::Sender<u64>,
}

impl<T> Live<T> {
    /// Starts with `value` at version 1.
    pub fn new(value: T) -> Self {
        Self { value: ArcSwap::from_pointee(value), version: watch::Sender::new(1) }
    }

    /// The present value. Do not hold the guard across an await.
    pub fn load(&self) -> Guard<Arc<T>> {
        self.value.load()
    }

    /// The present value, to keep.
    pub fn load_full(&self) -> Arc<T> {
        self.value.load_full()
    }

    /// Replaces the value by what `change` makes of it, unless that is `None`. Returns the
    /// version after the call.
    ///
    /// Concurrent updates run one after another. `change` must not call back into this value.
    pub fn update(&self, change: impl FnOnce(&Arc<T>) -> Option<T>) -> u64 {
        self.version.send_if_modified(|version| match change(&self.value.load_full()) {
            Some(next) => {
                self.value.store(Arc::new(next));
                *version += 1;
                true
            }
            None => false,
        });
        self.version()
    }

    /// Replaces the value. Returns the version after the call.
    pub fn store(&self, value: T) -> u64 {
        self.update(|_| Some(value))
    }

    /// The present version.
    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Follows changes of the version.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Live;

    #[tokio::test]
    async fn a_change_raises_the_version_and_wakes_those_who_wait() {
        let live = Arc::new(Live::new(1));
        let mut seen = live.subscribe();
        assert_eq!(live.update(|_| None), 1);
        let writer = live.clone();
        tokio::spawn(async move { writer.store(5) });
        seen.changed().await.unwrap();
        assert_eq!((**live.load(), live.version()), (5, 2));
    }

    #[test]
    fn concurrent_updates_are_never_lost() {
        let live = Live::new(0u64);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).map(|_| live.update(|n| Some(**n + 1))).max());
            }
        });
        assert_eq!((**live.load(), live.version()), (4000, 4001));
    }
}
