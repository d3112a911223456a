//! What is known of one request.
//!
//! The ingress makes one [`Facts`] per request and puts it into the request's extensions;
//! every layer finds it there. It is one shared record and not a value per layer, so that
//! the ingress can still read, when the answer has been sent, what the layers below wrote.
//!
//! | fact | written by | read by |
//! |---|---|---|
//! | request id, client, received | ingress | all |
//! | [claims](Facts::claims) of a verified token, on routes that ask for one | classify, once | the rollout, the shadow, the fence |
//! | [`Classified`]: route plan, access, tenant, lane, cost, deadline, JSON-RPC id | classify, once | the guards, upstream, ingress |
//! | [`Attempt`] | upstream, tunnels | freeze, later the fence |
//! | [`Arm`] | the rollout, once; [fallback](Facts::fall_back): upstream | admission, upstream, ingress |
//! | [`BodyFault`] | the request body's own limits | upstream, to word the refusal |
//! | [`Doubt`]: it could not be told what the request does, so it is settled as a write | classify | freeze, ingress |
//! | [frozen over](Facts::freeze_covers): a freeze covers it, though it is a read and goes on | freeze | ingress |
//! | [cut](Facts::cut): the exchange must end with its client | freeze, admission | the fence |
//! | [deferred](Facts::defer): the write must be kept and not sent | freeze | the intents |
//! | [`Traced`]: its place in a trace that is sampled | ingress, once | upstream |
//! | [outliving](Facts::outlive): what the exchange holds on to after its client has left | the fence; guards further out | the fence |

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use http::{Extensions, HeaderMap, HeaderValue};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    arm::{Arm, Role},
    chance::Chance,
    claims::Claims,
    doubt::Doubt,
    outcome::Attempt,
    outlive::Outliving,
    plan::RoutePlan,
    refusal::Refusal,
    span::Traced,
};

/// Whether a request may change stored state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// It changes nothing.
    Read,
    /// It may change something.
    Write,
}

impl Access {
    /// What the method alone says (RFC 9110 section 9.2.1): the safe methods read, all else writes.
    #[must_use]
    pub fn of_method(method: &http::Method) -> Self {
        if method.is_safe() { Self::Read } else { Self::Write }
    }

    /// `read` or `write`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Who a request competes with: people who wait, or jobs that do not.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Somebody waits for the answer.
    #[default]
    Interactive,
    /// Nobody does.
    Batch,
}

/// The name of the tenant a request is for: visible ASCII, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant(HeaderValue);

impl Tenant {
    /// A tenant from a header's value; `None` when it is empty or not visible ASCII.
    #[must_use]
    pub fn from_header(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?;
        (!text.is_empty()).then(|| Self(value.clone()))
    }

    /// The tenant of that name; `None` when it is empty or not visible ASCII.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::from_header(&HeaderValue::from_str(name).ok()?)
    }

    /// The tenant's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// What `classify` settled about a request.
#[derive(Debug)]
pub struct Classified {
    /// The plan of the route that matched, from the snapshot that judges this request.
    pub route: Arc<RoutePlan>,
    /// Whether it may change stored state.
    pub access: Access,
    /// Who it is for.
    pub tenant: Option<Tenant>,
    /// Who it competes with.
    pub lane: Lane,
    /// What it takes from each bucket; 0 for what pays otherwise and takes nothing.
    pub cost: u32,
    /// When its response head must have come.
    pub deadline: Option<Instant>,
    /// The `id` of a JSON-RPC request, or those of a batch, where the route speaks it: refusals are
    /// worded for it.
    pub rpc: Option<Rpc>,
}

/// How a JSON-RPC request wants its refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Rpc {
    /// Under which `id` it is refused.
    pub id: RpcId,
    /// Answer 200 for clients that cannot bear another status.
    pub always_ok: bool,
}

/// The `id` by which a JSON-RPC client knows what an answer is to (JSON-RPC 2.0 sections 4 and 6).
#[derive(Clone, Debug, PartialEq)]
pub enum RpcId {
    /// Of one request: it is answered with one object.
    One(serde_json::Value),
    /// Of the requests of a batch: it is answered with an array of one object for each of them.
    Batch(Vec<serde_json::Value>),
}

/// What went wrong with the request's own body while it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BodyFault {
    /// No byte came for the body's idle timeout.
    Idle = 1,
    /// It grew past the route's limit.
    TooLarge = 2,
    /// The client broke it off, or its framing is wrong.
    Broken = 3,
}

/// The record of one request; clones share it.
#[derive(Clone, Debug)]
pub struct Facts(Arc<Record>);

#[derive(Debug)]
struct Record {
    request_id: HeaderValue,
    client: Option<IpAddr>,
    received: Instant,
    grpc: bool,
    classified: OnceLock<Classified>,
    doubt: OnceLock<Doubt>,
    claims: OnceLock<Arc<Claims>>,
    arm: OnceLock<Arm>,
    fell_back: AtomicBool,
    attempt: Attempt,
    body_fault: AtomicU8,
    covered: AtomicBool,
    deferred: AtomicBool,
    otherwise: Mutex<Option<Refusal>>,
    cut: AtomicBool,
    outliving: Outliving,
    /// Boxed: hardly any request is sampled.
    traced: OnceLock<Box<Traced>>,
}

impl Facts {
    /// A record as the ingress begins it.
    #[must_use]
    pub fn new(request_id: HeaderValue, client: Option<IpAddr>, received: Instant, grpc: bool) -> Self {
        Self(Arc::new(Record {
            request_id,
            client,
            received,
            grpc,
            classified: OnceLock::new(),
            doubt: OnceLock::new(),
            claims: OnceLock::new(),
            arm: OnceLock::new(),
            fell_back: AtomicBool::new(false),
            attempt: Attempt::default(),
            body_fault: AtomicU8::new(0),
            covered: AtomicBool::new(false),
            deferred: AtomicBool::new(false),
            otherwise: Mutex::new(None),
            cut: AtomicBool::new(false),
            outliving: Outliving::default(),
            traced: OnceLock::new(),
        }))
    }

    /// The facts in a request's extensions; where no ingress has begun them, new ones are put
    /// there, so that a guard works in a service of its own.
    pub fn of(headers: &HeaderMap, extensions: &mut Extensions) -> Self {
        if let Some(facts) = extensions.get::<Self>() {
            return facts.clone();
        }
        let id = headers.get("x-request-id").cloned().unwrap_or_else(|| {
            let id = format!("{:016x}", Chance::from_system().bits());
            HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("-"))
        });
        let facts = Self::new(id, None, Instant::now(), is_grpc(headers));
        extensions.insert(facts.clone());
        facts
    }

    /// The id that names this request in answers and logs.
    #[must_use]
    pub fn request_id(&self) -> &HeaderValue {
        &self.0.request_id
    }

    /// The client's address, as the trusted peers tell it.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.0.client
    }

    /// When the request's head had been read.
    #[must_use]
    pub fn received(&self) -> Instant {
        self.0.received
    }

    /// Whether the request is gRPC, by its content type.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        self.0.grpc
    }

    /// What `classify` settled, once it has.
    #[must_use]
    pub fn classified(&self) -> Option<&Classified> {
        self.0.classified.get()
    }

    /// Settles the classification. Only the first call counts: a request is judged once.
    pub fn classify(&self, classified: Classified) {
        drop(self.0.classified.set(classified));
    }

    /// It could not be told what the request does, and why; it is settled as a write. Only the
    /// first call counts.
    pub fn set_doubt(&self, doubt: Doubt) {
        let _ = self.0.doubt.set(doubt);
    }

    /// Why the request is settled as a write, where it could not be told what it does.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        self.0.doubt.get().copied()
    }

    /// What the verified token of its sender says, where the route asks for one and it came.
    #[must_use]
    pub fn claims(&self) -> Option<&Arc<Claims>> {
        self.0.claims.get()
    }

    /// Its sender's token was verified. Only the first call counts.
    pub fn set_claims(&self, claims: Arc<Claims>) {
        drop(self.0.claims.set(claims));
    }

    /// Its place in its trace, where that is sampled.
    #[must_use]
    pub fn traced(&self) -> Option<&Traced> {
        self.0.traced.get().map(AsRef::as_ref)
    }

    /// Its trace is sampled. Only the first call counts.
    pub fn set_traced(&self, traced: Traced) {
        drop(self.0.traced.set(Box::new(traced)));
    }

    /// The settings of type `T` on the matched route.
    #[must_use]
    pub fn part<T: std::any::Any>(&self) -> Option<&T> {
        self.classified()?.route.part()
    }

    /// Settles the arm. Only the first call counts: a request and its tries stay on one arm.
    pub fn choose_arm(&self, arm: Arm) {
        let _ = self.0.arm.set(arm);
    }

    /// The arm that was chosen, on a route that leads to a rollout.
    #[must_use]
    pub fn chosen_arm(&self) -> Option<Arm> {
        self.0.arm.get().copied()
    }

    /// The arm that answers: the chosen one, or the active one for a read that
    /// [fell back](Facts::fall_back).
    #[must_use]
    pub fn arm(&self) -> Option<Arm> {
        let chosen = self.chosen_arm()?;
        if !self.fell_back() {
            return Some(chosen);
        }
        Some(Arm { slot: chosen.slot.other(), role: Role::Active, is_sample: false })
    }

    /// The candidate that was chosen lets nothing through, nothing has been sent, and the
    /// request only reads: the active arm answers.
    pub fn fall_back(&self) {
        if self.chosen_arm().is_some_and(|arm| arm.role == Role::Candidate) {
            self.0.fell_back.store(true, Ordering::Release);
        }
    }

    /// Whether the active arm answers in place of the candidate.
    #[must_use]
    pub fn fell_back(&self) -> bool {
        self.0.fell_back.load(Ordering::Acquire)
    }

    /// How far the request has got.
    #[must_use]
    pub fn attempt(&self) -> &Attempt {
        &self.0.attempt
    }

    /// A freeze covers this read: it goes on, and is told apart from those outside of one.
    pub fn freeze_covers(&self) {
        self.0.covered.store(true, Ordering::Release);
    }

    /// Whether it is a read that a freeze covers.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        self.0.covered.load(Ordering::Acquire)
    }

    /// The write is let through a freeze on the promise of its plan's
    /// [`Deferral`](crate::Deferral): it must be kept for later and not be sent.
    pub fn defer(&self) {
        self.0.deferred.store(true, Ordering::Release);
    }

    /// What the client of a deferred write is told where it cannot be kept.
    pub fn set_otherwise(&self, refusal: Refusal) {
        *self.0.otherwise.lock() = Some(refusal);
    }

    /// What was set to be told where a deferred write cannot be kept; once.
    #[must_use]
    pub fn otherwise(&self) -> Option<Refusal> {
        self.0.otherwise.lock().take()
    }

    /// Whether the request must be kept for later and not be sent.
    #[must_use]
    pub fn is_deferred(&self) -> bool {
        self.0.deferred.load(Ordering::Acquire)
    }

    /// From here on the exchange with the upstream goes on to its end, also when the client
    /// leaves and the layers further out are dropped. Until [`Facts::over`] their guards are
    /// handed over by [`Facts::keep`].
    pub fn outlive(&self) {
        self.0.outliving.begin();
    }

    /// Whether the exchange goes on to its end without the layers further out.
    #[must_use]
    pub fn outlives(&self) -> bool {
        self.0.outliving.is_on()
    }

    /// Hands over a guard whose layer is being dropped: it is held until the exchange is over,
    /// and dropped on the spot where the exchange does not outlive the layer.
    pub fn keep(&self, guard: impl Send + 'static) {
        self.0.outliving.keep(guard);
    }

    /// The exchange must not outlive its client: a guard has ended its stream.
    pub fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
    }

    /// Whether the exchange must end with its client.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Acquire)
    }

    /// The exchange is over: what it held on to is dropped.
    pub fn over(&self) {
        self.0.outliving.end();
    }

    /// Notes what went wrong with the request's body.
    pub fn body_failed(&self, fault: BodyFault) {
        self.0.body_fault.store(fault as u8, Ordering::Release);
    }

    /// What went wrong with the request's body, if anything did.
    #[must_use]
    pub fn body_fault(&self) -> Option<BodyFault> {
        match self.0.body_fault.load(Ordering::Acquire) {
            1 => Some(BodyFault::Idle),
            2 => Some(BodyFault::TooLarge),
            3 => Some(BodyFault::Broken),
            _ => None,
        }
    }
}

/// Whether a content type says gRPC.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

#[cfg(test)]
mod tests {
    use http::{Extensions, HeaderMap, HeaderValue, Method};

    use super::{Access, Arm, BodyFault, Facts, Instant, Role, Tenant, is_grpc};
    use crate::arm::Slot;

    #[test]
    fn the_method_alone_tells_reads_from_writes() {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
            assert_eq!(Access::of_method(&method), Access::Read);
        }
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert_eq!(Access::of_method(&method), Access::Write);
        }
        assert_eq!(Access::of_method(&Method::from_bytes(b"PROPFIND").unwrap()), Access::Write);
    }

    #[test]
    fn clones_share_one_record() {
        let facts = Facts::new(HeaderValue::from_static("a"), None, Instant::now(), false);
        let other = facts.clone();
        other.body_failed(BodyFault::TooLarge);
        other.attempt().sent();
        assert_eq!(facts.body_fault(), Some(BodyFault::TooLarge));
        assert_eq!(facts.attempt().outcome(), crate::Outcome::Unknown);
    }

    #[test]
    fn the_first_choice_holds_and_only_a_candidate_falls_back() {
        let facts = |role| {
            let facts = Facts::new(HeaderValue::from_static("a"), None, Instant::now(), false);
            facts.fall_back();
            assert!(facts.arm().is_none() && !facts.fell_back(), "there is no arm yet");
            facts.choose_arm(Arm { slot: Slot::Second, role, is_sample: true });
            facts.choose_arm(Arm { slot: Slot::First, role, is_sample: true });
            facts.fall_back();
            facts
        };
        let candidate = facts(Role::Candidate);
        assert_eq!(candidate.chosen_arm().unwrap().slot, Slot::Second);
        let fallen = Arm { slot: Slot::First, role: Role::Active, is_sample: false };
        assert_eq!(candidate.arm(), Some(fallen));
        assert_eq!(facts(Role::Active).arm(), facts(Role::Active).chosen_arm());
    }

    #[test]
    fn a_tenant_is_visible_text() {
        assert!(Tenant::from_header(&HeaderValue::from_static("")).is_none());
        assert!(Tenant::from_header(&HeaderValue::from_bytes(b"\xff").unwrap()).is_none());
        assert_eq!(Tenant::from_header(&HeaderValue::from_static("acme")).unwrap().as_str(), "acme");
    }

    #[test]
    fn facts_are_begun_once_per_request() {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_static("job-7"));
        let mut extensions = Extensions::new();
        let first = Facts::of(&headers, &mut extensions);
        first.attempt().sent();
        let second = Facts::of(&headers, &mut extensions);
        assert_eq!(second.request_id(), "job-7");
        assert_eq!(second.attempt().outcome(), crate::Outcome::Unknown, "it is the same record");
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        let mut headers = HeaderMap::new();
        assert!(!is_grpc(&headers));
        headers.insert("content-type", HeaderValue::from_static("application/grpc+proto"));
        assert!(is_grpc(&headers));
    }
}
