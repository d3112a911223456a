//! The timers of a connection.
//!
//! Three of them, none of which costs a timer operation per request:
//!
//! - `header_read`: a head that has begun must be whole in time;
//! - `idle`: a connection with nothing in flight does not rest for ever;
//! - `write_stall`: a client that takes no byte of its answer does not hold it for ever.
//!
//! [`Activity`] is where the connection stands: the IO wrapper and the service store into it
//! as things happen. [`Alarm`] is one timer per connection, polled by the task that drives it.
//! A deadline that moves later is only stored: the alarm finds out when it rings, and sleeps
//! on. It is set anew only for a deadline that comes sooner than it would ring.
//!
//! ```text
//! Fresh --byte--> Head --request--> Busy --last answer ended--> Idle --byte--> Head ...
//! ```
//!
//! HTTP/2 knows only `Idle` and `Busy`: its heads arrive in frames that the protocol bounds.
//! A request body that goes on after its answer has ended is not told from a next head; it is
//! then held to `header_read`.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

use crate::ConnSettings;

const NEVER: u64 = u64::MAX;

/// How long a connection that has not asked for anything may still do so once the server
/// closes: its request may be on the way.
pub(crate) const LAST_CHANCE: Duration = Duration::from_secs(1);

/// How long a connection at rest is kept once the server closes: its next request may have
/// arrived without having been read.
pub(crate) const LAST_MOMENT: Duration = Duration::from_millis(50);

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No byte of a first request yet.
    Fresh = 0,
    /// Nothing in flight.
    Idle = 1,
    /// A request's head has begun.
    Head = 2,
    /// At least one request is in flight.
    Busy = 3,
}

/// A deadline that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// A head was not whole in time. `begun`: at least one byte of it came.
    Header { begun: bool },
    /// Nothing was asked for in time.
    Idle,
    /// The client took nothing in time.
    WriteStall,
}

/// Where the connection stands and until when. Written by one thread; atomic because the IO
/// of an upgraded connection must be `Send`.
#[derive(Debug)]
pub(crate) struct Activity {
    /// Whether heads show as bytes: HTTP/1.1.
    heads: bool,
    start: Instant,
    header_read: u64,
    write_stall: u64,
    idle: AtomicU64,
    phase: AtomicU8,
    /// Microseconds after `start`.
    due: AtomicU64,
    /// Microseconds after `start`; `NEVER` while writes go through.
    stalled: AtomicU64,
    in_flight: AtomicU32,
    asked: AtomicBool,
    body_sent: AtomicBool,
}

fn micros(duration: Duration) -> u64 {
    // Half of the range is 292,000 years and keeps sums from wrapping.
    u64::try_from(duration.as_micros()).unwrap_or(NEVER).min(NEVER / 4)
}

impl Activity {
    /// An HTTP/1.1 connection whose first head must be whole `within`.
    pub(crate) fn http1(settings: &ConnSettings, within: Duration) -> Self {
        Self::new(settings, true, Phase::Fresh, micros(within))
    }

    /// An HTTP/2 connection.
    pub(crate) fn http2(settings: &ConnSettings) -> Self {
        Self::new(settings, false, Phase::Idle, micros(settings.idle))
    }

    /// No connection at all. Needs no runtime.
    pub(crate) fn detached(settings: &ConnSettings) -> Self {
        Self::new(settings, false, Phase::Idle, NEVER)
    }

    fn new(settings: &ConnSettings, heads: bool, phase: Phase, due: u64) -> Self {
        Self {
            heads,
            start: Instant::now(),
            header_read: micros(settings.header_read),
            write_stall: micros(settings.write_stall),
            idle: AtomicU64::new(micros(settings.idle)),
            phase: AtomicU8::new(phase as u8),
            due: AtomicU64::new(due),
            stalled: AtomicU64::new(NEVER),
            in_flight: AtomicU32::new(0),
            asked: AtomicBool::new(false),
            body_sent: AtomicBool::new(false),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Fresh,
            1 => Phase::Idle,
            2 => Phase::Head,
            _ => Phase::Busy,
        }
    }

    /// Whether a request has ever been made.
    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Relaxed)
    }

    /// Whether the last request came with a body, some of which may still be on its way.
    pub(crate) fn body_sent(&self) -> bool {
        self.body_sent.load(Relaxed)
    }

    /// Whether the client is behind with taking what was sent.
    pub(crate) fn write_blocked(&self) -> bool {
        self.stalled.load(Relaxed) != NEVER
    }

    /// Bytes came in.
    pub(crate) fn bytes_read(&self) {
        if !self.heads {
            return;
        }
        match self.phase() {
            // Its time runs since the accept.
            Phase::Fresh => self.phase.store(Phase::Head as u8, Relaxed),
            Phase::Idle => self.enter(Phase::Head, self.now() + self.header_read),
            Phase::Head | Phase::Busy => {}
        }
    }

    pub(crate) fn request_began(&self, with_body: bool) {
        self.body_sent.store(with_body, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        self.asked.store(true, Relaxed);
        self.enter(Phase::Busy, NEVER);
    }

    pub(crate) fn request_ended(&self) {
        if self.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.enter(Phase::Idle, self.now() + self.idle.load(Relaxed));
        }
    }

    /// A write went through only in part, or not at all.
    pub(crate) fn write_pending(&self, moved: bool) {
        if moved || !self.write_blocked() {
            self.stalled.store(self.now() + self.write_stall, Relaxed);
        }
    }

    /// A write went through whole.
    pub(crate) fn write_done(&self) {
        if self.write_blocked() {
            self.stalled.store(NEVER, Relaxed);
            if self.phase() == Phase::Idle {
                // The rest of an answer was still on its way: resting begins now.
                self.due.store(self.now() + self.idle.load(Relaxed), Relaxed);
            }
        }
    }

    /// The wait for a request ends after `limit` at the latest. Calling it again does not put
    /// the end off.
    pub(crate) fn hurry(&self, limit: Duration) {
        if matches!(self.phase(), Phase::Fresh | Phase::Idle) {
            self.due.fetch_min(self.now() + micros(limit), Relaxed);
        }
    }

    /// The peer was told that this is the end: from now on a rest lasts as long as a head may
    /// take, which is what the peer gets to leave.
    pub(crate) fn farewell(&self) {
        self.idle.fetch_min(self.header_read, Relaxed);
        if self.phase() == Phase::Idle {
            self.due.store(self.now() + self.idle.load(Relaxed), Relaxed);
        }
    }

    fn enter(&self, phase: Phase, due: u64) {
        self.phase.store(phase as u8, Relaxed);
        self.due.store(due, Relaxed);
    }

    fn now(&self) -> u64 {
        micros(self.start.elapsed())
    }

    /// The next deadline, in microseconds after `start`.
    fn next(&self) -> u64 {
        self.due.load(Relaxed).min(self.stalled.load(Relaxed))
    }

    fn expired(&self, now: u64) -> Option<Expired> {
        if self.stalled.load(Relaxed) <= now {
            return Some(Expired::WriteStall);
        }
        if self.due.load(Relaxed) > now {
            return None;
        }
        match self.phase() {
            Phase::Fresh => Some(Expired::Header { begun: false }),
            Phase::Head => Some(Expired::Header { begun: true }),
            Phase::Idle => Some(Expired::Idle),
            Phase::Busy => None,
        }
    }

    /// How long the alarm sleeps when no deadline is set: often enough to notice one that was
    /// set by another task than the connection's own.
    fn nap(&self) -> u64 {
        self.idle.load(Relaxed).max(1000)
    }
}

/// The one timer of a connection.
#[derive(Debug)]
pub(crate) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// When it rings, in microseconds after the activity's start.
    rings: u64,
}

impl Alarm {
    pub(crate) fn new(activity: &Activity) -> Self {
        let rings = activity.next().min(activity.now() + activity.nap());
        Self { sleep: Box::pin(tokio::time::sleep_until(at(activity, rings))), rings }
    }

    /// Ready when a deadline has passed.
    pub(crate) fn poll(&mut self, activity: &Activity, cx: &mut Context<'_>) -> Poll<Expired> {
        loop {
            let next = activity.next();
            if next < self.rings {
                self.set(activity, next);
            }
            ready!(self.sleep.as_mut().poll(cx));
            let now = activity.now();
            if let Some(expired) = activity.expired(now) {
                return Poll::Ready(expired);
            }
            self.set(activity, activity.next().min(now + activity.nap()).max(now + 1));
        }
    }

    fn set(&mut self, activity: &Activity, rings: u64) {
        self.rings = rings;
        self.sleep.as_mut().reset(at(activity, rings));
    }
}

fn at(activity: &Activity, micros: u64) -> Instant {
    after(activity.start, Duration::from_micros(micros))
}

/// `start` and `later` added up; what is too far away to be told is as good as a year.
pub(crate) fn after(start: Instant, later: Duration) -> Instant {
    start.checked_add(later).unwrap_or_else(|| start + Duration::from_secs(31_536_000))
}

#[cfg(test)]
mod tests;
