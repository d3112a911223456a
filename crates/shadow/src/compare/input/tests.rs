use serde_json::json;
use sluicegate_core::units::Size;

use super::{AnswersInput, CompareInput, Pointers, Token, key, pattern};

fn read(section: serde_json::Value) -> CompareInput {
    serde_json::from_value(section).unwrap()
}

fn faults(section: serde_json::Value, answers: serde_json::Value) -> Vec<(String, String)> {
    let answers: AnswersInput = serde_json::from_value(answers).unwrap();
    read(section).check(&answers).map(|_| ()).unwrap_err()
}

#[test]
fn nothing_written_compares_everything() {
    let input = read(json!({}));
    assert_eq!(input, CompareInput::default());
    assert!(input.check(&AnswersInput::default()).is_ok());
}

#[test]
fn a_whole_section_is_read_and_checked() {
    let input = read(json!({
        "ignore": ["/took_ms", "/results/*/debug"],
        "tolerance": { "/results/*/score": 0.01 },
        "arrays": { "/results": "id", "": "/meta/key" },
        "headers": ["Content-Type", "x-model"],
        "similarity": 0.9,
        "show": ["/results/*/title", ""],
        "max_answer": "2MiB",
    }));
    let answers = json!({ "ids": "/results/*/id", "scores": ["/results/*/score"], "texts": ["/answer", ""] });
    let answers: AnswersInput = serde_json::from_value(answers).unwrap();
    let comparer = input.check(&answers).unwrap();
    assert_eq!(comparer.max_answer, 2 << 20);
    assert_eq!(comparer.headers.len(), 2);
    assert!(answers.check().is_empty());
}

#[test]
fn pointers_may_be_one_or_a_list() {
    let both = |value| serde_json::from_value::<Pointers>(value).unwrap();
    assert_eq!(both(json!("/a")).as_slice(), ["/a"]);
    assert_eq!(both(json!(["/a", "/b"])).as_slice(), ["/a", "/b"]);
    assert!(serde_json::from_value::<AnswersInput>(json!({ "id": "/a" })).is_err());
}

#[test]
fn everything_wrong_is_said_at_once_with_its_place() {
    let found = faults(
        json!({
            "ignore": ["took_ms", ""],
            "tolerance": { "/a": 1.5, "b": 0.1 },
            "arrays": { "/a": "", "/b": "/x/*" },
            "headers": ["no header"],
            "similarity": -0.1,
            "show": ["/a~2"],
            "max_answer": "1GiB",
        }),
        json!({ "ids": "", "texts": ["/ok", "not"] }),
    );
    let paths = found.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>();
    let expected = [
        "ignore[0]",
        "ignore[1]",
        "show[0]",
        "tolerance./a",
        "tolerance.b",
        "arrays./a",
        "arrays./b",
        "answers.ids",
        "answers.texts[1]",
        "headers[0]",
        "similarity",
        "max_answer",
    ];
    assert_eq!(paths, expected);
    assert!(found.iter().all(|(_, message)| !message.is_empty()));
    assert_eq!(found[0].1, "`took_ms` is no JSON pointer; begin it with `/`, such as /results/*/id");
}

#[test]
fn a_share_or_similarity_that_is_no_number_is_refused() {
    let mut input = CompareInput { similarity: f64::NAN, ..CompareInput::default() };
    input.tolerance.insert("/a".to_owned(), f64::NAN);
    assert_eq!(input.check(&AnswersInput::default()).unwrap_err().len(), 2);
}

#[test]
fn too_many_pointers_and_headers_are_refused() {
    let many = (0..201).map(|at| format!("/{at}")).collect::<Vec<_>>();
    let input =
        CompareInput { ignore: many.clone(), headers: vec!["a".to_owned(); 33], ..CompareInput::default() };
    assert_eq!(input.check(&AnswersInput::default()).unwrap_err().len(), 2);
    let deep = CompareInput { show: vec!["/x".repeat(65)], ..CompareInput::default() };
    assert_eq!(deep.check(&AnswersInput::default()).unwrap_err().len(), 1);
    let none = CompareInput { max_answer: Size(0), ..CompareInput::default() };
    assert_eq!(none.check(&AnswersInput::default()).unwrap_err()[0].0, "max_answer");
}

#[test]
fn pointers_are_read_as_rfc_6901_says() {
    let names = |pointer| {
        pattern(pointer).unwrap().into_iter().map(|token| match token {
            Token::Any => "*".to_owned(),
            Token::Name(name) => format!("={name}"),
        })
    };
    assert!(names("").eq(Vec::<String>::new()));
    assert!(names("/").eq(["="]));
    assert!(names("/a~1b/m~0n/~01").eq(["=a/b", "=m~n", "=~1"]));
    assert!(names("/*/a*/**").eq(["*", "=a*", "=**"]));
    assert!(pattern("/~").is_err());
    assert!(pattern("/a~x").is_err());
    assert!(pattern("/a~é").is_err());
}

#[test]
fn a_key_is_a_member_or_a_place() {
    assert_eq!(&*key("id").unwrap(), ["id".into()]);
    assert_eq!(&*key("a.b~").unwrap(), ["a.b~".into()]);
    assert_eq!(&*key("/_additional/id").unwrap(), ["_additional".into(), "id".into()]);
    assert!(key("/a/*").is_err());
}

#[test]
fn where_ids_stand_says_which_array_they_match() {
    let ids =
        |pointer: &str| AnswersInput { ids: Pointers::One(pointer.to_owned()), ..AnswersInput::default() };
    let (array, place) = ids("/data/*/hits/*/_source/id").arrays().next().unwrap();
    assert_eq!(array, pattern("/data/*/hits").unwrap());
    assert_eq!(&*place, ["_source".into(), "id".into()]);
    assert!(ids("/ids/0/*").arrays().next().is_none());
    assert!(ids("/id").arrays().next().is_none());
}
