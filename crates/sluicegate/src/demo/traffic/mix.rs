//! What is asked for: a seeded choice.

use bytes::Bytes;
use fastrand::Rng;
use http::Method;
use serde_json::json;

/// Documents that are written; few, so that the index keeps its size.
const DOCUMENTS: u64 = 100;
/// One in this many requests of the mix is a write.
const WRITE_EVERY: u8 = 4;
/// The most words of an answer: its stream lasts for about half a second.
const WORDS: u64 = 30;
const QUESTIONS: [&str; 6] = [
    "write freeze",
    "how are documents ranked",
    "canary release",
    "retry with a key",
    "why drain writes",
    "index rebuild",
];

/// A request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Bytes,
    pub(super) write: bool,
}

/// A source of requests; the same seed gives the same ones.
pub(super) struct Mix {
    rng: Rng,
    answers: bool,
}

impl Mix {
    /// Queries, documents to read, and documents to write.
    pub(super) fn reads_and_writes(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), answers: false }
    }

    /// Questions, answered as event streams.
    pub(super) fn answers(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), answers: true }
    }

    pub(super) fn ask(&mut self) -> Ask {
        let question = QUESTIONS[self.rng.usize(..QUESTIONS.len())];
        if self.answers {
            return post("/v1/answer", &json!({ "question": question, "max_tokens": WORDS }));
        }
        if self.rng.u8(..WRITE_EVERY) == 0 {
            let (id, revision) = (self.rng.u64(..DOCUMENTS), self.rng.u16(..));
            let text = format!("Revision {revision} of a document that the traffic of the demo writes.");
            return Ask {
                method: Method::PUT,
                path: format!("/v1/documents/traffic-{id}"),
                body: json!({ "title": "Traffic", "text": text }).to_string().into(),
                write: true,
            };
        }
        match self.rng.u8(..3) {
            0 => Ask {
                method: Method::GET,
                path: "/v1/documents?limit=5".to_owned(),
                body: Bytes::new(),
                write: false,
            },
            _ => post("/v1/retrieve", &json!({ "query": question, "k": 3 })),
        }
    }
}

/// A query, although it is a POST.
fn post(path: &str, body: &serde_json::Value) -> Ask {
    Ask { method: Method::POST, path: path.to_owned(), body: body.to_string().into(), write: false }
}

#[cfg(test)]
mod tests {
    use super::Mix;

    #[test]
    fn a_seed_gives_the_same_requests_and_each_kind_comes() {
        let take = |seed| {
            let mut mix = Mix::reads_and_writes(seed);
            std::iter::repeat_with(|| mix.ask()).take(200).collect::<Vec<_>>()
        };
        let asked = take(3);
        assert_eq!(asked, take(3));
        assert_ne!(asked, take(4));
        let count = |path: &str| asked.iter().filter(|ask| ask.path.starts_with(path)).count();
        assert!(count("/v1/retrieve") > 50);
        assert!(count("/v1/documents?") > 20);
        assert!(count("/v1/documents/") > 20);
        assert!(asked.iter().all(|ask| ask.write == ask.path.starts_with("/v1/documents/")));
    }
}
