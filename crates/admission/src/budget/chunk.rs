//! One event of a streamed answer: what it says of usage, and how much text it brings.
//!
//! Read by one walk that knows four shapes at once, since a stream's dialect is not always
//! known and their members do not clash: `usage` beside `choices` (OpenAI chat and
//! completions) or beside `delta` (Anthropic's `message_delta`), within `message`
//! (`message_start`) or within `response` (OpenAI responses). Text is what stands in `delta`,
//! and in `text` of a choice. What is of another type than expected is passed over.

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    json::{Name, pass_over},
    usage::Usage,
};

/// What one event said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The usage, where any tokens were told.
    pub(super) usage: Option<Usage>,
    /// The bytes of text that it brought.
    pub(super) text: u64,
    /// How many choices it has, where it has a list of them.
    pub(super) choices: Option<usize>,
}

impl Chunk {
    /// Reads the data of an event; `None` where it is no JSON.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let mut chunk = Self::default();
        let mut json = serde_json::Deserializer::from_slice(data);
        Walk { chunk: &mut chunk, place: Place::Top }.deserialize(&mut json).ok()?;
        json.end().ok()?;
        Some(chunk)
    }

    /// Whether it is the chunk that OpenAI's streams end with where usage was asked for: it
    /// tells the usage and chooses nothing.
    pub(super) const fn only_tells_usage(&self) -> bool {
        self.usage.is_some() && matches!(self.choices, Some(0))
    }
}

/// Where in an event the walk is.
#[derive(Clone, Copy, Debug)]
enum Place {
    Top,
    /// `message` or `response`.
    Holder,
    Choices,
    Choice,
    /// Text, or what holds text.
    Text,
    Usage,
    Elsewhere,
}

impl Place {
    fn below(self, name: &str) -> Self {
        match (self, name) {
            (Self::Top | Self::Holder, "usage") => Self::Usage,
            (Self::Top, "message" | "response") => Self::Holder,
            (Self::Top, "choices") => Self::Choices,
            (Self::Top | Self::Choice, "delta")
            | (Self::Choice, "text")
            | (
                Self::Text,
                "content" | "text" | "thinking" | "reasoning" | "reasoning_content" | "refusal" | "name"
                | "partial_json" | "arguments" | "function" | "function_call" | "tool_calls",
            ) => Self::Text,
            _ => Self::Elsewhere,
        }
    }
}

struct Walk<'a> {
    chunk: &'a mut Chunk,
    place: Place,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.place {
            Place::Elsewhere => deserializer.deserialize_ignored_any(IgnoredAny).map(drop),
            Place::Usage => {
                let usage = <Usage as serde::Deserialize>::deserialize(deserializer)?;
                if usage.tokens().is_some() {
                    self.chunk.usage.get_or_insert_default().merge(usage);
                }
                Ok(())
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    pass_over!((); number);

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if matches!(self.place, Place::Text) {
            self.chunk.text = self.chunk.text.saturating_add(text.len() as u64);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { chunk, place } = self;
        let of_items = match place {
            Place::Choices => Place::Choice,
            Place::Text => Place::Text,
            _ => Place::Elsewhere,
        };
        let mut count = 0;
        while items.next_element_seed(Walk { chunk, place: of_items })?.is_some() {
            count += 1;
        }
        if matches!(place, Place::Choices) {
            chunk.choices = Some(count);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { chunk, place } = self;
        while let Some(below) = members.next_key_seed(Name(|name: &str| place.below(name)))? {
            members.next_value_seed(Walk { chunk, place: below })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
