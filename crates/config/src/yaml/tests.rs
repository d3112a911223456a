use super::{Fault, MAX_BYTES, Mark, Pos, build};

fn at(line: usize, column: usize) -> Pos {
    Pos { line, column }
}

fn fault(text: &str) -> Fault {
    // Not `unwrap_err`, which would show a bomb unfolded.
    match build(text) {
        Err(mut faults) => faults.remove(0),
        Ok(_) => panic!("it is taken"),
    }
}

#[test]
fn every_style_of_nesting_has_its_places() {
    let text = "\
listen:
  - address: a
    tls: {cert: c,
          key: k}
routes:
- name: one
  match: {path: /x, methods: [GET, POST]}
-
  name: \"two\"
upstreams:
  my.service:
    endpoints:
    - http://a
  my: { service: x, pins: &p { A: b } }
  also: { pins: *p }
";
    let tree = build(text).unwrap();
    let table = [
        ("", at(1, 1), at(1, 1)),
        ("listen", at(1, 1), at(2, 3)),
        ("listen[0]", at(2, 5), at(2, 5)),
        ("listen[0].address", at(2, 5), at(2, 14)),
        ("listen[0].tls", at(3, 5), at(3, 10)),
        ("listen[0].tls.cert", at(3, 11), at(3, 17)),
        ("listen[0].tls.key", at(4, 11), at(4, 16)),
        ("routes[0].match.methods[1]", at(7, 36), at(7, 36)),
        ("routes[1].name", at(9, 3), at(9, 9)),
        // The longest key wins over the shorter one it begins with.
        ("upstreams.my.service.endpoints[0]", at(13, 7), at(13, 7)),
        ("upstreams.my.pins.A", at(14, 32), at(14, 35)),
        ("upstreams.also.pins.A", at(14, 32), at(14, 35)),
        // What is not there is where it would be.
        ("routes[1].match.path", at(9, 3), at(9, 3)),
        // (For the parser a list that is not indented begins after its first dash.)
        ("routes[7].name", at(5, 1), at(6, 3)),
        ("shutdown.limit", at(1, 1), at(1, 1)),
    ];
    for (path, key, value) in table {
        assert_eq!(tree.locate(path), Mark { key, value }, "{path}");
    }
}

#[test]
fn columns_count_characters() {
    assert_eq!(build("äöü: [ß, x]").unwrap().locate("äöü[1]").value, at(1, 10));
}

#[test]
fn json_is_taken_with_its_escapes_and_tabs() {
    let tree = build("{\n\t\"a\\u00e9\": [1,\n\t\t{\"b\": \"\\ud83d\\ude00\"}]\n}").unwrap();
    let value: serde_json::Value = crate::read::read(&tree).unwrap();
    assert_eq!(value, serde_json::json!({ "aé": [1, { "b": "😀" }] }));
    assert_eq!(tree.locate("aé[1].b").value, at(3, 9));
}

#[test]
fn a_bomb_of_aliases_is_refused_by_its_unfolded_size() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..7 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text = format!("{text}a{level}: &a{level} [{aliases}]\n");
    }
    assert!(fault(&text).message.starts_with("the document unfolds to more than 200000 values"));
    assert!(fault("a: &a [b, *a]").message.contains("alias"), "{:?}", fault("a: &a [b, *a]"));
}

#[test]
fn depth_and_length_have_bounds() {
    let nested = |depth: usize| format!("{}x{}", "[".repeat(depth), "]".repeat(depth));
    assert!(build(&nested(63)).is_ok());
    assert!(fault(&nested(64)).message.contains("nested deeper than 64"));
    assert!(!fault(&nested(100_000)).message.is_empty());
    assert!(fault(&" ".repeat(MAX_BYTES + 1)).message.contains("4 MiB is the most"));
}

#[test]
fn duplicate_keys_are_all_told_with_their_paths() {
    let faults = build("a: 1\nb:\n  - {c: 1, c: 2}\na: 2\n").unwrap_err();
    let told: Vec<_> =
        faults.iter().map(|fault| (fault.pos, fault.path.as_str(), fault.message.as_str())).collect();
    assert_eq!(
        told,
        [
            (at(3, 12), "b[0].c", "the key `c` is given twice, first on line 3; remove one"),
            (at(4, 1), "a", "the key `a` is given twice, first on line 1; remove one"),
        ]
    );
}

#[test]
fn what_other_yaml_tools_do_in_silence_is_refused_with_a_reason() {
    let table = [
        ("a: !secret b", "the tag `!secret` means nothing here; remove it"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "merge keys (`<<`) are not supported; write the keys out"),
        ("? [a]\n: b", "a key is one word, and here it is a list"),
        (
            "a: 1\n---\nb: 2",
            "a second document begins here; a configuration is one document, so remove this `---` and what belongs to the other",
        ),
        ("a:\n\t- b", "the line is indented by a tab; YAML is indented by spaces"),
    ];
    for (text, message) in table {
        assert_eq!(fault(text).message, message, "{text}");
    }
    assert!(build("---\na: !!str 5\n...\n").is_ok());
}

#[test]
fn empty_documents_say_what_is_needed() {
    for text in ["", "\n\n", "# only a comment\n", "---\n", "~", "\u{feff}"] {
        assert!(fault(text).message.starts_with("the document is empty; it needs at least"), "{text:?}");
    }
}
