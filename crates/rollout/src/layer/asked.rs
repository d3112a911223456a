//! What a request's own headers say about its arm.

use http::{HeaderMap, HeaderName, header::Entry};
use sluicegate_core::{Code, Refusal, Role};

/// The header by which a client chooses its arm, on routes that allow it.
pub const ARM: HeaderName = HeaderName::from_static("x-sluicegate-arm");

/// The arm that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It names none.
    Nothing,
    /// This one.
    Arm(Role),
    /// None that there is, or both.
    Neither,
}

impl Asked {
    /// Takes the header off: no upstream sees it.
    pub(super) fn take(headers: &mut HeaderMap) -> Self {
        let Entry::Occupied(named) = headers.entry(ARM) else { return Self::Nothing };
        let (_, values) = named.remove_entry_mult();
        let mut arms = values.map(|value| match value.as_bytes() {
            b"active" => Some(Role::Active),
            b"candidate" => Some(Role::Candidate),
            _ => None,
        });
        let first = arms.next().flatten();
        match first {
            Some(role) if arms.all(|other| other == first) => Self::Arm(role),
            _ => Self::Neither,
        }
    }

    /// The arm, where the route lets a request name one.
    pub(super) fn forced(self) -> Result<Option<Role>, Refusal> {
        match self {
            Self::Nothing => Ok(None),
            Self::Arm(role) => Ok(Some(role)),
            Self::Neither => Err(Refusal::new(
                Code::BadRequest,
                "X-Sluicegate-Arm is `active` or `candidate`; leave it out to go where the rollout leads",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{ARM, Asked, Role};

    fn take(values: &[&'static str]) -> Asked {
        let mut headers = HeaderMap::new();
        headers.insert("x-user-id", HeaderValue::from_static("7"));
        for value in values {
            headers.append(ARM, HeaderValue::from_static(value));
        }
        let asked = Asked::take(&mut headers);
        assert_eq!(headers.len(), 1, "it is taken off, in all its lines, and nothing else is");
        asked
    }

    #[test]
    fn one_arm_is_named_or_none() {
        assert_eq!(take(&[]), Asked::Nothing);
        assert_eq!(take(&["active"]), Asked::Arm(Role::Active));
        assert_eq!(take(&["candidate"]), Asked::Arm(Role::Candidate));
        assert_eq!(take(&["candidate", "candidate"]), Asked::Arm(Role::Candidate));
        for values in [&[""][..], &["Active"], &["both"], &["active", "candidate"], &["candidate", "x"]] {
            assert_eq!(take(values), Asked::Neither, "{values:?}");
            assert!(take(values).forced().unwrap_err().to_string().contains("`active` or `candidate`"));
        }
    }
}
