//! Relevance, the hash, and the bounds of the index.

use std::collections::BTreeMap;

use super::{Change, Index, IndexError, MAX_BYTES, MAX_DOCUMENTS, RENEW_AFTER};
use crate::{
    corpus::{Document, embedded},
    pins::Pins,
};

fn index(documents: Vec<Document>) -> Index {
    Index::new(Pins::new("m-1".to_owned(), BTreeMap::new()).unwrap(), documents)
}

fn document(id: &str, text: &str) -> Document {
    Document { id: id.to_owned(), title: String::new(), text: text.to_owned() }
}

#[test]
fn every_document_is_found_first_by_its_own_title() {
    let documents = embedded().unwrap();
    let index = index(documents.clone());
    for document in documents {
        let (hits, _) = index.search(&document.title, 3);
        assert_eq!(hits[0].document.id, document.id, "{}", document.title);
        assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
    }
}

#[test]
fn the_hash_does_not_depend_on_the_order_and_comes_back() {
    let mut documents = embedded().unwrap();
    let one = index(documents.clone());
    documents.reverse();
    let other = index(documents);
    let former = one.seal();
    assert_eq!(former.hash(), other.seal().hash());

    let (change, grown) = one.put(document("new", "zebra"), false).unwrap();
    assert_eq!(change, Change::Created);
    assert_ne!(grown.hash(), former.hash());
    assert_eq!(grown.count(), former.count() + 1);
    let (change, edited) = one.put(document("new", "quagga"), false).unwrap();
    assert_eq!(change, Change::Replaced);
    assert_ne!(edited.hash(), grown.hash());
    let (_, back) = one.delete("new").unwrap();
    assert_eq!((back.hash(), back.count()), (former.hash(), former.count()));
    assert_eq!(back.header(), former.header());
}

#[test]
fn borders_between_title_and_text_count_in_the_hash() {
    let with = |title: &str, text: &str| {
        index(vec![Document { id: "d".to_owned(), title: title.to_owned(), text: text.to_owned() }])
            .seal()
            .hash()
            .to_owned()
    };
    assert_ne!(with("ab", "c"), with("a", "bc"));
}

#[test]
fn a_replaced_text_is_no_longer_found() {
    let index = index(vec![document("a", "zebra crossing")]);
    index.put(document("a", "quagga"), false).unwrap();
    assert!(index.search("zebra", 5).0.is_empty());
    assert_eq!(index.search("quagga", 5).0.len(), 1);
    assert_eq!(index.put(document("a", "third"), true).unwrap_err(), IndexError::Exists);
    assert_eq!(index.delete("b").unwrap_err(), IndexError::Missing);
}

#[test]
fn a_deleted_document_takes_no_place_and_leaves_the_scores_as_before() {
    let index = index(vec![document("b", "zebra crossing road"), document("c", "quagga")]);
    let score = |index: &Index| {
        let (hits, _) = index.search("zebra", 1);
        (hits[0].document.id.clone(), hits[0].score.to_bits())
    };
    let before = score(&index);
    index.put(document("a", "zebra zebra"), false).unwrap();
    assert_eq!(score(&index).0, "a");
    index.delete("a").unwrap();
    assert_eq!(score(&index), before);
}

#[test]
fn documents_and_bytes_are_bounded() {
    let index = index(Vec::new());
    for n in 0..MAX_DOCUMENTS {
        index.put(document(&n.to_string(), "x"), false).unwrap();
    }
    assert_eq!(index.put(document("more", "x"), false).unwrap_err(), IndexError::Full);
    index.put(document("0", "replacing is no growth"), false).unwrap();
    index.delete("1").unwrap();
    let huge = document("huge", &" ".repeat(MAX_BYTES));
    assert_eq!(index.put(huge, false).unwrap_err(), IndexError::Full);
    assert_eq!(index.seal().count(), MAX_DOCUMENTS - 1);
}

#[test]
fn a_renewed_scorer_still_finds_everything() {
    let index = index(vec![document("kept", "zebra"), document("other", "quagga")]);
    for _ in 0..=RENEW_AFTER {
        index.put(document("busy", "gnu"), false).unwrap();
    }
    for (query, id) in [("zebra", "kept"), ("quagga", "other"), ("gnu", "busy")] {
        assert_eq!(index.search(query, 1).0[0].document.id, id);
    }
}
