//! What the hand-over protocol is made of: counters and a lock.
//!
//! They are a type parameter so that the very code that runs in production also runs under
//! `shuttle`, which tries thread orders; see `races.rs`. Everything that only measures (waits,
//! outcomes, rates) uses the standard library's atomics directly: no permit depends on it.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicU32, Ordering},
};

/// A counter that many threads change. All operations are sequentially consistent: the
/// protocol of [`Line`](super::Line) rests on a total order of "counts down, then looks for
/// waiters" and "counts a waiter, then looks for room".
pub trait Count: Debug + Send + Sync {
    /// A counter that begins at `value`.
    fn new(value: u32) -> Self;
    /// The present value.
    fn load(&self) -> u32;
    /// Sets the value.
    fn store(&self, value: u32);
    /// One more.
    fn up(&self);
    /// One less.
    fn down(&self);
    /// Sets `new` where the value is `current`; `Err` tells the value found.
    fn swap_if(&self, current: u32, new: u32) -> Result<u32, u32>;
}

impl Count for AtomicU32 {
    fn new(value: u32) -> Self {
        Self::new(value)
    }

    fn load(&self) -> u32 {
        self.load(Ordering::SeqCst)
    }

    fn store(&self, value: u32) {
        self.store(value, Ordering::SeqCst);
    }

    fn up(&self) {
        self.fetch_add(1, Ordering::SeqCst);
    }

    fn down(&self) {
        self.fetch_sub(1, Ordering::SeqCst);
    }

    fn swap_if(&self, current: u32, new: u32) -> Result<u32, u32> {
        self.compare_exchange_weak(current, new, Ordering::SeqCst, Ordering::SeqCst)
    }
}

/// A mutual exclusion around a value.
pub trait Lock<T>: Debug + Send + Sync {
    /// A lock around `value`.
    fn new(value: T) -> Self;
    /// Runs `work` alone.
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R;
}

impl<T: Debug + Send> Lock<T> for parking_lot::Mutex<T> {
    fn new(value: T) -> Self {
        Self::new(value)
    }

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.lock())
    }
}

/// A family of counter and lock.
pub trait Atoms: Debug + Sized + Send + Sync + 'static {
    /// The counter.
    type Count: Count;
    /// The lock.
    type Lock<T: Debug + Send>: Lock<T>;
}

/// What production uses: the processor's atomics and `parking_lot`.
#[derive(Clone, Copy, Debug)]
pub struct Native;

impl Atoms for Native {
    type Count = AtomicU32;
    type Lock<T: Debug + Send> = parking_lot::Mutex<T>;
}
