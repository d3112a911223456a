//! What an answer is: JSON, events, or neither.

use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;
use sluicegate_body::coding::{Unread, decoded};

use super::events::{self, Event};
use crate::comparison::Answer;

/// The most arrays and objects that are read. As a tree a small object takes a hundred times
/// its bytes; this bounds the tree whatever the bytes are.
const MOST_BRANCHES: usize = 100_000;

/// A body that was read.
#[derive(Debug)]
pub(super) enum Content {
    Json(Value),
    Events(Vec<Event>),
    /// Neither of these.
    Bytes(Bytes),
    /// It could not be read.
    Unread(Unread),
}

impl Content {
    /// The body of an answer, read under a cap on its decoded size.
    pub(super) fn of(answer: &Answer, cap: usize) -> Self {
        let body = match decoded(&answer.headers, &answer.body, cap) {
            Ok(body) => body,
            Err(why) => return Self::Unread(why),
        };
        let form = Form::of(&answer.headers);
        if form != Form::Other || opens_json(&body) {
            let branches = memchr::memchr2_iter(b'{', b'[', &body).take(MOST_BRANCHES + 1).count();
            if branches > MOST_BRANCHES {
                return Self::Unread(Unread::TooLarge);
            }
        }
        match form {
            Form::Events => return Self::Events(events::events(&body)),
            Form::Lines => return Self::Events(events::lines(&body)),
            Form::Json => {}
            Form::Other if opens_json(&body) => {}
            Form::Other => return Self::Bytes(body.into_owned().into()),
        }
        let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&body);
        serde_json::from_slice(text).map_or_else(|_| Self::Bytes(body.into_owned().into()), Self::Json)
    }

    /// In words.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Json(_) => "JSON",
            Self::Events(_) => "events",
            Self::Bytes(body) if body.is_empty() => "empty",
            Self::Bytes(_) => "no JSON",
            Self::Unread(Unread::Undecodable) => "cannot be decoded",
            Self::Unread(Unread::TooLarge) => "larger than max_answer",
        }
    }
}

/// What the content type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Events,
    Lines,
    Other,
}

impl Form {
    fn of(headers: &HeaderMap) -> Self {
        let value = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let is = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
        let ends = |suffix: &str| {
            let tail = essence.len().checked_sub(suffix.len()).map(|at| &essence[at..]);
            tail.is_some_and(|tail| tail.eq_ignore_ascii_case(suffix.as_bytes()))
        };
        if is("text/event-stream") {
            Self::Events
        } else if is("application/x-ndjson") || is("application/ndjson") || is("application/jsonl") {
            Self::Lines
        } else if is("application/json") || is("text/json") || ends("+json") {
            Self::Json
        } else {
            Self::Other
        }
    }
}

/// Whether a body that does not say so may be JSON all the same.
fn opens_json(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode, header};

    use super::{Content, MOST_BRANCHES};
    use crate::comparison::Answer;

    fn read(content_type: &'static str, body: impl Into<Vec<u8>>) -> &'static str {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Content::of(&Answer { status: StatusCode::OK, headers, body: body.into().into() }, 1 << 20).name()
    }

    #[test]
    fn the_content_type_says_what_it_is() {
        assert_eq!(read("application/json; charset=utf-8", "1"), "JSON");
        assert_eq!(read("Application/Problem+JSON", "{}"), "JSON");
        assert_eq!(read("application/json", "\u{feff}{}"), "JSON");
        assert_eq!(read("text/event-stream;x", "{}"), "events");
        assert_eq!(read("application/x-ndjson", "{}\n{}"), "events");
    }

    #[test]
    fn a_body_may_be_json_without_saying_so_and_may_say_so_and_be_none() {
        assert_eq!(read("text/plain", " {\"a\": 1}"), "JSON");
        assert_eq!(read("", "[1]"), "JSON");
        assert_eq!(read("text/plain", "1.0"), "no JSON");
        assert_eq!(read("application/json", "{\"a\":"), "no JSON");
        assert_eq!(read("application/json", ""), "empty");
        assert_eq!(read("application/json", "[".repeat(200)), "no JSON");
    }

    #[test]
    fn what_would_be_a_huge_tree_is_not_read() {
        let nested = |count: usize| format!("[{}]", vec!["[]"; count].join(","));
        assert_eq!(read("application/json", nested(MOST_BRANCHES - 1)), "JSON");
        assert_eq!(read("application/json", nested(MOST_BRANCHES)), "larger than max_answer");
    }
}
