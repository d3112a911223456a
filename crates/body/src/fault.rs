//! What a client is told whose own request body failed.

use http::StatusCode;
use sluicegate_core::{Code, Facts, Refusal, facts::BodyFault};

use crate::inbound::BodyLimits;

impl BodyLimits {
    /// The refusal of a request whose body failed so. The connection is closed: what follows
    /// on it cannot be told from the body.
    #[must_use]
    pub fn refusal(fault: BodyFault, facts: &Facts) -> Refusal {
        let limits = facts.part::<Self>();
        match fault {
            BodyFault::Idle => Refusal::new(
                Code::RequestTimeout,
                match limits {
                    Some(limits) => format!("no byte of the request body came for {:?}", limits.idle),
                    None => "the request body stopped coming".to_owned(),
                },
            ),
            BodyFault::TooLarge => Refusal::new(
                Code::BodyTooLarge,
                match limits.and_then(|limits| limits.max) {
                    Some(max) => format!("the body is larger than the {max} bytes this route takes"),
                    None => "the body is too large".to_owned(),
                },
            ),
            BodyFault::Broken => {
                Refusal::new(Code::BadRequest, "the request body broke off or is framed wrongly")
                    .status(StatusCode::BAD_REQUEST)
            }
        }
        .close()
    }
}
