//! The `id` of a JSON-RPC request, or those of a batch, learnt from the body so that a refusal can
//! carry them.
//!
//! They stay with the request for as long as it runs, and a refusal repeats itself for each: both
//! are bounded here, and what goes past it is refused as any other request is.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Value, value::RawValue};
use sluicegate_core::facts::RpcId;

/// The most requests of a batch that are answered one by one.
const MOST_REQUESTS: usize = 100;

/// The longest id, as it stands in the body. Those of clients are numbers and UUIDs.
const LONGEST_ID: usize = 256;

/// By which ids a body is answered: that of a single request, or those of a batch's requests.
///
/// `None` for all else: a notification, an answer, an id that is neither text nor number, what is
/// not JSON, and what goes past the bounds.
pub(crate) fn request_id(body: &str) -> Option<RpcId> {
    let Body(id) = serde_json::from_str(body).ok()?;
    id
}

/// A request object, or a batch of them.
struct Body(Option<RpcId>);

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Body;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON-RPC message or a batch of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Body, A::Error> {
                let Message(id) = Object.visit_map(members)?;
                Ok(Body(id.map(RpcId::One)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut messages: A) -> Result<Body, A::Error> {
                let mut ids = Vec::new();
                while let Some(Message(id)) = messages.next_element()? {
                    if id.is_some() && ids.len() == MOST_REQUESTS {
                        return Err(A::Error::custom("too many requests"));
                    }
                    ids.extend(id);
                }
                Ok(Body((!ids.is_empty()).then_some(RpcId::Batch(ids))))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// The id of a message that is a request.
struct Message(Option<Value>);

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

/// An object alone: members in their order, as an array, would be taken for one, too.
struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Message;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON-RPC message")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Message, A::Error> {
        /// The members of a request object (JSON-RPC 2.0 section 4) that matter here.
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow, default)]
            id: Option<&'a RawValue>,
            #[serde(borrow, default)]
            method: Option<&'a RawValue>,
        }

        let Envelope { id, method } = Envelope::deserialize(MapAccessDeserializer::new(members))?;
        if !method.is_some_and(|method| method.get().starts_with('"')) {
            return Ok(Message(None));
        }
        let Some(id) = id.map(RawValue::get) else { return Ok(Message(None)) };
        if id.len() > LONGEST_ID {
            return Err(A::Error::custom("an id that is too long"));
        }
        let id: Value = serde_json::from_str(id).map_err(A::Error::custom)?;
        Ok(Message(matches!(id, Value::String(_) | Value::Number(_)).then_some(id)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use sluicegate_core::facts::RpcId;

    use super::{LONGEST_ID, MOST_REQUESTS, request_id};

    fn batch(ids: &[Value]) -> RpcId {
        RpcId::Batch(ids.to_vec())
    }

    #[test]
    fn a_single_request_has_one_id() {
        let table: [(&str, Option<Value>); 15] = [
            (r#"{"jsonrpc":"2.0","method":"tools/call","params":{"a":[1]},"id":7}"#, Some(json!(7))),
            (r#" {"id":"a-1","method":"x"} "#, Some(json!("a-1"))),
            (r#"{"id":1.5,"method":"caf\u00e9"}"#, Some(json!(1.5))),
            (r#"{"method":"notifications/initialized"}"#, None),
            (r#"{"id":null,"method":"x"}"#, None),
            (r#"{"id":{},"method":"x"}"#, None),
            (r#"{"id":1,"result":{}}"#, None),
            (r#"{"id":1,"id":2,"method":"x"}"#, None),
            (r#"{"id":1,"method":{}}"#, None),
            (r#"{"id":1,"method":"x","params":[{"id":2,"id":3}]}"#, Some(json!(1))),
            (r#"[1,"x",{}]"#, None),
            (r#"{"id":1,"method":"x"} {}"#, None),
            (r#"{"id":1,"method":"x""#, None),
            ("null", None),
            ("", None),
        ];
        for (body, id) in table {
            assert_eq!(request_id(body), id.map(RpcId::One), "{body}");
        }
    }

    #[test]
    fn a_batch_has_those_of_its_requests() {
        let table = [
            (r#"[{"id":1,"method":"x"}]"#, Some(batch(&[json!(1)]))),
            (r#" [{"id":1,"method":"x"},{"id":"a","method":"y"}] "#, Some(batch(&[json!(1), json!("a")]))),
            (r#"[{"id":1,"method":"x"},{"method":"y"},{"id":2,"result":{}}]"#, Some(batch(&[json!(1)]))),
            (r#"[{"id":1,"method":"x"},{"id":1,"method":"x"}]"#, Some(batch(&[json!(1), json!(1)]))),
            // Nobody to answer one by one, or no batch.
            (r#"[{"method":"y"}]"#, None),
            (r#"[{"id":2,"result":{}}]"#, None),
            ("[]", None),
            (r#"[{"id":1,"method":"x"},2]"#, None),
            (r#"[{"id":1,"method":"x"},[2,"x"]]"#, None),
            (r#"[{"id":1,"method":"x"},{"id":2,"id":3,"method":"x"}]"#, None),
            (r#"[{"id":1,"method":"x"}"#, None),
        ];
        for (body, id) in table {
            assert_eq!(request_id(body), id, "{body}");
        }
    }

    #[test]
    fn what_is_kept_for_a_refusal_is_bounded() {
        let requests = |count| format!("[{}]", vec![r#"{"id":7,"method":"x"}"#; count].join(","));
        assert_eq!(request_id(&requests(MOST_REQUESTS)), Some(batch(&vec![json!(7); MOST_REQUESTS])));
        assert_eq!(request_id(&requests(MOST_REQUESTS + 1)), None);
        let notified = format!(r#"[{},{{"id":7,"method":"x"}}]"#, vec![r#"{"method":"x"}"#; 1000].join(","));
        assert_eq!(request_id(&notified), Some(batch(&[json!(7)])), "what is not answered does not count");
        let of = |id: &str| format!(r#"{{"id":"{id}","method":"x"}}"#);
        let longest = "x".repeat(LONGEST_ID - 2);
        assert_eq!(request_id(&of(&longest)), Some(RpcId::One(json!(longest))));
        assert_eq!(request_id(&of(&"x".repeat(LONGEST_ID - 1))), None);
    }
}
