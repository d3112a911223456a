//! An extractive answer: the sentences of the found documents that match the question best,
//! each with the mark of its source.
//!
//! Nothing is generated, so every sentence is supported by the passage it cites, and the
//! same question over the same documents gives the same answer.

use serde_json::{Value, json};

use crate::index::{Hit, Index};

/// How many sentences an answer has at most.
const SENTENCES: usize = 4;
const NOTHING: &str = "Nothing in the corpus answers this question.";

/// One event of the stream.
#[derive(Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: &'static str,
    pub(crate) data: Value,
}

/// What the answer is made from.
pub(crate) struct Question<'a> {
    pub(crate) text: &'a str,
    pub(crate) hits: &'a [Hit],
    /// The most tokens to give.
    pub(crate) max_tokens: usize,
    pub(crate) model: &'a str,
    pub(crate) index_hash: &'a str,
}

/// The events in the order they are sent: `retrieval`, each `token`, `done`. A token is a
/// word with the space after it; put together they are the answer.
pub(crate) fn events(index: &Index, question: &Question<'_>) -> Vec<Event> {
    let citations = question.hits.iter().zip(1..).map(|(hit, mark)| {
        json!({ "mark": mark, "id": hit.document.id, "title": hit.document.title, "score": hit.score })
    });
    let citations = citations.collect::<Vec<_>>();
    let mut events = vec![Event {
        name: "retrieval",
        data: json!({
            "question": question.text,
            "index_hash": question.index_hash,
            "citations": citations,
        }),
    }];
    let text = compose(index, question.text, question.hits);
    let all = text.split_inclusive(' ').count();
    let given = all.min(question.max_tokens);
    let tokens = text.split_inclusive(' ').take(given);
    events.extend(tokens.map(|token| Event { name: "token", data: json!({ "text": token }) }));
    let passages = question.hits.iter().map(|hit| words(&hit.document.title) + words(&hit.document.text));
    let prompt = words(question.text) + passages.sum::<usize>();
    events.push(Event {
        name: "done",
        data: json!({
            "model": question.model,
            "finish_reason": if given < all { "length" } else { "stop" },
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": given,
                "total_tokens": prompt + given,
            },
        }),
    });
    events
}

/// The best sentences in the order of their sources, each followed by its mark.
fn compose(index: &Index, question: &str, hits: &[Hit]) -> String {
    let sentences = hits
        .iter()
        .zip(1..)
        .flat_map(|(hit, mark)| sentences(&hit.document.text).into_iter().map(move |s| (mark, s)))
        .collect::<Vec<(usize, &str)>>();
    let texts = sentences.iter().map(|(_, text)| *text).collect::<Vec<_>>();
    let mut best = index.rank(question, &texts);
    best.truncate(SENTENCES);
    best.sort_unstable();
    if best.is_empty() {
        return NOTHING.to_owned();
    }
    let cited = best.into_iter().filter_map(|place| {
        let (mark, text) = sentences.get(place)?;
        Some(format!("{text} [{mark}]"))
    });
    cited.collect::<Vec<_>>().join(" ")
}

/// A text cut after each full stop, question or exclamation mark that a space follows.
fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let ends = text.match_indices(['.', '?', '!']).map(|(at, _)| at + 1);
    for end in ends.chain([text.len()]) {
        if text[end..].starts_with(|c: char| !c.is_whitespace()) {
            continue;
        }
        let sentence = text[start..end].trim();
        if !sentence.is_empty() {
            found.push(sentence);
        }
        start = end;
    }
    found
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Event, NOTHING, Question, events, sentences};
    use crate::{corpus::embedded, index::Index, pins::Pins};

    fn ask(question: &str, max_tokens: usize) -> Vec<Event> {
        let pins = Pins::new("m-1".to_owned(), BTreeMap::new()).unwrap();
        let index = Index::new(pins, embedded().unwrap());
        let (hits, seal) = index.search(question, 3);
        let question =
            Question { text: question, hits: &hits, max_tokens, model: "m-1", index_hash: seal.hash() };
        events(&index, &question)
    }

    fn text(events: &[Event]) -> String {
        events.iter().filter(|e| e.name == "token").map(|e| e.data["text"].as_str().unwrap()).collect()
    }

    #[test]
    fn sentences_end_at_a_mark_before_a_space() {
        assert_eq!(sentences("One at 1.2 s. Two?  Three"), ["One at 1.2 s.", "Two?", "Three"]);
        assert_eq!(sentences("é. ö!"), ["é.", "ö!"]);
        assert!(sentences("  ").is_empty());
    }

    #[test]
    fn the_answer_is_cited_from_what_was_found() {
        let events = ask("Why must a write freeze wait for running writes?", usize::MAX);
        let names = events.iter().map(|e| e.name).collect::<Vec<_>>();
        assert_eq!(names[0], "retrieval");
        assert_eq!(names[names.len() - 1], "done");
        assert!(names[1..names.len() - 1].iter().all(|name| *name == "token"));
        let text = text(&events);
        assert!(text.contains("[1]"), "{text}");
        let citations = events[0].data["citations"].as_array().unwrap();
        assert_eq!(citations.len(), 3);
        assert_eq!(citations[0]["mark"], 1);
        let usage = &events[events.len() - 1].data["usage"];
        assert_eq!(usage["completion_tokens"], names.len() - 2);
        assert_eq!(
            usage["total_tokens"].as_u64().unwrap(),
            usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap()
        );
    }

    #[test]
    fn max_tokens_cuts_and_says_so() {
        let events = ask("What is a canary release?", 3);
        assert_eq!(events.len(), 5);
        assert_eq!(events[4].data["finish_reason"], "length");
    }

    #[test]
    fn a_question_nothing_answers_is_told_so() {
        let events = ask("xylophone", usize::MAX);
        assert_eq!(text(&events), NOTHING);
        assert_eq!(events[0].data["citations"].as_array().unwrap().len(), 0);
    }
}
