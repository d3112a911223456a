//! Two answers that were streamed.
//!
//! No two streams are cut at the same places, so they are never compared event by event but by
//! what is put together from all of their events: the text, the ids and their scores. The text
//! stands where `answers.texts` says, applied to the JSON of each event; where that finds none,
//! in the deltas of the well-known streams; and where no event is JSON, the events are the text.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;

use super::{
    events::Event,
    found::Found,
    gather::Gathered,
    ids::{self, Ids},
    nowhere,
    rules::Rules,
    shown, text,
};
use crate::comparison::{Difference, Kind};

/// What ends a stream of the `OpenAI` kind; no part of its text.
const DONE: &str = "[DONE]";

/// Compares what is put together from both.
pub(super) fn compare(
    rules: &Rules,
    similarity: f64,
    primary: &[Event],
    shadow: &[Event],
    found: &mut Found,
) {
    let [our_json, their_json] = [primary, shadow].map(documents);
    let [ours, theirs] = [&our_json, &their_json].map(|json| Gathered::of_all(rules, json.iter()));
    let ids = Ids::of(&ours, &theirs);
    if let Some(ids) = &ids {
        ids.tell(rules, &ours, &theirs, found);
        found.ids = Some(ids.compared.clone());
        if let Some(pairs) = ids.scores(&ours, &theirs) {
            ids::tell_scores(rules, &pairs, &ours, &theirs, found);
        }
    }
    let mut texts = [&ours, &theirs].map(|side| text::Side::of(rules, side, ""));
    if ours.texts.is_empty() && theirs.texts.is_empty() {
        let known = [&our_json, &their_json].map(|json| deltas(json));
        let is_json = !our_json.is_empty() || !their_json.is_empty();
        if known.iter().any(Option::is_some) {
            let open = rules.root().is_shown();
            texts =
                known.map(|text| text.map_or_else(text::Side::none, |text| text::Side::whole(text, open)));
        } else if !is_json {
            let open = rules.root().is_shown();
            texts = [primary, shadow].map(|events| text::Side::whole(data(events), open));
        } else if ids.is_none() {
            bytes(primary, shadow, found);
            return;
        }
    }
    let [our_text, their_text] = texts;
    text::compare(&our_text, &their_text, similarity, found);
}

/// The events that are JSON objects or arrays.
fn documents(events: &[Event]) -> Vec<Value> {
    let is_tree = |data: &str| data.trim_start().starts_with(['{', '[']) && data != DONE;
    let trees = events.iter().filter(|event| is_tree(&event.data));
    trees.filter_map(|event| serde_json::from_str(&event.data).ok()).collect()
}

/// The data of all events.
fn data(events: &[Event]) -> String {
    events.iter().map(|event| event.data.as_str()).filter(|data| *data != DONE).collect()
}

/// The text of a well-known stream: each choice or block of it in turn. None where it is none.
fn deltas(documents: &[Value]) -> Option<Cow<'static, str>> {
    let mut parts = BTreeMap::<u64, String>::new();
    let mut add = |index: Option<&Value>, text: Option<&str>| {
        if let Some(text) = text {
            parts.entry(index.and_then(Value::as_u64).unwrap_or(0)).or_default().push_str(text);
        }
    };
    for document in documents {
        let text_at = |pointer| document.pointer(pointer).and_then(Value::as_str);
        // Chat completions, and before them completions.
        for choice in document.get("choices").and_then(Value::as_array).into_iter().flatten() {
            let text = choice.pointer("/delta/content").or_else(|| choice.get("text"));
            add(choice.get("index"), text.and_then(Value::as_str));
        }
        match text_at("/type") {
            // Messages.
            Some("content_block_delta") => add(document.get("index"), text_at("/delta/text")),
            // Responses.
            Some("response.output_text.delta") => add(document.get("output_index"), text_at("/delta")),
            _ => {}
        }
    }
    (!parts.is_empty()).then(|| Cow::Owned(parts.into_values().collect::<Vec<_>>().join("\n")))
}

/// Streams in which nothing is known are the same where their events are.
fn bytes(primary: &[Event], shadow: &[Event], found: &mut Found) {
    if primary != shadow {
        let seen = |events| Some(nowhere(shown::text(&data(events), false)));
        let (primary, shadow) = (seen(primary), seen(shadow));
        found.tell(Difference { class: "body".into(), kind: Kind::Body, primary, shadow });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::compare;
    use crate::{
        compare::{
            events::Event,
            found::Found,
            input::pattern,
            rules::{Rule, Rules},
        },
        comparison::Comparison,
    };

    fn event(name: &str, data: impl Into<Data>) -> Event {
        Event { name: name.to_owned(), data: data.into().0 }
    }

    struct Data(String);

    impl From<&str> for Data {
        fn from(text: &str) -> Self {
            Self(text.to_owned())
        }
    }

    impl From<Value> for Data {
        fn from(value: Value) -> Self {
            Self(value.to_string())
        }
    }

    fn chat(parts: &[&str]) -> Vec<Event> {
        let chunk =
            |part: &&str| event("", json!({ "choices": [{ "index": 0, "delta": { "content": part } }] }));
        parts.iter().map(chunk).chain([event("", "[DONE]")]).collect()
    }

    fn messages(parts: &[&str]) -> Vec<Event> {
        let delta = |part: &&str| {
            let delta = json!({ "type": "text_delta", "text": part });
            event("content_block_delta", json!({ "type": "content_block_delta", "index": 0, "delta": delta }))
        };
        [event("ping", json!({ "type": "ping" }))].into_iter().chain(parts.iter().map(delta)).collect()
    }

    fn demo(ids: &[Value], parts: &[&str]) -> Vec<Event> {
        let citations = ids.iter().map(|id| json!({ "id": id, "score": 1.5 })).collect::<Vec<_>>();
        let first = event("retrieval", json!({ "citations": citations }));
        [first].into_iter().chain(parts.iter().map(|part| event("token", json!({ "text": part })))).collect()
    }

    fn rules() -> Rules {
        let mut rules = Rules::new();
        let all = [("/citations/*/id", Rule::Id), ("/citations/*/score", Rule::Score), ("/text", Rule::Text)];
        for (pointer, rule) in all {
            rules.add(&pattern(pointer).unwrap(), rule);
        }
        rules
    }

    fn compared(rules: &Rules, primary: &[Event], shadow: &[Event]) -> Comparison {
        let mut found = Found::default();
        compare(rules, 1.0, primary, shadow, &mut found);
        found.into_comparison()
    }

    fn classes(comparison: &Comparison) -> Vec<&str> {
        comparison.differences.iter().map(|it| &*it.class).collect()
    }

    #[test]
    fn how_a_stream_is_cut_does_not_matter() {
        let none = Rules::new();
        for streams in [
            [chat(&["Hel", "lo the", "re"]), chat(&["", "Hello ", "there"])],
            [messages(&["Hello there"]), messages(&["Hello", " there"])],
            [
                vec![event("", "Hello"), event("", " there")],
                vec![event("", "Hello there"), event("", "[DONE]")],
            ],
        ] {
            let same = compared(&none, &streams[0], &streams[1]);
            assert!(same.differences.is_empty(), "{same:?}");
            assert_eq!(same.texts, Some(1.0));
        }
        let other = compared(&none, &chat(&["Hello there"]), &chat(&["Hello", " you"]));
        assert_eq!(classes(&other), ["text"]);
    }

    #[test]
    fn choices_are_put_together_each_by_itself() {
        let chunk = |index, text| event("", json!({ "choices": [{ "index": index, "text": text }] }));
        let mixed = [chunk(0, "a "), chunk(1, "x "), chunk(0, "b"), chunk(1, "y")];
        let in_turn = [chunk(1, "x y"), chunk(0, "a b")];
        assert!(compared(&Rules::new(), &mixed, &in_turn).differences.is_empty());
    }

    #[test]
    fn ids_scores_and_texts_are_found_where_the_answers_say() {
        let ids = [json!("a"), json!("b")];
        let ours = demo(&ids, &["Yes ", "[1]"]);
        let same = compared(&rules(), &ours, &demo(&ids, &["Yes [1]"]));
        assert!(same.differences.is_empty(), "{same:?}");
        assert_eq!(same.ids.unwrap().k, 2);
        let other = compared(&rules(), &ours, &demo(&[json!("b"), json!("c")], &["No [1]"]));
        assert_eq!(classes(&other), ["ids", "text"]);
        assert!(other.differences.iter().all(|it| it.primary.iter().all(|seen| seen.pointer.is_empty())));
        let mut scored = ours.clone();
        scored[0].data = scored[0].data.replace("1.5", "1.6");
        assert_eq!(
            classes(&compared(&rules(), &ours, &scored)),
            ["/citations/*/score", "/citations/*/score"]
        );
    }

    #[test]
    fn a_stream_that_breaks_off_has_less_text() {
        assert_eq!(
            classes(&compared(&Rules::new(), &chat(&["Hello", " there"]), &chat(&["Hello"]))),
            ["text"]
        );
        assert_eq!(classes(&compared(&Rules::new(), &chat(&["Hello"]), &chat(&[]))), ["text"]);
        assert_eq!(classes(&compared(&Rules::new(), &chat(&["Hello"]), &[])), ["text"]);
    }

    #[test]
    fn events_of_which_nothing_is_known_are_compared_as_they_are() {
        let ours = [event("a", json!({ "n": 1 }))];
        assert!(compared(&Rules::new(), &ours, &ours.clone()).differences.is_empty());
        assert_eq!(classes(&compared(&Rules::new(), &ours, &[event("b", json!({ "n": 1 }))])), ["body"]);
    }

    proptest! {
        #[test]
        fn cut_anywhere_it_is_the_same_text(text in "[a-z ]{0,40}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5)) {
            let mut at = cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([0, text.len()]).collect::<Vec<_>>();
            at.sort_unstable();
            let parts = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect::<Vec<_>>();
            let found = compared(&Rules::new(), &chat(&[&text]), &chat(&parts));
            prop_assert!(found.differences.is_empty());
        }
    }
}
