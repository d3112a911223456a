//! Where one server-sent event ends and the next begins, in bytes that come in any pieces.
//!
//! The crates for event streams give events and drop the bytes that they were read from, or
//! hold what is unfinished without a bound. Here the bytes go on to the client, so only the
//! boundaries are wanted: an event ends after an empty line, and a line ends with LF, CR or
//! CRLF (HTML Living Standard, section 9.2.6).

use std::borrow::Cow;

use memchr::memchr2;

/// Finds the ends of events.
#[derive(Debug)]
pub(super) struct Boundaries {
    line_is_empty: bool,
    /// The last byte was a CR: an LF after it belongs to the same line end.
    after_cr: bool,
}

impl Boundaries {
    pub(super) const fn new() -> Self {
        Self { line_is_empty: true, after_cr: false }
    }

    /// Reads up to the end of the first event that ends in `bytes`, and says where; reads all
    /// of them where none does.
    pub(super) fn next_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'\n' if self.after_cr => {
                    self.after_cr = false;
                    at += 1;
                }
                b'\n' | b'\r' => {
                    at += 1;
                    self.after_cr = byte == b'\r';
                    if self.line_is_empty {
                        return Some(at + self.line_feed(bytes.get(at..).unwrap_or_default()));
                    }
                    self.line_is_empty = true;
                }
                _ => {
                    self.after_cr = false;
                    self.line_is_empty = false;
                    let rest = bytes.get(at..).unwrap_or_default();
                    at += memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                }
            }
        }
        None
    }

    /// How much of the beginning of `bytes` still belongs to a line end that was read: the LF
    /// of a CRLF that came in two pieces.
    pub(super) fn line_feed(&mut self, bytes: &[u8]) -> usize {
        let here = self.after_cr && bytes.first() == Some(&b'\n');
        if here {
            self.after_cr = false;
        }
        usize::from(here)
    }
}

/// The data of an event: what follows `data:` on its lines, joined by LF. `None` without any.
pub(super) fn data_of(event: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut data: Option<Cow<'_, [u8]>> = None;
    let event = event.strip_prefix(b"\xef\xbb\xbf").unwrap_or(event);
    for line in event.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let Some(value) = line.strip_prefix(b"data:") else { continue };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &mut data {
            None => data = Some(Cow::Borrowed(value)),
            Some(before) => {
                let before = before.to_mut();
                before.push(b'\n');
                before.extend_from_slice(value);
            }
        }
    }
    data
}

#[cfg(test)]
mod tests;
