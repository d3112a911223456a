//! What an exchange holds on to after its client has left.
//!
//! A fence carries a keyed write to its end whether or not the client still waits. The layers
//! further out (a freeze's count, a permit) are dropped with the client, but what they guard
//! still runs; so they hand their guards over to the exchange, and let go when it is over.

use std::fmt;

use parking_lot::Mutex;

/// The guards that an exchange holds on to; none while it does not outlive its client.
#[derive(Debug, Default)]
pub(crate) struct Outliving(Mutex<Option<Vec<Kept>>>);

/// A guard that is held until the exchange is over.
struct Kept(#[expect(dead_code, reason = "it does its work when it is dropped")] Box<dyn Send>);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl Outliving {
    pub(crate) fn begin(&self) {
        self.0.lock().get_or_insert_default();
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.lock().is_some()
    }

    pub(crate) fn keep(&self, guard: impl Send + 'static) {
        let mut outliving = self.0.lock();
        if let Some(kept) = outliving.as_mut() {
            kept.push(Kept(Box::new(guard)));
        } else {
            // A guard may look at the exchange when it is dropped.
            drop(outliving);
            drop(guard);
        }
    }

    pub(crate) fn end(&self) {
        let kept = self.0.lock().take();
        drop(kept);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::Outliving;

    struct Guard(Arc<AtomicUsize>);

    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn guards_are_held_for_an_exchange_that_outlives_them_and_for_no_other() {
        let exchange = Outliving::default();
        let dropped = Arc::new(AtomicUsize::new(0));
        exchange.keep(Guard(dropped.clone()));
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        assert!(!exchange.is_on());
        exchange.begin();
        assert!(exchange.is_on());
        exchange.keep(Guard(dropped.clone()));
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        exchange.end();
        assert!(!exchange.is_on());
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
        exchange.keep(Guard(dropped.clone()));
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
    }
}
