//! What a body says of its request, where the head does not tell.
//!
//! The body comes from whoever sends it, and the service behind reads it too, with a parser of
//! its own. So it is believed only where no two parsers could read it differently: it says
//! that it is JSON in UTF-8 and is; it is encoded at most once, and is not JSON as it stands
//! when it is; no member that matters is there twice or in another spelling that a lenient
//! parser takes for it; it is no deeper than any parser goes. All else is a [`Doubt`], and the
//! request is settled as a write.
//!
//! Time and memory are bounded by the cap on what is read and decoded; nothing recurses deeper
//! than the parser's own limit.

use std::{borrow::Cow, str};

use http::{HeaderMap, header};
use sluicegate_body::coding::{self, Unread};
use sluicegate_core::{Access, Doubt};

use crate::preset::{BodyInput, ByPreset};

mod asked;
mod members;
mod rpc;

/// How a body tells.
#[derive(Debug)]
pub(crate) enum BodyRule {
    /// By the method of each JSON-RPC message.
    JsonRpc {
        /// The methods that read.
        reads: Box<[Box<str>]>,
        /// The method that reads where the tool it calls does.
        tool_call: Box<str>,
    },
    /// By members of an object: a write where one of them is there and neither null nor false;
    /// where the answer is kept by default, also unless the first of them is false.
    WritesWhere(Box<[Box<str>]>),
}

impl From<BodyInput> for BodyRule {
    fn from(input: BodyInput) -> Self {
        let all = |names: Vec<String>| names.into_iter().map(Into::into).collect();
        match input {
            BodyInput::JsonRpc(rpc) => {
                Self::JsonRpc { reads: all(rpc.reads), tool_call: rpc.tool_call.into() }
            }
            BodyInput::WritesWhere(members) => Self::WritesWhere(all(members)),
        }
    }
}

/// Whether a head says that its body is JSON, in the one charset that JSON has.
pub(crate) fn says_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_json =
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    is_json && parts.all(is_harmless)
}

/// Whether a parameter of a content type leaves JSON what it is.
fn is_harmless(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return parameter.is_empty() };
    let value = value.trim().trim_matches('"');
    // With a star a parameter has an encoding of its own (RFC 8187).
    !name.trim().trim_end_matches('*').eq_ignore_ascii_case("charset")
        || value.eq_ignore_ascii_case("utf-8")
        || value.eq_ignore_ascii_case("utf8")
}

/// A body as text, without its content coding.
pub(crate) fn plain<'a>(headers: &HeaderMap, body: &'a [u8], cap: usize) -> Result<Cow<'a, str>, Doubt> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let plain = match (codings.next(), codings.next()) {
        (None, _) => Cow::Borrowed(body),
        (Some(one), None) if is_one(one.as_bytes()) => {
            let decoded = coding::decoded(headers, body, cap).map_err(|why| match why {
                Unread::TooLarge => Doubt::Large,
                Unread::Undecodable => Doubt::Coding,
            })?;
            if matches!(decoded, Cow::Owned(_)) && opens_json(body) {
                // Who heeds the coding and who does not would read two messages.
                return Err(Doubt::Coding);
            }
            decoded
        }
        _ => return Err(Doubt::Coding),
    };
    match plain {
        Cow::Borrowed(bytes) => str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Doubt::Form),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Doubt::Form),
    }
}

fn is_one(codings: &[u8]) -> bool {
    !codings.contains(&b',')
}

/// Whether it could be JSON as it stands, also in UTF-16 or UTF-32, which some parsers detect.
fn opens_json(body: &[u8]) -> bool {
    let may_stand_before =
        |byte: u8| byte.is_ascii_whitespace() || matches!(byte, 0 | 0xef | 0xbb | 0xbf | 0xfe | 0xff);
    matches!(body.iter().find(|byte| !may_stand_before(**byte)), Some(b'{' | b'['))
}

/// What a request with this body does; `kept` where the product keeps the answer unless the body
/// says otherwise.
pub(crate) fn judge(by: &ByPreset, kept: bool, text: &str) -> Result<Access, Doubt> {
    let judged = match by.preset().rule() {
        Some(BodyRule::JsonRpc { reads, tool_call }) => rpc::judge(text, &|method, tool| {
            if *method == **tool_call {
                tool.is_some_and(|tool| by.reads(tool))
            } else {
                reads.iter().any(|known| **known == *method)
            }
        }),
        Some(BodyRule::WritesWhere(members)) => asked::judge(text, members, kept),
        // A preset without a rule sends no request here.
        None => return Ok(Access::Write),
    };
    judged.map_err(|_| Doubt::Form)
}

#[cfg(test)]
mod tests;
