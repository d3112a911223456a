//! The refusals of pins, in words.

use serde_json::Value;
use sluicegate_core::{Code, Pins, Refusal, Role};

/// The header cannot be read.
pub(super) fn malformed(fault: String) -> Refusal {
    Refusal::new(Code::BadRequest, fault)
}

/// No arm that might have been taken is pinned as the client asks; `pins` are those of the arm
/// that it is compared with.
pub(super) fn arm(pins: &Pins, asked: &Pins, role: Role) -> Refusal {
    let detail = match role {
        Role::Active => {
            "no version behind this route is pinned as X-WFGY asks; `diff` compares it with the active arm"
        }
        Role::Candidate => {
            "the candidate is not pinned as X-WFGY asks; `diff` says where; without X-Sluicegate-Arm an arm that matches is taken"
        }
    };
    mismatch(detail, pins, asked).member("arm", role.as_str().into())
}

/// The only upstream is not pinned as the client asks.
pub(super) fn upstream(pins: &Pins, asked: &Pins) -> Refusal {
    mismatch("the version behind this route is not pinned as X-WFGY asks; `diff` says where", pins, asked)
}

fn mismatch(detail: &'static str, pins: &Pins, asked: &Pins) -> Refusal {
    // Names and texts: nothing in it that JSON could not hold.
    let diff = serde_json::to_value(pins.unmet(asked)).unwrap_or(Value::Null);
    Refusal::new(Code::PinMismatch, detail).member("diff", diff)
}
