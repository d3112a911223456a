//! What waits to be written.
//!
//! Lines and orders stand in one line, so that an order holds from where it was given. Lines are
//! bounded in number and bytes; orders come from people and are not counted, but a second one in
//! a row takes the place of the first where it says the same.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::LogSettings;

/// The most lines that wait to be written.
pub const MOST_LINES: usize = 4096;

/// The most bytes of lines that wait to be written.
pub const MOST_BYTES: usize = 16 << 20;

/// Something for the thread to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Write a line.
    Line(String),
    /// Go on with other settings.
    Set(LogSettings),
    /// Open the file anew.
    Reopen,
}

#[derive(Debug, Default)]
struct Waiting {
    orders: VecDeque<Order>,
    lines: usize,
    bytes: usize,
    closed: bool,
    ended: bool,
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    ended: Condvar,
}

impl Queue {
    /// Puts a line in. False where there is no room, or nobody who writes.
    pub(super) fn push(&self, line: String) -> bool {
        let mut waiting = self.waiting.lock();
        let is_full = waiting.lines >= MOST_LINES || waiting.bytes + line.len() > MOST_BYTES;
        if is_full || waiting.closed {
            return false;
        }
        waiting.lines += 1;
        waiting.bytes += line.len();
        waiting.orders.push_back(Order::Line(line));
        drop(waiting);
        self.changed.notify_one();
        true
    }

    /// Puts an order in.
    pub(super) fn order(&self, order: Order) {
        let mut waiting = self.waiting.lock();
        match (waiting.orders.back_mut(), order) {
            (Some(Order::Reopen), Order::Reopen) => {}
            (Some(Order::Set(last)), Order::Set(settings)) => *last = settings,
            (_, order) => waiting.orders.push_back(order),
        }
        drop(waiting);
        self.changed.notify_one();
    }

    /// Waits for something to do; nothing comes once it is closed and empty.
    pub(super) fn next(&self) -> Option<Order> {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(order) = waiting.orders.pop_front() {
                if let Order::Line(line) = &order {
                    waiting.lines -= 1;
                    waiting.bytes -= line.len();
                }
                return Some(order);
            }
            if waiting.closed {
                return None;
            }
            self.changed.wait(&mut waiting);
        }
    }

    /// No more comes in.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.changed.notify_one();
    }

    /// Nobody takes anything out any more.
    pub(super) fn end(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.ended = true;
        drop(waiting);
        self.ended.notify_all();
    }

    /// Waits for [`Queue::end`]; false where it does not come in time.
    pub(super) fn wait_for_end(&self, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        let mut waiting = self.waiting.lock();
        while !waiting.ended {
            if self.ended.wait_until(&mut waiting, until).timed_out() {
                return waiting.ended;
            }
        }
        true
    }
}
