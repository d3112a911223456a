//! What became of requests that could have been copied, and of their copies.

/// Why there is no copy, or no answer to it; and that there was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Outcome {
    /// Its key is not in the share.
    SampledOut,
    /// The request itself goes to the shadow's upstream: a rollout has put it there.
    SameUpstream,
    /// `max_rps` is used up.
    Rate,
    /// `max_in_flight` copies are on their way.
    InFlight,
    /// Its body is larger than `max_body`.
    BodyTooLarge,
    /// All bodies that are held for copies take as much as they may.
    Memory,
    /// The request's body did not come to its end: the client left, or there was nobody to send it to.
    Unsent,
    /// The thread that sends copies is behind.
    QueueFull,
    /// The breaker of the shadow's endpoints is open.
    Breaker,
    /// No connection.
    Unreachable,
    /// The connection broke.
    Reset,
    /// No whole answer in time.
    Timeout,
    /// The answer is larger than `max_answer`, and was not read to its end.
    AnswerTooLarge,
    /// An answer.
    Answered,
}

impl Outcome {
    pub(crate) const ALL: [Self; 14] = [
        Self::SampledOut,
        Self::SameUpstream,
        Self::Rate,
        Self::InFlight,
        Self::BodyTooLarge,
        Self::Memory,
        Self::Unsent,
        Self::QueueFull,
        Self::Breaker,
        Self::Unreachable,
        Self::Reset,
        Self::Timeout,
        Self::AnswerTooLarge,
        Self::Answered,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::SampledOut => "sampled_out",
            Self::SameUpstream => "same_upstream",
            Self::Rate => "rate",
            Self::InFlight => "in_flight",
            Self::BodyTooLarge => "body_too_large",
            Self::Memory => "memory",
            Self::Unsent => "unsent",
            Self::QueueFull => "queue_full",
            Self::Breaker => "breaker",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::AnswerTooLarge => "answer_too_large",
            Self::Answered => "answered",
        }
    }
}

/// Why two answers were not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Unpaired {
    /// The primary's answer did not come, did not come whole, or not within the copy's time.
    NoPrimary,
    /// The primary's answer is larger than `max_answer`.
    PrimaryTooLarge,
    /// There was no room to hold it.
    Memory,
    /// The thread that compares is behind.
    Behind,
    /// The comparison itself failed: a mistake in it.
    Failed,
}

impl Unpaired {
    pub(crate) const ALL: [Self; 5] =
        [Self::NoPrimary, Self::PrimaryTooLarge, Self::Memory, Self::Behind, Self::Failed];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NoPrimary => "no_primary",
            Self::PrimaryTooLarge => "primary_too_large",
            Self::Memory => "memory",
            Self::Behind => "behind",
            Self::Failed => "failed",
        }
    }
}
