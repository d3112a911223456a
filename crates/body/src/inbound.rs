//! A client's request body, under its limits.
//!
//! It refuses to grow past the route's size limit and to stay silent past the idle timeout.
//! Whatever breaks it is noted in the request's [`Facts`] before the error goes on, because
//! the error itself ends up inside the upstream connection, which can only say "the body
//! failed"; the proxy path reads the fact to tell the client what really happened. After an
//! error the upstream message is aborted and can never look complete.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use sluicegate_core::{BoxError, Facts, facts::BodyFault};

use crate::timer::IdleTimer;

/// A route's limits on request bodies; a part of its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// The most bytes a body may have; none means no limit.
    pub max: Option<u64>,
    /// How long no byte may come.
    pub idle: Duration,
}

/// Why a request body was broken off.
#[derive(Debug, thiserror::Error)]
pub enum InboundError {
    /// No byte came in time.
    #[error("no byte of the request body came for {0:?}")]
    Idle(Duration),
    /// It grew past the limit.
    #[error("the request body is larger than {0} bytes")]
    TooLarge(u64),
    /// The client broke it off, or its framing is wrong.
    #[error("the request body broke off: {0}")]
    Broken(BoxError),
}

pin_project! {
    /// A request body under the limits of the route that its request matched.
    #[derive(Debug)]
    pub struct Inbound<B> {
        #[pin]
        inner: B,
        facts: Facts,
        before_match: BodyLimits,
        read: u64,
        idle: IdleTimer,
    }
}

impl<B> Inbound<B> {
    /// Wraps `inner`. `before_match` holds while no route has been settled.
    pub fn new(inner: B, facts: Facts, before_match: BodyLimits) -> Self {
        Self { inner, facts, before_match, read: 0, idle: IdleTimer::default() }
    }
}

impl<B> Body for Inbound<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = InboundError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, InboundError>>> {
        let this = self.project();
        let limits = this.facts.part::<BodyLimits>().unwrap_or(this.before_match);
        let (fault, error) = match this.inner.poll_frame(cx) {
            Poll::Pending => {
                if this.idle.poll_idle(limits.idle, cx).is_pending() {
                    return Poll::Pending;
                }
                (BodyFault::Idle, InboundError::Idle(limits.idle))
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => (BodyFault::Broken, InboundError::Broken(error.into())),
            Poll::Ready(Some(Ok(frame))) => {
                this.idle.progress();
                *this.read += frame.data_ref().map_or(0, |data| data.len() as u64);
                match limits.max {
                    Some(max) if *this.read > max => (BodyFault::TooLarge, InboundError::TooLarge(max)),
                    _ => return Poll::Ready(Some(Ok(frame))),
                }
            }
        };
        this.facts.body_failed(fault);
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use bytes::Bytes;
    use http::HeaderValue;
    use http_body_util::{BodyExt, Full, channel::Channel};
    use sluicegate_core::{Facts, facts::BodyFault};
    use tokio::time::Instant;

    use super::{BodyLimits, Inbound, InboundError};

    fn facts() -> Facts {
        Facts::new(HeaderValue::from_static("r"), None, Instant::now(), false)
    }

    const LIMITS: BodyLimits = BodyLimits { max: Some(4), idle: Duration::from_secs(1) };

    #[tokio::test]
    async fn a_body_at_the_limit_passes_and_one_byte_more_does_not() {
        let at = Inbound::new(Full::new(Bytes::from_static(b"four")), facts(), LIMITS);
        assert_eq!(at.collect().await.unwrap().to_bytes(), "four");
        let over = facts();
        let body = Inbound::new(Full::new(Bytes::from_static(b"fives")), over.clone(), LIMITS);
        assert!(matches!(body.collect().await, Err(InboundError::TooLarge(4))));
        assert_eq!(over.body_fault(), Some(BodyFault::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_and_a_drip_does_not() {
        let facts = facts();
        let (mut sender, channel) = Channel::<Bytes, Infallible>::new(1);
        let drip = tokio::spawn(async move {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(900)).await;
                sender.send_data(Bytes::from_static(b"x")).await.unwrap();
            }
            sender
        });
        let mut body = Inbound::new(channel, facts.clone(), LIMITS);
        for _ in 0..4 {
            assert!(body.frame().await.unwrap().is_ok());
        }
        let _open = drip.await.unwrap();
        assert!(matches!(body.frame().await, Some(Err(InboundError::Idle(_)))));
        assert_eq!(facts.body_fault(), Some(BodyFault::Idle));
    }

    #[tokio::test]
    async fn a_broken_body_is_noted() {
        let facts = facts();
        let (sender, channel) = Channel::<Bytes, std::io::Error>::new(1);
        sender.abort(std::io::Error::other("bad chunk"));
        let body = Inbound::new(channel, facts.clone(), LIMITS);
        assert!(matches!(body.collect().await, Err(InboundError::Broken(_))));
        assert_eq!(facts.body_fault(), Some(BodyFault::Broken));
    }
}
