//! Reading the body of `PUT /freeze/{id}`.
//!
//! Read by hand and not by serde, to name every fault at once and to suggest the nearest
//! member for a misspelt one: a `scop` that was passed over would freeze everything.

use std::time::SystemTime;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde_json::{Map, Value};
use sluicegate_core::units::Span;
use sluicegate_freeze::{FreezeError, FreezeOrder, Scope};

use crate::problem::Problem;

/// What may be written: the schema of what [`read`] reads.
#[derive(JsonSchema)]
#[schemars(rename = "FreezeOrder", deny_unknown_fields)]
#[expect(dead_code, reason = "it is described and never made: the reading is done by hand, fault by fault")]
pub(crate) struct Written {
    /// Why; clients see it.
    #[schemars(length(max = 1024))]
    reason: Option<String>,
    /// Until when; not beside `for`. Without either it holds until it is lifted.
    until: Option<Timestamp>,
    /// How long, such as 30m; not beside `until`.
    #[schemars(rename = "for")]
    span: Option<Span>,
    /// What it covers; without it everything.
    scope: Option<Scope>,
}

type Faults = Vec<(String, String)>;

/// The order in `body`; an empty body is an order without reason, end and scope.
pub(crate) fn read(body: &[u8], now: SystemTime, by: String) -> Result<FreezeOrder, Problem> {
    let mut order = FreezeOrder { by: Some(by), ..FreezeOrder::default() };
    if body.trim_ascii().is_empty() {
        return Ok(order);
    }
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("the body is not JSON: {error}")))?;
    let Value::Object(body) = body else {
        return Err(Problem::bad_request("the body is not a JSON object, such as {\"for\": \"30m\"}"));
    };
    let mut faults = unknown(&body, "", &["reason", "until", "for", "scope"]);
    order.reason = text(&body, "reason", &mut faults).map(str::to_owned);
    let until = text(&body, "until", &mut faults);
    let span = text(&body, "for", &mut faults);
    if until.is_some() && span.is_some() {
        faults.push(("for".into(), "stands beside `until`; give one of the two".into()));
    } else if let Some(until) = until {
        match until.parse() {
            Ok(until) => order.until = Some(until),
            Err(_) => faults.push((
                "until".into(),
                format!("`{until}` is not an RFC 3339 time with a zone, such as 2030-01-05T03:00:00Z"),
            )),
        }
    } else if let Some(span) = span {
        match end_of(span, now) {
            Ok(until) => order.until = Some(until),
            Err(message) => faults.push(("for".into(), message)),
        }
    }
    order.scope = scope(&body, &mut faults);
    if faults.is_empty() { Ok(order) } else { Err(super::problem(&FreezeError::Invalid(faults))) }
}

fn end_of(span: &str, now: SystemTime) -> Result<Timestamp, String> {
    let span: Span = span.parse().map_err(|error| format!("cannot be read: {error}"))?;
    if span.0.is_zero() {
        return Err("is no time at all; write how long, such as 30m".to_owned());
    }
    let end = Timestamp::try_from(now).and_then(|now| now.checked_add(span.0));
    end.map_err(|_| format!("`{span}` ends after the last day that can be written"))
}

fn scope(body: &Map<String, Value>, faults: &mut Faults) -> Scope {
    let mut scope = Scope::default();
    match body.get("scope") {
        None | Some(Value::Null) => {}
        Some(Value::Object(members)) => {
            faults.extend(unknown(members, "scope.", &["routes", "tenants", "upstreams"]));
            scope.routes = names(members, "routes", faults);
            scope.tenants = names(members, "tenants", faults);
            scope.upstreams = names(members, "upstreams", faults);
        }
        Some(_) => {
            faults.push(("scope".into(), "is not an object, such as {\"routes\": [\"ingest\"]}".into()));
        }
    }
    scope
}

fn names(scope: &Map<String, Value>, kind: &str, faults: &mut Faults) -> Option<Vec<String>> {
    let value = scope.get(kind).filter(|value| !value.is_null())?;
    let names = value.as_array().and_then(|names| {
        names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
    });
    if names.is_none() {
        faults.push((format!("scope.{kind}"), "is not a list of names, such as [\"ingest\"]".into()));
    }
    names
}

fn text<'a>(body: &'a Map<String, Value>, name: &str, faults: &mut Faults) -> Option<&'a str> {
    let value = body.get(name).filter(|value| !value.is_null())?;
    if value.as_str().is_none() {
        faults.push((name.to_owned(), "is not a string".to_owned()));
    }
    value.as_str()
}

fn unknown(members: &Map<String, Value>, at: &str, known: &[&str]) -> Faults {
    let strange = members.keys().filter(|name| !known.contains(&name.as_str()));
    strange
        .map(|name| {
            let near = crate::nearest(name, known.iter().copied());
            let message = match near {
                Some(near) => format!("is not known here; did you mean `{near}`?"),
                None => format!("is not known here; known are {}", known.join(", ")),
            };
            (format!("{at}{name}"), message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{FreezeOrder, read};
    use crate::problem::Problem;

    fn order(body: &str) -> Result<FreezeOrder, Problem> {
        read(body.as_bytes(), UNIX_EPOCH + Duration::from_secs(60), "tester".to_owned())
    }

    #[test]
    fn an_order_says_why_how_long_and_what() {
        let bare = order("  ").unwrap();
        assert_eq!((bare.reason, bare.until, bare.by.as_deref()), (None, None, Some("tester")));
        assert!(bare.scope.is_everything());
        let full =
            order(r#"{"reason": "reindex", "for": "1m", "scope": {"routes": ["ingest"], "tenants": null}}"#);
        let full = full.unwrap();
        assert_eq!(full.reason.as_deref(), Some("reindex"));
        assert_eq!(full.until.unwrap().to_string(), "1970-01-01T00:02:00Z");
        assert_eq!(full.scope.routes, Some(vec!["ingest".to_owned()]));
        assert_eq!(full.scope.tenants, None);
        let until = order(r#"{"until": "2030-01-05T04:00:00+01:00"}"#).unwrap().until.unwrap();
        assert_eq!(until.to_string(), "2030-01-05T03:00:00Z");
    }

    #[test]
    fn every_fault_is_named_with_what_to_write() {
        let table = [
            (r#"{"scop": {}}"#, "scop: is not known here; did you mean `scope`?"),
            (r#"{"duration": "1h"}"#, "duration: is not known here; known are reason, until, for, scope"),
            (r#"{"scope": {"route": ["a"]}}"#, "scope.route: is not known here; did you mean `routes`?"),
            (r#"{"scope": ["a"]}"#, "scope: is not an object, such as {\"routes\": [\"ingest\"]}"),
            (r#"{"scope": {"routes": "a"}}"#, "scope.routes: is not a list of names, such as [\"ingest\"]"),
            (
                r#"{"for": "1h", "until": "2030-01-05T03:00:00Z"}"#,
                "for: stands beside `until`; give one of the two",
            ),
            (
                r#"{"until": "tomorrow"}"#,
                "until: `tomorrow` is not an RFC 3339 time with a zone, such as 2030-01-05T03:00:00Z",
            ),
            (
                r#"{"for": "30"}"#,
                "for: cannot be read: `30` is not a duration; write digits and a unit, such as 250ms, 30s, 5m, \
                 48h or 2d",
            ),
            (r#"{"for": "0s"}"#, "for: is no time at all; write how long, such as 30m"),
            (r#"{"for": "9999999d"}"#, "for: `9999999d` ends after the last day that can be written"),
            (r#"{"reason": 5}"#, "reason: is not a string"),
            (
                r#"{"reason": 5, "foo": 1}"#,
                "foo: is not known here; did you mean `for`?; reason: is not a string",
            ),
            ("[]", "the body is not a JSON object, such as {\"for\": \"30m\"}"),
        ];
        for (body, detail) in table {
            assert_eq!(order(body).unwrap_err().detail(), detail, "{body}");
        }
        assert!(order("{").unwrap_err().detail().starts_with("the body is not JSON: "));
    }
}
