//! Finding `usage` in a JSON answer that streams by, without keeping the answer.
//!
//! Answers can be large (a thousand embeddings are 20 MB) and tell their usage at the end, so
//! neither holding them nor reading their beginning serves. Parsers that can be fed piece by
//! piece hold each string whole, and pull parsers wait for their input; so this is a skimmer
//! of its own: it follows strings and nesting, which is all it takes to know the members of
//! the outermost object, and keeps the one value of the name `usage`, up to [`MOST_USAGE`].
//! What it kept is read by `serde_json`. On what is not JSON it finds nothing, or something
//! that `serde_json` refuses.

use memchr::memchr2;

use super::usage::Usage;

/// The longest value of `usage` that is kept, in bytes; providers' are below one KiB.
const MOST_USAGE: usize = 16 * 1024;

const WANTED: &[u8] = b"usage";

#[derive(Debug, Default)]
pub(super) struct Skim {
    depth: u32,
    at: At,
    /// Whether the outermost value is an object; only then do its strings name members.
    in_object: bool,
    name: Vec<u8>,
    /// The value of `usage` up to now, while it is being read.
    value: Option<Vec<u8>>,
    found: Option<Usage>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Outside of strings; a string that begins here is a value, or of no interest.
    #[default]
    Value,
    /// Where a member's name comes next.
    BeforeName,
    InName {
        escaped: bool,
    },
    AfterName,
    InText {
        escaped: bool,
    },
}

impl Skim {
    /// Reads on.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let read = match self.at {
                At::InName { escaped } | At::InText { escaped } => self.string(bytes, escaped),
                At::Value | At::BeforeName | At::AfterName => {
                    self.structure(byte);
                    1
                }
            };
            bytes = bytes.get(read..).unwrap_or_default();
        }
    }

    /// What was found, once.
    pub(super) fn take(&mut self) -> Option<Usage> {
        self.found.take()
    }

    /// Reads within a string; says how far.
    fn string(&mut self, bytes: &[u8], escaped: bool) -> usize {
        let in_name = matches!(self.at, At::InName { .. });
        let again = |escaped| if in_name { At::InName { escaped } } else { At::InText { escaped } };
        let (read, next) = if escaped {
            (1, again(false))
        } else {
            match memchr2(b'"', b'\\', bytes) {
                None => (bytes.len(), again(false)),
                Some(at) if bytes.get(at) == Some(&b'\\') => (at + 1, again(true)),
                Some(at) => (at + 1, if in_name { At::AfterName } else { At::Value }),
            }
        };
        self.at = next;
        let part = bytes.get(..read).unwrap_or_default();
        if in_name {
            let room = (WANTED.len() + 2).saturating_sub(self.name.len());
            self.name.extend(part.iter().take(room));
        }
        self.keep(part);
        read
    }

    /// Reads one byte outside of strings.
    fn structure(&mut self, byte: u8) {
        let outermost = self.depth == 1 && self.in_object;
        match byte {
            b'"' if self.at == At::BeforeName => {
                self.name.clear();
                self.at = At::InName { escaped: false };
                return;
            }
            b'"' => self.at = At::InText { escaped: false },
            b':' if outermost && self.at == At::AfterName => {
                self.at = At::Value;
                if self.name.strip_suffix(b"\"") == Some(WANTED) {
                    self.value = Some(Vec::new());
                }
                return;
            }
            b',' if outermost => {
                self.end_value();
                self.at = At::BeforeName;
            }
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                if self.depth == 1 {
                    self.in_object = byte == b'{';
                    self.at = if self.in_object { At::BeforeName } else { At::Value };
                }
            }
            b'}' | b']' => {
                if self.depth == 1 {
                    self.end_value();
                    self.at = At::Value;
                }
                self.depth = self.depth.saturating_sub(1);
            }
            _ => {}
        }
        self.keep(&[byte]);
    }

    fn keep(&mut self, part: &[u8]) {
        if let Some(value) = &mut self.value {
            if value.len() + part.len() > MOST_USAGE {
                self.value = None;
            } else {
                value.extend_from_slice(part);
            }
        }
    }

    fn end_value(&mut self) {
        let read = self.value.take().and_then(|value| serde_json::from_slice(&value).ok());
        if let Some(usage) = read {
            self.found.get_or_insert_default().merge(usage);
        }
    }
}

#[cfg(test)]
mod tests;
