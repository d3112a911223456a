use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::Skim;
use crate::budget::usage::Usage;

fn skim(pieces: &[&[u8]]) -> Option<Usage> {
    let mut skim = Skim::default();
    for piece in pieces {
        skim.feed(piece);
    }
    skim.take()
}

fn any_json() -> impl Strategy<Value = Value> {
    let text =
        prop_oneof![Just("usage".to_owned()), Just(r#"a "quoted" \ thing: {,}"#.to_owned()), any::<String>()];
    let name = text.clone();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from),
        (0u64..1000, 0u64..1000).prop_map(|(a, b)| json!({"prompt_tokens": a, "total_tokens": b})),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn it_finds_what_a_parser_finds_however_it_is_cut(
        value in any_json(),
        pretty in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        let expected = value.get("usage").map(|usage| serde_json::from_value::<Usage>(usage.clone()).unwrap());
        prop_assert_eq!(skim(&pieces), expected);
    }

    #[test]
    fn anything_may_be_fed(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..5)) {
        skim(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }

    #[test]
    fn anything_like_json_may_be_fed(text in r#"[{}\[\]":,\\ausge1 ]{0,80}"#) {
        skim(&[text.as_bytes()]);
    }
}

#[test]
fn what_it_keeps_is_bounded() {
    let long = format!(r#"{{"usage":{{"total_tokens":1,"x":"{}"}},"a":1}}"#, "y".repeat(20_000));
    let mut skim = Skim::default();
    for byte in long.as_bytes() {
        skim.feed(&[*byte]);
        assert!(skim.value.as_ref().is_none_or(|value| value.len() <= super::MOST_USAGE));
        assert!(skim.name.len() <= 7);
    }
    assert_eq!(skim.take(), None);
}
