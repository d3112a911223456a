//! One logical write, however often it is sent.

use serde_json::{Value, json};

/// A logical write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its number, which is its name.
    pub number: u64,
    /// The document it belongs to: its order key.
    pub line: String,
    /// Its place among the writes of that document.
    pub place: u64,
}

impl Write {
    /// The key that it is sent under.
    pub fn key(&self) -> String {
        format!("write-{}", self.number)
    }

    /// The number of the write that is sent under this key.
    pub fn number_of(key: &str) -> Option<u64> {
        key.strip_prefix("write-")?.parse().ok()
    }

    /// The path it is sent to.
    pub fn path(&self) -> String {
        format!("/documents/{}", self.line)
    }

    /// Its body; `turned` is the same JSON with its members in another order and other space.
    pub fn body(&self, turned: bool) -> String {
        self.body_with("the text", turned)
    }

    /// A body that differs in one member: another request.
    pub fn other_body(&self) -> String {
        self.body_with("another text", false)
    }

    fn body_with(&self, text: &str, turned: bool) -> String {
        let Self { number, line, place } = self;
        let line = json!(line);
        if turned {
            format!("{{ \"text\": \"{text}\", \"place\": {place},\n \"line\": {line}, \"write\": {number} }}")
        } else {
            format!("{{\"write\":{number},\"line\":{line},\"place\":{place},\"text\":\"{text}\"}}")
        }
    }

    /// Reads a body.
    pub fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        Some(Self {
            number: body["write"].as_u64()?,
            line: body["line"].as_str()?.to_owned(),
            place: body["place"].as_u64()?,
        })
    }

    /// The request as bytes of HTTP/1.1; `lines` are more field lines, each with its CRLF.
    ///
    /// Turned requests spell the key as a structured string, the others as a bare token.
    pub fn request(&self, turned: bool, lines: &str) -> Vec<u8> {
        self.request_with(&self.body(turned), turned, lines)
    }

    /// As [`Write::request`], with another body.
    pub fn request_with(&self, body: &str, quoted: bool, lines: &str) -> Vec<u8> {
        let (path, line, key, length) = (self.path(), &self.line, self.key(), body.len());
        let key = if quoted { format!("\"{key}\"") } else { key };
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             X-Document-Id: {line}\r\nIdempotency-Key: {key}\r\n{lines}Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}
