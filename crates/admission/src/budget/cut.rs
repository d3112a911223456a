//! How an answer ends that its tenant's budget holds no more of.

use bytes::Bytes;
use serde_json::{Value, json};

use super::dialect::Dialect;

/// Why a body failed that was cut because its tenant's budget was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream was ended because its tenant's budget of LLM tokens is used up")]
pub struct Cut;

const MESSAGE: &str = "the answer was ended: it used all that was reserved for it, and the tenant's budget of LLM tokens is used up; wait for it to come back, or have it raised";

/// The event that says so, as the API itself tells errors in a stream; the `number`-th of it.
pub(super) fn event(dialect: Dialect, number: u64) -> Bytes {
    // The words that OpenAI's clients know for a rate of tokens that was passed.
    let (kind, code) = ("tokens", "rate_limit_exceeded");
    let error = json!({ "message": MESSAGE, "type": kind, "param": null, "code": code });
    match dialect {
        Dialect::Messages => named(&json!({
            "type": "error", "error": { "type": "rate_limit_error", "message": MESSAGE },
        })),
        // The reference has the members in the event, the API sends them in `error`.
        Dialect::Responses => named(&json!({
            "type": "error", "sequence_number": number, "code": code, "message": MESSAGE, "param": null,
            "error": error,
        })),
        Dialect::Chat | Dialect::Completions | Dialect::Embeddings | Dialect::Other => {
            Bytes::from(format!("data: {}\n\n", json!({ "error": error })))
        }
    }
}

fn named(data: &Value) -> Bytes {
    Bytes::from(format!("event: error\ndata: {data}\n\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::event;
    use crate::budget::{Dialect, events::data_of};

    fn data(dialect: Dialect) -> (bool, Value) {
        let event = event(dialect, 7);
        assert!(event.ends_with(b"\n\n"));
        let data = serde_json::from_slice(&data_of(&event).unwrap()).unwrap();
        (event.starts_with(b"event: error\n"), data)
    }

    #[test]
    fn each_api_is_told_in_its_own_shape() {
        for dialect in [Dialect::Chat, Dialect::Completions, Dialect::Other] {
            let (named, data) = data(dialect);
            assert!(!named, "clients of OpenAI's chunks look at the data alone");
            assert_eq!(data["error"]["code"], "rate_limit_exceeded");
            assert_eq!(data.as_object().unwrap().len(), 1);
        }
        let (named, responses) = data(Dialect::Responses);
        assert!(named);
        assert_eq!((&responses["type"], &responses["sequence_number"]), (&json!("error"), &json!(7)));
        assert_eq!(
            (&responses["code"], &responses["error"]["code"]),
            (&json!("rate_limit_exceeded"), &json!("rate_limit_exceeded"))
        );
        let (named, messages) = data(Dialect::Messages);
        assert!(named);
        assert_eq!(
            (&messages["type"], &messages["error"]["type"]),
            (&json!("error"), &json!("rate_limit_error"))
        );
    }
}
