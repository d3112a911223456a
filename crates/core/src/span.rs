//! Spans: what a trace tells of one request, and of each of its tries.
//!
//! A span is begun where something begins ([`OpenSpan`]) and is handed over when that guard is
//! dropped, however it came to its end. What becomes of it is the [`SpanSink`]'s affair, which never
//! waits. Only requests whose trace is sampled have any: [`Facts::traced`](crate::Facts::traced)
//! tells, and what is not sampled costs that one look.
//!
//! Names of attributes are those of the semantic conventions of OpenTelemetry where they have one.

use std::{
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::Instant;

/// The header that names a trace and the span that asks (W3C Trace Context).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header with what others add to it.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Texts are cut after so many bytes: clients choose some of them, and spans are kept in memory.
const LONGEST: usize = 1024;

/// Takes spans that are over.
pub trait SpanSink: std::fmt::Debug + Send + Sync {
    /// Takes one, or drops it; never waits.
    fn take(&self, span: Span);
}

/// Whose part a span tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Of one who is asked.
    Server,
    /// Of one who asks.
    Client,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanValue {
    /// A text.
    Text(Box<str>),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl From<&str> for SpanValue {
    fn from(text: &str) -> Self {
        let mut end = text.len().min(LONGEST);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self::Text(text[..end].into())
    }
}

impl From<u16> for SpanValue {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for SpanValue {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for SpanValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// A span that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace that it is a part of.
    pub trace: u128,
    /// Its own id.
    pub id: NonZeroU64,
    /// The span that asked for it; none where the trace begins with it.
    pub parent: Option<NonZeroU64>,
    /// What others have added to the trace (`tracestate`).
    pub state: Box<str>,
    /// Whose part it tells.
    pub kind: SpanKind,
    /// Its name: of few kinds, nothing that a client chooses.
    pub name: String,
    /// When it began.
    pub began: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What it tells.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// Whether it failed.
    pub failed: bool,
}

/// What `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: u128,
    /// The span that asks.
    pub span: NonZeroU64,
    /// Whether the trace is sampled.
    pub sampled: bool,
}

impl TraceParent {
    /// The one in `headers`, where it is well formed.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(TRACEPARENT)?.to_str().ok()?;
        let trace = u128::from_str_radix(text.get(3..35)?, 16).ok()?;
        let span = u64::from_str_radix(text.get(36..52)?, 16).ok()?;
        let flags = u8::from_str_radix(text.get(53..55)?, 16).ok()?;
        Some(Self { trace, span: NonZeroU64::new(span)?, sampled: flags & 1 == 1 })
    }

    /// As the header is written.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        let text = format!("00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled));
        // Only hexadecimal digits and dashes are ever written.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    }
}

/// A sampled request: what its tries' spans are children of.
#[derive(Clone, Debug)]
pub struct Traced {
    /// The trace.
    pub trace: u128,
    /// The request's own span.
    pub span: NonZeroU64,
    /// What others have added to the trace.
    pub state: Box<str>,
    /// Where spans go.
    pub sink: Arc<dyn SpanSink>,
}

impl Traced {
    /// Begins a span below the request's own.
    #[must_use]
    pub fn child(&self, id: u64, kind: SpanKind, name: String) -> Box<OpenSpan> {
        OpenSpan::begin(self, (span_id(id), Some(self.span)), kind, name)
    }

    /// Begins the request's own span, below that of whoever asked.
    #[must_use]
    pub fn begin(&self, parent: Option<NonZeroU64>, kind: SpanKind, name: String) -> Box<OpenSpan> {
        OpenSpan::begin(self, (self.span, parent), kind, name)
    }
}

/// The method as spans name it; none for those that clients make up.
#[must_use]
pub fn method_name(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|name| *name == method.as_str())
}

/// Random bits as the id of a span, which is never zero.
#[must_use]
pub fn span_id(bits: u64) -> NonZeroU64 {
    NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN)
}

/// A span that has begun; it is handed over when it is dropped.
#[derive(Debug)]
pub struct OpenSpan {
    /// Taken when it ends.
    span: Option<Span>,
    since: Instant,
    sink: Arc<dyn SpanSink>,
}

impl OpenSpan {
    fn begin(
        traced: &Traced,
        (id, parent): (NonZeroU64, Option<NonZeroU64>),
        kind: SpanKind,
        name: String,
    ) -> Box<Self> {
        let span = Span {
            trace: traced.trace,
            id,
            parent,
            state: traced.state.clone(),
            kind,
            name,
            began: SystemTime::now(),
            took: Duration::ZERO,
            attributes: Vec::with_capacity(16),
            failed: false,
        };
        Box::new(Self { span: Some(span), since: Instant::now(), sink: traced.sink.clone() })
    }

    /// What names it as the parent of what is sent meanwhile.
    #[must_use]
    pub fn traceparent(&self) -> Option<HeaderValue> {
        let span = self.span.as_ref()?;
        Some(TraceParent { trace: span.trace, span: span.id, sampled: true }.value())
    }

    /// It is called otherwise, now that more is known.
    pub fn rename(&mut self, name: String) {
        if let Some(span) = &mut self.span {
            span.name = name;
        }
    }

    /// Tells something.
    pub fn put(&mut self, key: &'static str, value: impl Into<SpanValue>) {
        if let Some(span) = &mut self.span {
            span.attributes.push((key, value.into()));
        }
    }

    /// It failed, and how: `error.type`, one of few words. Only the first call counts.
    pub fn fail(&mut self, how: &str) {
        if let Some(span) = self.span.as_mut().filter(|span| !span.failed) {
            span.failed = true;
            span.attributes.push(("error.type", how.into()));
        }
    }

    /// Nothing happened that would be worth telling.
    pub fn forget(&mut self) {
        self.span = None;
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            span.took = self.since.elapsed();
            self.sink.take(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    use http::{HeaderMap, HeaderValue};
    use tokio::time::advance;

    use super::{Span, SpanKind, SpanSink, SpanValue, TraceParent, Traced, span_id};

    #[derive(Debug, Default)]
    struct Kept(Mutex<Vec<Span>>);

    impl SpanSink for Kept {
        fn take(&self, span: Span) {
            self.0.lock().unwrap().push(span);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_span_is_told_when_it_is_dropped_unless_it_is_forgotten() {
        let kept = Arc::new(Kept::default());
        let traced = Traced { trace: 7, span: span_id(0), state: "a=1".into(), sink: kept.clone() };
        let own = traced.begin(Some(span_id(9)), SpanKind::Server, "GET".to_owned());
        let mut child = traced.child(3, SpanKind::Client, "GET".to_owned());
        assert_eq!(child.traceparent().unwrap(), format!("00-{:032x}-{:016x}-01", 7, 3).as_str());
        advance(Duration::from_millis(20)).await;
        child.put("long", "\u{e9}".repeat(2000).as_str());
        child.fail("reset");
        drop(child);
        traced.child(4, SpanKind::Client, String::new()).forget();
        drop(own);
        let spans = kept.0.lock().unwrap();
        let told: Vec<_> =
            spans.iter().map(|it| (it.id.get(), it.parent.map(std::num::NonZero::get))).collect();
        assert_eq!(told, [(3, Some(1)), (1, Some(9))]);
        assert_eq!((spans[0].took, spans[0].failed), (Duration::from_millis(20), true));
        let SpanValue::Text(long) = &spans[0].attributes[0].1 else { panic!("{spans:?}") };
        assert_eq!(long.len(), 1024);
    }

    #[test]
    fn a_parent_is_read_as_it_is_written() {
        let mut headers = HeaderMap::new();
        assert_eq!(TraceParent::of(&headers), None);
        for text in ["00-0000000000000000000000000000000a-000000000000000b-01", "no"] {
            headers.insert("traceparent", HeaderValue::from_static(text));
            let read = TraceParent::of(&headers).map(|it| it.value());
            assert_eq!(read.is_some_and(|it| it == text), text != "no");
        }
    }
}
