//! The one form in which a path is matched and forwarded.
//!
//! A path that two parties read differently is how a request slips past a route: the gateway
//! matches `/public/..%2fadmin`, the service decodes it and serves `/admin`. So a path is
//! either brought into one canonical form before it is matched, and forwarded in that very
//! form, or refused:
//!
//! - refused: dot segments in any spelling, also before a path parameter (`/..;x/`, which
//!   servlet containers read as `/../`); an encoded slash; a backslash, raw or encoded; NUL;
//!   an escape that is none; overlong UTF-8, which lenient decoders read as one of these;
//! - rewritten: doubled slashes become one, escapes of unreserved characters (RFC 3986
//!   section 2.3) the character itself, other escapes upper case, and what may not stand in
//!   a path raw becomes an escape;
//! - a query is kept as it came, but for raw bytes that may not stand in one.
//!
//! Promise: [`normalise`] is idempotent, never changes what a path decodes to (but for merged
//! slashes), and reads a canonical path once without allocating.

use std::borrow::Cow;

use http::{Method, StatusCode, Uri, uri::PathAndQuery};
use sluicegate_core::{Code, Refusal};

/// Why a request-target cannot be served: each names what was found and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// `.` or `..` as a segment, in any spelling.
    #[error("the path has a dot segment (`.` or `..`, raw or as %2e); send the path already resolved")]
    DotSegment,
    /// `%2f`.
    #[error("the path has an encoded slash (%2f); send a plain / or put the value into the query")]
    EncodedSlash,
    /// `\` or `%5c`.
    #[error("the path has a backslash (raw or %5c); send a / or put the value into the query")]
    Backslash,
    /// `%00`.
    #[error("the path has a NUL (%00); remove it")]
    Nul,
    /// `%` without two hexadecimal digits after it.
    #[error("the path has a % that is not followed by two hexadecimal digits; send %25 for a percent sign")]
    BadEscape,
    /// An escaped character in more bytes than it needs.
    #[error("the path has overlong UTF-8 in its escapes; encode each character in its shortest form")]
    Overlong,
    /// Neither origin-form nor absolute-form.
    #[error("the request-target has no path that begins with /; send one, as in GET /path")]
    NoPath,
    /// `*` with another method than OPTIONS.
    #[error("the request-target * is for OPTIONS only; send a path that begins with /")]
    Asterisk,
    /// CONNECT.
    #[error("CONNECT is not offered; send the request for the resource itself")]
    Connect,
    /// Longer than a URI may be, once it is escaped.
    #[error("the path and query are longer than 65534 bytes in canonical form; shorten them")]
    TooLong,
}

impl From<Flaw> for Refusal {
    fn from(flaw: Flaw) -> Self {
        let refusal = Self::new(Code::BadRequest, flaw.to_string());
        if flaw == Flaw::TooLong { refusal.status(StatusCode::URI_TOO_LONG) } else { refusal }
    }
}

/// What a raw byte means in a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// May stand as it is.
    Plain,
    Slash,
    Dot,
    Semicolon,
    Percent,
    Backslash,
    Nul,
    /// May stand only as an escape.
    Illegal,
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

const CLASS: [Class; 256] = {
    let mut table = [Class::Illegal; 256];
    let mut byte = 0u8;
    loop {
        table[byte as usize] = match byte {
            b'/' => Class::Slash,
            b'.' => Class::Dot,
            b';' => Class::Semicolon,
            b'%' => Class::Percent,
            b'\\' => Class::Backslash,
            0 => Class::Nul,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' => {
                Class::Plain
            }
            _ if is_unreserved(byte) => Class::Plain,
            _ => Class::Illegal,
        };
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    table
};

fn class(byte: u8) -> Class {
    CLASS[usize::from(byte)]
}

/// Text that is copied only from its first change on.
struct Rewrite<'a> {
    source: &'a str,
    /// How much of the source has been copied or replaced.
    done: usize,
    copy: String,
}

impl<'a> Rewrite<'a> {
    fn of(source: &'a str) -> Self {
        Self { source, done: 0, copy: String::new() }
    }

    /// Replaces `from..to` of the source, both on character boundaries.
    fn replace(&mut self, from: usize, to: usize, with: impl IntoIterator<Item = char>) {
        if self.copy.is_empty() {
            self.copy.reserve(self.source.len() + 16);
        }
        self.copy.push_str(self.source.get(self.done..from).unwrap_or_default());
        self.copy.extend(with);
        self.done = to;
    }

    /// Replaces the bytes from `from` on that `illegal` names by escapes; returns their end.
    fn escape_run(&mut self, from: usize, illegal: impl Fn(u8) -> bool) -> usize {
        let bytes = self.source.as_bytes();
        // All bytes of a character outside ASCII are illegal, so a run ends on a boundary.
        let run = bytes[from..].iter().take_while(|&&byte| illegal(byte)).count();
        self.replace(from, from + run, bytes[from..from + run].iter().copied().flat_map(escaped));
        from + run
    }

    fn finish(mut self) -> Cow<'a, str> {
        if self.done == 0 {
            return Cow::Borrowed(self.source);
        }
        self.copy.push_str(self.source.get(self.done..).unwrap_or_default());
        Cow::Owned(self.copy)
    }
}

fn escaped(byte: u8) -> [char; 3] {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    ['%', char::from(HEX[usize::from(byte >> 4)]), char::from(HEX[usize::from(byte & 15)])]
}

/// The byte that an escape at `at` stands for; `None` where there is none.
fn unescape(bytes: &[u8], at: usize) -> Option<u8> {
    if bytes.get(at) != Some(&b'%') {
        return None;
    }
    let digit = |offset| {
        let digit = char::from(*bytes.get(at + offset)?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    Some(digit(1)? << 4 | digit(2)?)
}

/// Whether the escape at `at`, which stands for `second`, and the one right before it begin a
/// character in more bytes than it needs (RFC 3629 section 3).
fn ends_overlong(bytes: &[u8], at: usize, second: u8) -> bool {
    // Where there is a `%` three bytes back, it begins the escape that ends here.
    match at.checked_sub(3).and_then(|before| unescape(bytes, before)) {
        Some(0xC0 | 0xC1) => (0x80..=0xBF).contains(&second),
        Some(0xE0) => (0x80..=0x9F).contains(&second),
        Some(0xF0) => (0x80..=0x8F).contains(&second),
        _ => false,
    }
}

/// The segment holds something else than dots. A longer run of dots saturates here too; both
/// are no dot segment.
const NOT_DOTS: u8 = u8::MAX;

fn refuse_dots(dots: u8) -> Result<(), Flaw> {
    if matches!(dots, 1 | 2) { Err(Flaw::DotSegment) } else { Ok(()) }
}

/// Brings a path, which begins with `/` and has no query, into canonical form.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, Flaw> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(Flaw::NoPath);
    }
    let mut out = Rewrite::of(path);
    // How many dots the segment has so far, while it has nothing else.
    let mut dots = 0u8;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match class(byte) {
            Class::Plain => {
                dots = NOT_DOTS;
                at += 1;
            }
            Class::Slash => {
                refuse_dots(dots)?;
                dots = 0;
                if at > 0 && bytes[at - 1] == b'/' {
                    out.replace(at, at + 1, None);
                }
                at += 1;
            }
            Class::Dot => {
                dots = dots.saturating_add(1);
                at += 1;
            }
            Class::Semicolon => {
                refuse_dots(dots)?;
                dots = NOT_DOTS;
                at += 1;
            }
            Class::Percent => {
                dots = canonical_escape(&mut out, at, dots)?;
                at += 3;
            }
            Class::Illegal => {
                dots = NOT_DOTS;
                at = out.escape_run(at, |byte| class(byte) == Class::Illegal);
            }
            Class::Backslash => return Err(Flaw::Backslash),
            Class::Nul => return Err(Flaw::Nul),
        }
    }
    refuse_dots(dots)?;
    Ok(out.finish())
}

/// Judges the escape at `at`; returns the dots that the segment has after it.
fn canonical_escape(out: &mut Rewrite<'_>, at: usize, dots: u8) -> Result<u8, Flaw> {
    let bytes = out.source.as_bytes();
    let value = unescape(bytes, at).ok_or(Flaw::BadEscape)?;
    match value {
        b'/' => return Err(Flaw::EncodedSlash),
        b'\\' => return Err(Flaw::Backslash),
        0 => return Err(Flaw::Nul),
        b';' => refuse_dots(dots)?,
        _ if ends_overlong(bytes, at, value) => return Err(Flaw::Overlong),
        _ => {}
    }
    if is_unreserved(value) {
        out.replace(at, at + 3, [char::from(value)]);
    } else if bytes[at + 1..at + 3].iter().any(u8::is_ascii_lowercase) {
        out.replace(at, at + 3, escaped(value));
    }
    Ok(if value == b'.' { dots.saturating_add(1) } else { NOT_DOTS })
}

/// Escapes what may not stand raw in a query (RFC 3986 section 3.4); all else stays as it came.
#[must_use]
pub fn clean_query(query: &str) -> Cow<'_, str> {
    let illegal =
        |byte| byte != b'?' && matches!(class(byte), Class::Illegal | Class::Backslash | Class::Nul);
    let mut out = Rewrite::of(query);
    let mut at = 0;
    while let Some(&byte) = query.as_bytes().get(at) {
        at = if illegal(byte) { out.escape_run(at, illegal) } else { at + 1 };
    }
    out.finish()
}

/// The canonical path and query of a request; `None` where it already has them.
///
/// Of the absolute form only path and query are looked at: its authority is the ingress's.
pub(crate) fn canonical_target(method: &Method, uri: &Uri) -> Result<Option<PathAndQuery>, Flaw> {
    if method == Method::CONNECT {
        return Err(Flaw::Connect);
    }
    let target = uri.path_and_query().ok_or(Flaw::NoPath)?;
    if target.path() == "*" {
        return if method == Method::OPTIONS { Ok(None) } else { Err(Flaw::Asterisk) };
    }
    let path = normalise(target.path())?;
    let query = target.query().map(clean_query);
    // `http://host?query` has an empty path, which means `/`.
    let is_canonical = matches!(path, Cow::Borrowed(_))
        && matches!(query, None | Some(Cow::Borrowed(_)))
        && target.as_str().starts_with('/');
    if is_canonical {
        return Ok(None);
    }
    let mut canonical = path.into_owned();
    if let Some(query) = query {
        canonical.push('?');
        canonical.push_str(&query);
    }
    // What is escaped is legal; only its length can still be wrong.
    PathAndQuery::try_from(canonical).map(Some).map_err(|_| Flaw::TooLong)
}

#[cfg(test)]
mod tests;
