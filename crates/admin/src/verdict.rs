//! What an operator found out about a write whose fate was unknown, as the body says it:
//! `{"applied": true, "status": 201}` or `{"applied": false}`.
//!
//! It is never guessed: a body that says neither is refused. A status alone says that the
//! write was applied; without one, duplicates get 200.

use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{body, problem::Problem};

/// What was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was applied; duplicates of its key get this status.
    Applied(StatusCode),
    /// It was not.
    NotApplied,
}

/// What was found out, as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Verdict", transform = one_of_three)]
pub(crate) struct Written {
    /// Whether the write was applied.
    applied: Option<bool>,
    /// What duplicates get from now on; it goes with a write that was applied.
    #[schemars(with = "Option<u16>", range(min = 200, max = 499))]
    status: Option<Value>,
}

/// The status that was written; 200 where none was.
fn code(written: Option<&Value>) -> Option<StatusCode> {
    let code = written.map_or(Some(200), |written| u16::try_from(body::whole(written)?).ok());
    StatusCode::from_u16(code?).ok()
}

/// It says something, and no status for what was not applied.
fn one_of_three(schema: &mut schemars::Schema) {
    schema.insert(
        "anyOf".to_owned(),
        json!([
            { "required": ["applied"], "properties": { "applied": { "const": true } } },
            { "required": ["applied"], "properties": { "applied": { "const": false }, "status": { "type": "null" } } },
            { "required": ["status"], "properties": {
                "applied": { "enum": [true, null] }, "status": { "type": "integer" },
            } },
        ]),
    );
}

impl Verdict {
    pub(crate) fn read(body: &[u8]) -> Result<Self, Problem> {
        let forms = "send {\"applied\": true, \"status\": 201} or {\"applied\": false}";
        if body.trim_ascii().is_empty() {
            return Err(Problem::bad_request(format!("the body is empty; {forms}")));
        }
        let Written { applied, status } = body::object(body)
            .map_err(|error| Problem::bad_request(format!("the body cannot be read: {error}; {forms}")))?;
        match (applied, status) {
            (None, None) => {
                Err(Problem::bad_request(format!("the body does not say what was found; {forms}")))
            }
            (Some(false), None) => Ok(Self::NotApplied),
            (Some(false), Some(_)) => Err(Problem::bad_request(
                "`status` goes with a write that was applied; leave it out, or say \"applied\": true",
            )),
            (None | Some(true), status) => match code(status.as_ref()) {
                Some(status) if (200..500).contains(&status.as_u16()) => Ok(Self::Applied(status)),
                _ => Err(Problem::bad_request(
                    "`status` is not that of a write that was applied; name one from 200 to 499",
                )),
            },
        }
    }

    /// As the audit log and answers tell it.
    pub(crate) fn told(self) -> Value {
        match self {
            Self::Applied(status) => json!({ "applied": true, "status": status.as_u16() }),
            Self::NotApplied => json!({ "applied": false }),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::Verdict;

    #[test]
    fn what_was_found_is_said_and_never_guessed() {
        let applied = |status| Ok(Verdict::Applied(StatusCode::from_u16(status).unwrap()));
        let table = [
            (r#"{"applied": true, "status": 201}"#, applied(201)),
            (r#"{"applied": true}"#, applied(200)),
            (r#"{"status": 409}"#, applied(409)),
            (r#"{"status": 409.0}"#, applied(409)),
            (r#"{"status": "409"}"#, Err("`status` is not that of a write that was applied")),
            (r#"{"status": 200.5}"#, Err("`status` is not that of a write that was applied")),
            (r#"{"applied": false}"#, Ok(Verdict::NotApplied)),
            (" ", Err("the body is empty; send {\"applied\": true")),
            ("{}", Err("the body does not say what was found; send {\"applied\": true")),
            ("{", Err("the body cannot be read: ")),
            ("[true, 201]", Err("the body cannot be read: it is not a JSON object; send {\"applied\": true")),
            (r#"{"applied": "yes"}"#, Err("the body cannot be read: invalid type: string \"yes\"")),
            (r#"{"aplied": true}"#, Err("the body cannot be read: unknown field `aplied`")),
            (r#"{"applied": true, "applied": false}"#, Err("the body cannot be read: duplicate field")),
            (r#"{"applied": false, "status": 201}"#, Err("`status` goes with a write that was applied")),
            (r#"{"status": 199}"#, Err("`status` is not that of a write that was applied")),
            (r#"{"status": 500}"#, Err("`status` is not that of a write that was applied")),
            (r#"{"status": 7}"#, Err("`status` is not that of a write that was applied")),
        ];
        for (body, expected) in table {
            match (Verdict::read(body.as_bytes()), expected) {
                (Ok(verdict), expected) => assert_eq!(Ok(verdict), expected, "{body}"),
                (Err(problem), Err(begin)) => {
                    assert!(problem.detail().starts_with(begin), "{body}: {problem:?}");
                }
                (Err(problem), Ok(_)) => panic!("{body}: {problem:?}"),
            }
        }
    }
}
