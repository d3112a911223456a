//! Two answers in JSON.

use serde_json::Value;

use super::{
    found::Found,
    gather::Gathered,
    ids::{self, Ids},
    rules::Rules,
    text, walk,
};

/// Compares their ids, texts and scores, and then all else.
pub(super) fn compare(rules: &Rules, similarity: f64, primary: &Value, shadow: &Value, found: &mut Found) {
    let [ours, theirs] = [primary, shadow].map(|document| Gathered::of(rules, document));
    let ids = Ids::of(&ours, &theirs);
    let mut scores = None;
    if let Some(ids) = &ids {
        ids.tell(rules, &ours, &theirs, found);
        found.ids = Some(ids.compared.clone());
        scores = ids.scores(&ours, &theirs);
    }
    let [our_text, their_text] = [&ours, &theirs].map(|side| text::Side::of(rules, side, "\n"));
    text::compare(&our_text, &their_text, similarity, found);
    if primary == shadow {
        return;
    }
    if let Some(pairs) = &scores {
        ids::tell_scores(rules, pairs, &ours, &theirs, found);
    }
    walk::compare(rules, ids.as_ref(), scores.is_some(), (primary, shadow), found);
}
