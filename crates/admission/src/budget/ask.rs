//! What a request asks of a model: how much it may take, and whether the answer will say.
//!
//! The body is read once, by a visitor that keeps nothing of it. Where it names a maximum
//! more than once, or under more than one name, the largest counts: parsers differ in which
//! they take. A body that cannot be read (encoded, not JSON, past the cap of what is
//! gathered) is estimated by its length and the default maximum, and goes on as it is.

use bytes::Bytes;
use http::HeaderMap;
use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    dialect::Dialect,
    estimate::{Estimate, tokens_of, tokens_of_body},
    json::{Count, Name, pass_over},
};

mod options;

use options::{Insertion, Options};

/// A string so long without a space is no text but a picture or a file in base64.
const LEAST_MEDIA: usize = 1024;

/// What was read of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    estimate: Estimate,
    streams: bool,
    insertion: Option<Insertion>,
}

impl Ask {
    /// Reads a request's whole body.
    #[must_use]
    pub fn read(dialect: Dialect, body: &[u8], default_max_tokens: u64) -> Self {
        let mut read = Read::default();
        let mut json = serde_json::Deserializer::from_slice(body);
        let whole = (&mut json).deserialize_map(Top { read: &mut read, body }).and_then(|()| json.end());
        if whole.is_err() {
            return Self::unread(dialect, body.len() as u64, default_max_tokens);
        }
        let prompt = tokens_of_body(body, read.media.count, read.media.bytes);
        let asks = read.streams && dialect.must_ask_for_usage();
        let insertion = if asks { read.options.insertion(body) } else { None };
        Self {
            estimate: read.estimate(prompt, dialect, default_max_tokens),
            streams: read.streams,
            insertion,
        }
    }

    /// For a body that cannot be read here, of `length` bytes as far as is known.
    #[must_use]
    pub fn unread(dialect: Dialect, length: u64, default_max_tokens: u64) -> Self {
        let estimate = Read::default().estimate(tokens_of(length), dialect, default_max_tokens);
        Self { estimate, streams: false, insertion: None }
    }

    /// What it may take.
    #[must_use]
    pub const fn estimate(&self) -> Estimate {
        self.estimate
    }

    /// Whether it asks for a stream.
    #[must_use]
    pub const fn streams(&self) -> bool {
        self.streams
    }

    /// Whether the body must be changed so that the answer tells its usage. The chunk that
    /// this adds to the answer is then to be removed (`strip` of [`Metered::new`](super::Metered::new)).
    #[must_use]
    pub const fn must_ask_for_usage(&self) -> bool {
        self.insertion.is_some()
    }

    /// The body with the question for usage in it, every other byte as it was. `body` is the
    /// one that was read.
    #[must_use]
    pub fn asking_for_usage(&self, body: &Bytes) -> Bytes {
        self.insertion.as_ref().and_then(|insertion| insertion.made_in(body)).unwrap_or_else(|| body.clone())
    }
}

/// Whether a request's body may be changed: not where it is encoded, or vouched for by a digest
/// or signature that would then be wrong. Nor where an idempotency key stands for it: a changed
/// body would not be the one that its repetitions are compared with, and the answer that is
/// stored for them would have the chunk that the first one was spared.
#[must_use]
pub fn may_change_body(headers: &HeaderMap) -> bool {
    const VOUCHED: [&str; 8] = [
        "content-encoding",
        "content-digest",
        "repr-digest",
        "digest",
        "content-md5",
        "signature",
        "x-amz-content-sha256",
        "idempotency-key",
    ];
    !VOUCHED.iter().any(|name| headers.contains_key(*name))
}

#[derive(Debug, Default)]
struct Read {
    max: Option<u64>,
    /// How many answers are asked for at once.
    answers: Option<u64>,
    streams: bool,
    options: Options,
    media: Media,
}

#[derive(Debug, Default)]
struct Media {
    count: u64,
    bytes: u64,
}

impl Read {
    fn estimate(&self, prompt: u64, dialect: Dialect, default_max_tokens: u64) -> Estimate {
        let of_one = if dialect.answers_text() { self.max.unwrap_or(default_max_tokens) } else { 0 };
        let output = of_one.saturating_mul(self.answers.unwrap_or(1).max(1));
        Estimate { prompt, output, limited: self.max.is_some() }
    }
}

struct Top<'a> {
    read: &'a mut Read,
    body: &'a [u8],
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { read, body } = self;
        while let Some(member) = members.next_key_seed(Name(Member::of))? {
            match member {
                Member::Max => read.max = read.max.max(members.next_value::<Count>()?.0),
                Member::Answers => read.answers = read.answers.max(members.next_value::<Count>()?.0),
                Member::Stream => read.streams = members.next_value::<&RawValue>()?.get() == "true",
                Member::StreamOptions => read.options = Options::of(members.next_value()?, body),
                Member::Content => members.next_value_seed(Content(&mut read.media))?,
            }
        }
        Ok(())
    }
}

enum Member {
    Max,
    Answers,
    Stream,
    StreamOptions,
    Content,
}

impl Member {
    fn of(name: &str) -> Self {
        match name {
            "max_tokens" | "max_completion_tokens" | "max_output_tokens" => Self::Max,
            "n" | "best_of" => Self::Answers,
            "stream" => Self::Stream,
            "stream_options" => Self::StreamOptions,
            _ => Self::Content,
        }
    }
}

/// Walks any value and counts the pictures and files in it.
struct Content<'a>(&'a mut Media);

impl<'de> DeserializeSeed<'de> for Content<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Content<'_> {
    type Value = ();

    pass_over!((); number);

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if is_media(text) {
            self.0.count += 1;
            self.0.bytes += text.len() as u64;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Content(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_key::<IgnoredAny>()?.is_some() {
            members.next_value_seed(Content(self.0))?;
        }
        Ok(())
    }
}

/// Base64, bare or in a `data:` URL.
fn is_media(text: &str) -> bool {
    if text.len() < LEAST_MEDIA {
        return false;
    }
    let encoded = match text.strip_prefix("data:") {
        Some(url) => url.split_once(',').map_or(url, |(_, encoded)| encoded),
        None => text,
    };
    let of_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=\r\n".contains(&byte);
    encoded.bytes().all(of_base64)
}

#[cfg(test)]
mod tests;
