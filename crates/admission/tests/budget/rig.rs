//! One budget, and answers that come in chosen pieces and end in a chosen way.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use sluicegate_admission::budget::{Budgets, Dialect, Estimate, Ledger, Metered, Reservation, Rule};
use sluicegate_core::Facts;
use tokio::time::Instant;

use crate::shapes::Shape;

/// So slow that nothing comes back within a test.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct Rig {
    pub(crate) ledger: Ledger,
    registry: Registry,
}

impl Rig {
    pub(crate) fn new(burst: u64) -> Self {
        let mut registry = Registry::default();
        let rule = Rule::new(1, DAY, burst).unwrap();
        let ledger = Budgets::new(&mut registry).ledger("llm", rule, Instant::now());
        Self { ledger, registry }
    }

    pub(crate) fn answer(&self, shape: &Shape, estimate: Estimate, body: Pieces, strip: bool) -> Answer {
        let reservation = self.ledger.reserve(Some("acme"), estimate, Instant::now()).unwrap();
        Answer::new(shape, reservation, body, strip)
    }

    /// As [`Rig::answer`], if the budget lets it in.
    pub(crate) fn try_answer(&self, shape: &Shape, estimate: Estimate, body: Pieces) -> Option<Answer> {
        let reservation = self.ledger.reserve(Some("acme"), estimate, Instant::now()).ok()?;
        Some(Answer::new(shape, reservation, body, true))
    }

    /// A stream of events that is cut where the budget is used up, if it lets it in.
    pub(crate) fn cutting(
        &self,
        estimate: Estimate,
        body: Pieces,
        dialect: Dialect,
        strip: bool,
        facts: Option<Facts>,
    ) -> Option<Answer> {
        let reservation = self.ledger.reserve(Some("acme"), estimate, Instant::now()).ok()?;
        let (mut head, ()) = Response::builder().body(()).unwrap().into_parts();
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("999999"));
        let body = Metered::new(&mut head, body, reservation, strip).cutting(&mut head, dialect, facts);
        Some(Answer { head: head.headers, body: Box::pin(body) })
    }

    /// What the tenant was charged and has not given back, also beyond its burst.
    pub(crate) fn charged(&self) -> u64 {
        let standing = self.ledger.standing(Some("acme"), Instant::now());
        self.ledger.rule().burst() - standing.available + standing.debt
    }

    /// The sum of a metric's samples of which the labels contain `labels`.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines()
            .filter(|line| line.starts_with(&format!("sluicegate_budget_{name}{{")) && line.contains(labels))
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum()
    }

    /// Nothing is under way, and what was charged is what requests were settled at.
    pub(crate) fn books_balance(&self) {
        assert_eq!(self.metric("reservations", ""), 0);
        assert_eq!(self.metric("held_tokens", ""), 0);
        assert_eq!(self.metric("tokens_total", ""), self.charged());
    }
}

pub(crate) struct Answer {
    pub(crate) head: HeaderMap,
    pub(crate) body: Pin<Box<Metered<Pieces>>>,
}

impl Answer {
    fn new(shape: &Shape, reservation: Reservation, body: Pieces, strip: bool) -> Self {
        let (mut head, ()) = Response::builder().status(shape.status).body(()).unwrap().into_parts();
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(shape.content_type));
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(shape.body.len()));
        let body = Metered::new(&mut head, body, reservation, strip);
        Self { head: head.headers, body: Box::pin(body) }
    }

    /// Reads to the end or the error, with a pause after each frame; gives the bytes.
    pub(crate) async fn read(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        while let Some(Ok(frame)) = self.body.frame().await {
            if let Ok(data) = frame.into_data() {
                assert!(!data.is_empty());
                read.extend_from_slice(&data);
            }
            tokio::task::yield_now().await;
        }
        read
    }
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    Trailers,
    Fails,
    /// It never does: the client must leave.
    Hangs,
}

pub(crate) struct Pieces {
    pieces: VecDeque<Bytes>,
    end: Option<End>,
}

#[derive(Debug, thiserror::Error)]
#[error("the upstream broke off")]
pub(crate) struct Broken;

impl Pieces {
    pub(crate) fn new(pieces: impl IntoIterator<Item = Bytes>, end: End) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        Self { pieces, end: Some(end) }
    }

    /// `body` up to `upto`, cut at each of `cuts`.
    pub(crate) fn cut(body: &'static str, upto: usize, cuts: &[usize], end: End) -> Self {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| (*cut).min(upto)).chain([0, upto]).collect();
        cuts.sort_unstable();
        let body = Bytes::from_static(body.as_bytes());
        Self::new(cuts.windows(2).map(|pair| body.slice(pair[0]..pair[1])).collect::<Vec<_>>(), end)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match self.end {
            Some(End::Hangs) => Poll::Pending,
            Some(End::Fails) => {
                self.end = None;
                Poll::Ready(Some(Err(Broken)))
            }
            Some(End::Trailers) => {
                self.end = None;
                Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new()))))
            }
            Some(End::Whole) | None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && matches!(self.end, None | Some(End::Whole))
    }
}
