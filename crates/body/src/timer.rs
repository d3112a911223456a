//! Timers that are moved far more often than they fire.
//!
//! A deadline is set for each request and an idle limit is put off by each byte, yet hardly
//! one ever fires. Registering with the runtime's timer wheel each time would cost more than
//! the proxying around it. A [`LazyTimer`] stays registered for the moment it was first armed
//! for; a later deadline is only a store, and when the wheel wakes it too early it looks at
//! the deadline that holds by then and goes back to sleep.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is cheap to move later.
#[derive(Debug)]
pub struct LazyTimer {
    sleep: Pin<Box<Sleep>>,
    deadline: Instant,
}

impl LazyTimer {
    /// A timer for `deadline`.
    #[must_use]
    pub fn new(deadline: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(deadline)), deadline }
    }

    /// Moves the timer. Only moving it before the moment it sleeps until touches the wheel.
    pub fn arm(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(deadline);
        }
    }

    /// Ready once the deadline has passed.
    pub fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if Instant::now() >= self.deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.deadline);
        }
    }
}

/// Tells when nothing has happened for a while.
///
/// The clock starts when the owner first finds itself waiting and stops with each bit of
/// progress, so that time spent by others (a slow reader of the answer) does not count.
#[derive(Debug, Default)]
pub struct IdleTimer {
    timer: Option<LazyTimer>,
    waiting: bool,
}

impl IdleTimer {
    /// Uses `timer`, which may have been armed for something else before.
    #[must_use]
    pub fn reusing(timer: LazyTimer) -> Self {
        Self { timer: Some(timer), waiting: false }
    }

    /// Something came: the next wait starts anew.
    pub fn progress(&mut self) {
        self.waiting = false;
    }

    /// Called while nothing comes; ready when that has lasted for `limit`.
    pub fn poll_idle(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waiting {
            self.waiting = true;
            let deadline = Instant::now() + limit;
            match &mut self.timer {
                Some(timer) => timer.arm(deadline),
                None => self.timer = Some(LazyTimer::new(deadline)),
            }
        }
        match &mut self.timer {
            Some(timer) => timer.poll_passed(cx),
            None => Poll::Pending,
        }
    }

    /// Gives the timer back for reuse.
    pub fn into_timer(&mut self) -> Option<LazyTimer> {
        self.timer.take()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::time::{Instant, advance};
    use tokio_test::{assert_pending, assert_ready, task};

    use super::{IdleTimer, LazyTimer};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_deadline_moved_later_does_not_fire_at_the_earlier_one() {
        let start = Instant::now();
        let mut timer = LazyTimer::new(start + SECOND);
        timer.arm(start + 5 * SECOND);
        poll_fn(|cx| timer.poll_passed(cx)).await;
        assert_eq!(start.elapsed(), 5 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_moved_earlier_fires_early_and_can_be_used_again() {
        let start = Instant::now();
        let mut timer = LazyTimer::new(start + 60 * SECOND);
        timer.arm(start + SECOND);
        poll_fn(|cx| timer.poll_passed(cx)).await;
        assert_eq!(start.elapsed(), SECOND);
        timer.arm(Instant::now() + 2 * SECOND);
        poll_fn(|cx| timer.poll_passed(cx)).await;
        assert_eq!(start.elapsed(), 3 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_unbroken_wait_is_idle() {
        let mut idle = IdleTimer::default();
        let mut wait = task::spawn(());
        for _ in 0..10 {
            assert_pending!(wait.enter(|cx, _| idle.poll_idle(SECOND, cx)));
            advance(SECOND * 9 / 10).await;
            idle.progress();
        }
        assert_pending!(wait.enter(|cx, _| idle.poll_idle(SECOND, cx)));
        advance(SECOND + Duration::from_millis(1)).await;
        assert_ready!(wait.enter(|cx, _| idle.poll_idle(SECOND, cx)));
    }
}
