//! Which try may be followed by another one.
//!
//! | it ended with | a read | a write with a key | a write without |
//! |---|---|---|---|
//! | no connection | yes | yes | yes |
//! | a reset before any byte was answered | yes | under `always` | no |
//! | "not looked at" (HTTP/2 `REFUSED_STREAM`) | yes | yes | no |
//! | no answer within the limit of one try | yes | under `always` | no |
//! | an answer that was made with other [pins](crate::pins) | yes | it gets the answer | it gets the answer |
//! | 408, 429 | yes | where the upstream promises that nothing was done, or under `always` | no |
//! | 500, 502, 503, 504 | yes | the same | no |
//! | any other status from 402 on that the upstream lists as not applied | no | yes | no |
//! | 400, 401, 403, 404, 409, 423 | no | no | no |
//! | anything else: an answer, or the beginning of one | no | no | no |

use http::StatusCode;
use sluicegate_core::Repeat;

use crate::failure::Failure;

/// What the request is, as far as sending it again goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Safe {
    /// It changes nothing.
    Read,
    /// It may change something.
    Write(Repeat),
}

/// How a try ended, where that may be a reason for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// No connection: nothing was sent.
    Connect,
    /// The connection ended before a byte was answered.
    Reset,
    /// The upstream says that it has not looked at it.
    NotProcessed,
    /// No answer within the limit of one try.
    Timeout,
    /// An answer of this status.
    Status(StatusCode),
    /// An answer that was made with other pins.
    Mismatch,
}

/// Statuses that no request is sent again for, whatever else is said of them: the same request
/// gets the same answer, or a person has to look at it.
const NEVER: [u16; 6] = [400, 401, 403, 404, 409, 423];
/// Statuses that a read is sent again for.
const PASSING: [u16; 6] = [408, 429, 500, 502, 503, 504];

impl Reason {
    /// The reason in a failure; `answered` says whether any byte had come back.
    pub(crate) fn of_failure(failure: &Failure, answered: bool) -> Option<Self> {
        match failure {
            Failure::Unreachable(_) => Some(Self::Connect),
            Failure::NotProcessed(_) => Some(Self::NotProcessed),
            Failure::Reset(_) if !answered => Some(Self::Reset),
            Failure::Deadline => Some(Self::Timeout),
            Failure::Mismatch(_) if answered => Some(Self::Mismatch),
            Failure::Reset(_) | Failure::Garbage(_) | Failure::Open(_) | Failure::Mismatch(_) => None,
        }
    }

    /// The reason in a status.
    pub(crate) fn of_status(status: StatusCode) -> Option<Self> {
        let code = status.as_u16();
        (code >= 400 && !NEVER.contains(&code)).then_some(Self::Status(status))
    }

    /// Whether the request is known not to have been carried out. `promised` are the statuses by
    /// which the upstream says so.
    pub(crate) fn is_not_applied(self, promised: &[u16]) -> bool {
        match self {
            Self::Connect | Self::NotProcessed => true,
            Self::Reset | Self::Timeout | Self::Mismatch => false,
            Self::Status(status) => promised.contains(&status.as_u16()),
        }
    }

    /// Whether a request of this kind may be sent again for it.
    pub(crate) fn allows(self, safe: Safe, promised: &[u16]) -> bool {
        if self == Self::Mismatch {
            return safe == Safe::Read;
        }
        let passing = match self {
            Self::Status(status) => PASSING.contains(&status.as_u16()),
            _ => true,
        };
        match safe {
            Safe::Read => passing,
            Safe::Write(Repeat::Never) => self == Self::Connect,
            Safe::Write(Repeat::NotApplied) => self.is_not_applied(promised),
            Safe::Write(Repeat::Always) => passing || self.is_not_applied(promised),
        }
    }

    /// Its place in [`Reason::NAMES`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Connect => 0,
            Self::Reset => 1,
            Self::NotProcessed => 2,
            Self::Timeout => 3,
            Self::Status(status) => {
                let at = PASSING.iter().position(|code| *code == status.as_u16());
                at.map_or(10, |at| at + 4)
            }
            Self::Mismatch => 11,
        }
    }

    /// Every reason as metrics name it; a status that an upstream lists itself is `other`.
    pub(crate) const NAMES: [&str; 12] = [
        "connect",
        "reset",
        "not_processed",
        "timeout",
        "408",
        "429",
        "500",
        "502",
        "503",
        "504",
        "other",
        "index_mismatch",
    ];
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use proptest::prelude::*;
    use sluicegate_core::Repeat;

    use super::{PASSING, Reason, Safe};
    use crate::failure::Failure;

    /// As the specification lists them.
    const FORBIDDEN: [u16; 6] = [400, 401, 403, 404, 409, 423];
    const PROMISED: [u16; 7] = [401, 403, 408, 421, 423, 425, 429];
    const KINDS: [Safe; 4] = [
        Safe::Read,
        Safe::Write(Repeat::Never),
        Safe::Write(Repeat::NotApplied),
        Safe::Write(Repeat::Always),
    ];

    fn allowed(reason: Option<Reason>) -> [bool; 4] {
        KINDS.map(|safe| reason.is_some_and(|reason| reason.allows(safe, &PROMISED)))
    }

    #[test]
    fn the_table() {
        let text = String::new;
        for (failure, answered, expected) in [
            (Failure::Unreachable(text()), false, [true, true, true, true]),
            (Failure::Reset(text()), false, [true, false, false, true]),
            (Failure::Reset(text()), true, [false; 4]),
            (Failure::NotProcessed(text()), true, [true, false, true, true]),
            (Failure::Deadline, false, [true, false, false, true]),
            (Failure::Garbage(text()), true, [false; 4]),
            (Failure::Open(std::time::Duration::ZERO), false, [false; 4]),
        ] {
            let reason = Reason::of_failure(&failure, answered);
            assert_eq!(allowed(reason), expected, "{failure:?}, answered: {answered}");
        }
        for (status, expected) in [
            (200, [false; 4]),
            (302, [false; 4]),
            (400, [false; 4]),
            (401, [false; 4]),
            (403, [false; 4]),
            (404, [false; 4]),
            (408, [true, false, true, true]),
            (409, [false; 4]),
            (421, [false, false, true, true]),
            (422, [false; 4]),
            (423, [false; 4]),
            (425, [false, false, true, true]),
            (429, [true, false, true, true]),
            (500, [true, false, false, true]),
            (501, [false; 4]),
            (503, [true, false, false, true]),
            (504, [true, false, false, true]),
        ] {
            let reason = Reason::of_status(StatusCode::from_u16(status).unwrap());
            assert_eq!(allowed(reason), expected, "{status}");
        }
    }

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let statuses = PASSING.map(|code| Reason::Status(StatusCode::from_u16(code).unwrap()));
        let named = [Reason::Connect, Reason::Reset, Reason::NotProcessed, Reason::Timeout];
        for (at, reason) in named.into_iter().chain(statuses).enumerate() {
            assert_eq!(reason.index(), at);
            if let Reason::Status(status) = reason {
                assert_eq!(Reason::NAMES[at], status.as_str());
            }
        }
        assert_eq!(Reason::NAMES[Reason::Status(StatusCode::TOO_EARLY).index()], "other");
    }

    proptest! {
        /// Whatever an upstream promises: no answer makes a write without a key go out again, and
        /// none of the six makes anything go out again.
        #[test]
        fn never_what_must_not_be(
            status in prop_oneof![
                prop::sample::select(FORBIDDEN.to_vec()),
                prop::sample::select(PASSING.to_vec()),
                100..1000u16,
            ],
            promised: Vec<u16>,
            kind in 0..4usize,
        ) {
            let status = StatusCode::from_u16(status).unwrap();
            let promised = [promised, vec![status.as_u16()]].concat();
            let reason = Reason::of_status(status);
            let allowed = |safe| reason.is_some_and(|reason| reason.allows(safe, &promised));
            prop_assert!(!allowed(Safe::Write(Repeat::Never)));
            if FORBIDDEN.contains(&status.as_u16()) || status.as_u16() < 400 {
                prop_assert!(!allowed(KINDS[kind]));
            }
            if allowed(Safe::Read) {
                prop_assert!(PASSING.contains(&status.as_u16()));
            }
        }
    }
}
