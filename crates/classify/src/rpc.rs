//! The `id` of a JSON-RPC request, learnt from its body so that a refusal can carry it.

use std::borrow::Cow;

use http::{HeaderMap, Method, header::CONTENT_TYPE};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

/// The members of a request object (JSON-RPC 2.0 section 4) that matter here.
#[derive(Deserialize)]
struct Envelope<'a> {
    id: Value,
    #[serde(borrow, rename = "method")]
    _method: Cow<'a, str>,
    #[serde(default, rename = "params")]
    _params: IgnoredAny,
}

/// Whether a request's head says that its body is JSON.
pub(crate) fn may_hold_request(method: &Method, headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    method == Method::POST && essence.eq_ignore_ascii_case("application/json")
}

/// The id of a single request object. `None` for all else: a batch, a notification, an
/// answer, an id that is neither text nor number, or what is not JSON.
pub(crate) fn request_id(body: &[u8]) -> Option<Value> {
    // A batch would be read as the members in their order.
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if *first != b'{' {
        return None;
    }
    let envelope: Envelope<'_> = serde_json::from_slice(body).ok()?;
    matches!(envelope.id, Value::String(_) | Value::Number(_)).then_some(envelope.id)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};
    use serde_json::{Value, json};

    use super::{may_hold_request, request_id};

    #[test]
    fn only_a_single_request_has_an_id() {
        let table: [(&str, Option<Value>); 14] = [
            (r#"{"jsonrpc":"2.0","method":"tools/call","params":{"a":[1]},"id":7}"#, Some(json!(7))),
            (r#" {"id":"a-1","method":"x"} "#, Some(json!("a-1"))),
            (r#"{"id":1.5,"method":"caf\u00e9"}"#, Some(json!(1.5))),
            (r#"{"method":"notifications/initialized"}"#, None),
            (r#"{"id":null,"method":"x"}"#, None),
            (r#"{"id":{},"method":"x"}"#, None),
            (r#"{"id":1,"result":{}}"#, None),
            (r#"{"id":1,"id":2,"method":"x"}"#, None),
            (r#"{"id":1,"method":{}}"#, None),
            (r#"[{"id":1,"method":"x"}]"#, None),
            (r#"[1,"x",{}]"#, None),
            (r#"{"id":1,"method":"x"} {}"#, None),
            (r#"{"id":1,"method":"x""#, None),
            ("", None),
        ];
        for (body, id) in table {
            assert_eq!(request_id(body.as_bytes()), id, "{body}");
        }
        assert_eq!(request_id(b"\xff{"), None);
    }

    #[test]
    fn only_a_posted_json_body_is_looked_at() {
        let of = |method, content_type: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(
                content_type.map(|value| (http::header::CONTENT_TYPE, HeaderValue::from_static(value))),
            );
            may_hold_request(&method, &headers)
        };
        assert!(of(Method::POST, Some("application/json")));
        assert!(of(Method::POST, Some("Application/JSON ; charset=utf-8")));
        assert!(!of(Method::GET, Some("application/json")));
        assert!(!of(Method::POST, Some("application/jsonl")));
        assert!(!of(Method::POST, None));
    }
}
