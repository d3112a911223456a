//! Nothing that can be sent makes the reader panic, and what is refused has a reason.

use proptest::prelude::*;
use sluicegate_config::{Source, parse};

const DOCUMENTS: [&str; 3] = [
    include_str!("../../../config/quickstart.yaml"),
    include_str!("../../../config/reference.yaml"),
    include_str!("data/gateway.yaml"),
];

fn read(text: &str) -> Result<(), TestCaseError> {
    if let Err(rejected) = parse(text, &Source::sent(".".as_ref())) {
        prop_assert!(!rejected.problems.is_empty());
        for problem in &rejected.problems {
            prop_assert!(problem.line > 0 && problem.column > 0, "{}", problem);
            prop_assert!(!problem.message.is_empty() && !problem.message.contains('\n'), "{}", problem);
        }
        let places: Vec<_> = rejected.problems.iter().map(|problem| (problem.line, problem.column)).collect();
        prop_assert!(places.is_sorted(), "{}", rejected);
    }
    Ok(())
}

/// Large documents that are wrong all over are refused with a bounded answer.
#[test]
fn many_mistakes_are_told_up_to_a_bound() {
    let routes = "  - { name: x, match: { path: /x }, upstream: nowhere }\n";
    let head =
        "listen: [{ address: 127.0.0.1:0 }]\nupstreams: { a: { endpoints: [\"http://a\"] } }\nroutes:\n";
    let many = [
        (0..10_000).map(|at| format!("key{at}: 1")).collect::<Vec<_>>().join("\n"),
        "same: 1\n".repeat(10_000),
        format!("{head}{}", routes.repeat(1000)),
        format!("{head}{}", routes.repeat(5000)),
        format!("listen: [{}]", "5, ".repeat(10_000)),
        format!("{}: 1", "x".repeat(1 << 20)),
    ];
    for text in many {
        let rejected = parse(&text, &Source::sent(".".as_ref())).unwrap_err();
        assert!((1..=100).contains(&rejected.problems.len()), "{}", rejected.problems.len());
        assert!(rejected.to_string().len() < 64 << 10);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        read(&text)?;
    }

    #[test]
    fn anything_like_yaml_is_read_or_refused(text in "[-a-c:{}\\[\\],&*!|>'\"#\\\\ \n\t0-9.~<]{0,120}") {
        read(&text)?;
    }

    #[test]
    fn a_document_with_one_slip_is_read_or_refused(
        which in 0..DOCUMENTS.len(),
        at: prop::sample::Index,
        remove in 0..40usize,
        insert in "[-a-z0-9:{}\\[\\],&*!|>'\"# \n\t]{0,6}",
    ) {
        let mut text: Vec<char> = DOCUMENTS[which].chars().collect();
        let at = at.index(text.len());
        let end = (at + remove).min(text.len());
        text.splice(at..end, insert.chars());
        read(&text.into_iter().collect::<String>())?;
    }
}
