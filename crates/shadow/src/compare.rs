//! The comparison of two answers to the same request.
//!
//! # What is compared, and how
//!
//! - The **status**. Where one answer is a success and the other is not, nothing else is
//!   compared: an error has another shape, and every place of it would be told.
//! - The **headers** of interest; a content type without regard to case and spaces.
//! - **JSON**, member by member. Numbers are equal within the relative tolerance of their place,
//!   and `1` is `1.0`. Elements of an array are matched by place, or by the member that `arrays`
//!   names; `answers.ids: /results/*/id` matches those of `/results` by `id` of itself.
//! - The **ids** that were retrieved: overlap, rank distance, what is missing, what is new, and
//!   the order. They are told as ids and not again as JSON, nor is an element that is missing
//!   since its id is. Where each id has a score, scores are compared by id.
//! - The **texts**, by how alike their words are. Spaces do not count.
//! - **Event streams** (`text/event-stream`, and JSON in lines) by what is put together from
//!   all of their events: text, ids and scores, since no two streams are cut alike.
//! - Anything else byte by byte.
//!
//! Bodies in `gzip`, `deflate`, `br` and `zstd` are decoded, up to `max_answer`.
//!
//! # What is promised
//!
//! - An answer does not differ from itself, and to swap the sides is to swap what is told.
//! - Each pointer that is told resolves in that side's document; one that would be longer than
//!   512 bytes ends at the last whole member before that.
//! - Of what is at most 100 differences, 10 are of one class, so that a long array does not hide
//!   the rest; all are counted.
//! - No text is told but what `show` and the ids name; see [`Shown`].
//! - Answers come from a network: no answer makes this panic, and time and memory grow with
//!   `max_answer` and no faster. Texts of thousands of different words are compared by which
//!   words they have and no longer by their order as well.

use http::{HeaderName, StatusCode, header};

use crate::{
    Kind,
    comparison::{Answer, Comparison, Difference, Seen, Shown},
};

mod content;
mod documents;
mod events;
mod found;
mod gather;
mod ids;
mod input;
mod keys;
mod path;
mod rules;
mod shown;
mod streams;
mod text;
mod walk;

pub use input::{AnswersInput, CompareInput, Pointers};

use content::Content;
use found::Found;
use rules::Rules;

/// Compares answers as one `compare:` section says.
///
/// It holds no state; one can be used from many threads.
#[derive(Clone, Debug)]
pub struct Comparer {
    rules: Rules,
    headers: Box<[HeaderName]>,
    /// Texts that are less alike than this differ.
    similarity: f64,
    /// In bytes, decoded.
    max_answer: usize,
}

impl Comparer {
    /// How the shadow's answer differs from the primary's.
    #[must_use]
    pub fn compare(&self, primary: &Answer, shadow: &Answer) -> Comparison {
        let mut found = Found::default();
        status(primary.status, shadow.status, &mut found);
        if primary.status.is_success() != shadow.status.is_success() {
            return found.into_comparison();
        }
        for name in &self.headers {
            header(name, primary, shadow, &mut found);
        }
        let first = Content::of(primary, self.max_answer);
        let read;
        let second = if same_wire(primary, shadow) {
            &first
        } else {
            read = Content::of(shadow, self.max_answer);
            &read
        };
        self.contents(&first, second, &mut found);
        found.into_comparison()
    }

    fn contents(&self, primary: &Content, shadow: &Content, found: &mut Found) {
        match (primary, shadow) {
            (Content::Json(primary), Content::Json(shadow)) => {
                documents::compare(&self.rules, self.similarity, primary, shadow, found);
            }
            (Content::Events(primary), Content::Events(shadow)) => {
                streams::compare(&self.rules, self.similarity, primary, shadow, found);
            }
            (Content::Bytes(primary), Content::Bytes(shadow)) => self.bytes(primary, shadow, found),
            // The same bytes in the same coding are the same, readable or not.
            (Content::Unread(_), Content::Unread(_)) if std::ptr::eq(primary, shadow) => {}
            _ => found.tell(Difference {
                class: "format".into(),
                kind: Kind::Format,
                primary: Some(nowhere(shown::own(primary.name()))),
                shadow: Some(nowhere(shown::own(shadow.name()))),
            }),
        }
    }

    /// Bodies that are no JSON: as texts where the whole answer is said to be one, else as bytes.
    fn bytes(&self, primary: &[u8], shadow: &[u8], found: &mut Found) {
        let root = self.rules.root();
        if root.is_text()
            && let (Ok(primary), Ok(shadow)) = (std::str::from_utf8(primary), std::str::from_utf8(shadow))
        {
            let [primary, shadow] = [primary, shadow].map(|text| text::Side::whole(text, root.is_shown()));
            text::compare(&primary, &shadow, self.similarity, found);
        } else if primary != shadow {
            let seen = |body| nowhere(shown::text(&String::from_utf8_lossy(body), false));
            found.tell(Difference {
                class: "body".into(),
                kind: Kind::Body,
                primary: Some(seen(primary)),
                shadow: Some(seen(shadow)),
            });
        }
    }
}

fn status(primary: StatusCode, shadow: StatusCode, found: &mut Found) {
    if primary != shadow {
        let seen = |status: StatusCode| nowhere(Shown::Value(status.as_u16().into()));
        found.tell(Difference {
            class: "status".into(),
            kind: Kind::Status,
            primary: Some(seen(primary)),
            shadow: Some(seen(shadow)),
        });
    }
}

fn header(name: &HeaderName, primary: &Answer, shadow: &Answer, found: &mut Found) {
    let [ours, theirs] = [primary, shadow].map(|answer| field(name, answer));
    if ours != theirs {
        let seen = |value: String| nowhere(shown::text(&value, *name == header::CONTENT_TYPE));
        found.tell(Difference {
            class: format!("header/{name}").into(),
            kind: Kind::Header,
            primary: ours.map(seen),
            shadow: theirs.map(seen),
        });
    }
}

/// All values of a header field, as they are compared; none where it is not there.
fn field(name: &HeaderName, answer: &Answer) -> Option<String> {
    let values = answer.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let values = values.collect::<Vec<_>>();
    if values.is_empty() {
        return None;
    }
    let mut joined = values.join(", ");
    if *name == header::CONTENT_TYPE {
        joined.retain(|c| !c.is_ascii_whitespace());
        joined.make_ascii_lowercase();
    }
    Some(joined)
}

/// Whether both came as the same bytes that mean the same.
fn same_wire(primary: &Answer, shadow: &Answer) -> bool {
    let same =
        |name: HeaderName| primary.headers.get_all(&name).iter().eq(shadow.headers.get_all(&name).iter());
    primary.body == shadow.body && same(header::CONTENT_TYPE) && same(header::CONTENT_ENCODING)
}

/// Something that stands in no JSON.
fn nowhere(value: Shown) -> Seen {
    Seen { pointer: "".into(), value }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
