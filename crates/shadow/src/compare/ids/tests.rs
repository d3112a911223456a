use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Ids, near, tell_scores};
use crate::{
    compare::{
        found::Found,
        gather::Gathered,
        input::pattern,
        rules::{Rule, Rules},
    },
    comparison::{Comparison, IdsCompared, Kind},
};

fn rules() -> Rules {
    let mut rules = Rules::new();
    rules.add(&pattern("/*/id").unwrap(), Rule::Id);
    rules.add(&pattern("/*/s").unwrap(), Rule::Score);
    rules.add(&pattern("/*/s").unwrap(), Rule::Tolerance(0.01));
    rules
}

fn list(ids: &[&str]) -> Value {
    ids.iter().map(|id| json!({ "id": id })).collect()
}

fn compared(primary: &[&str], shadow: &[&str]) -> (Option<IdsCompared>, Comparison) {
    let rules = rules();
    let (primary, shadow) = (list(primary), list(shadow));
    let (primary, shadow) = (Gathered::of(&rules, &primary), Gathered::of(&rules, &shadow));
    let mut found = Found::default();
    let ids = Ids::of(&primary, &shadow);
    if let Some(ids) = &ids {
        ids.tell(&rules, &primary, &shadow, &mut found);
    }
    (ids.map(|ids| ids.compared), found.into_comparison())
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}

#[test]
fn the_same_list_has_nothing_to_tell() {
    let (ids, found) = compared(&["a", "b", "c"], &["a", "b", "c"]);
    let ids = ids.unwrap();
    assert_eq!((ids.k, ids.order_changed), (3, false));
    assert!(same(ids.overlap, 1.0) && same(ids.rank_distance, 0.0));
    assert!(found.differences.is_empty());
}

#[test]
fn an_id_that_is_missing_is_told_where_it_stood() {
    let (ids, found) = compared(&["a", "b", "c", "d"], &["a", "c", "d"]);
    let ids = ids.unwrap();
    assert_eq!((ids.k, &*ids.missing, ids.new.len(), ids.order_changed), (4, &["b".into()][..], 0, false));
    assert!(same(ids.overlap, 0.75));
    // By hand: b is 3 from the end of k + 1 = 5, c and d have moved by one; of 10 + 9 at most.
    assert!(same(ids.rank_distance, (3.0 + 1.0 + 1.0) / 19.0), "{}", ids.rank_distance);
    assert_eq!((&*found.differences[0].class, found.differences[0].kind), ("ids", Kind::Missing));
    assert_eq!(&*found.differences[0].primary.as_ref().unwrap().pointer, "/1/id");
    assert!(found.differences[0].shadow.is_none());
}

#[test]
fn a_swap_is_an_order_and_its_distance_is_the_footrule() {
    let (ids, found) = compared(&["a", "b", "c"], &["c", "b", "a"]);
    let ids = ids.unwrap();
    assert!(ids.order_changed && ids.missing.is_empty() && ids.new.is_empty());
    assert!(same(ids.overlap, 1.0) && same(ids.rank_distance, 4.0 / 12.0));
    assert_eq!((&*found.differences[0].class, found.differences[0].kind), ("order", Kind::Order));
}

#[test]
fn lists_with_nothing_in_common_are_at_distance_one() {
    for (primary, shadow) in [(&["a", "b"][..], &["c", "d"][..]), (&["a", "b"], &["c"]), (&["a"], &[])] {
        let ids = compared(primary, shadow).0.unwrap();
        assert!(same(ids.overlap, 0.0) && same(ids.rank_distance, 1.0));
    }
    assert!(compared(&[], &[]).0.is_none());
}

#[test]
fn an_id_counts_once_where_it_stands_first() {
    let (ids, found) = compared(&["a", "a", "b"], &["a", "b", "b", "a"]);
    assert_eq!(ids.unwrap().k, 2);
    assert!(found.differences.is_empty());
}

#[test]
fn scores_are_compared_by_id() {
    let rules = rules();
    let primary = json!([{ "id": 1, "s": 1.0 }, { "id": 2, "s": 0.5 }, { "id": 3, "s": 0.2 }]);
    let shadow = json!([{ "id": 2, "s": 0.6 }, { "id": 1, "s": 1.009 }, { "id": 4, "s": 9 }]);
    let (primary, shadow) = (Gathered::of(&rules, &primary), Gathered::of(&rules, &shadow));
    let ids = Ids::of(&primary, &shadow).unwrap();
    let pairs = ids.scores(&primary, &shadow).unwrap();
    let mut found = Found::default();
    tell_scores(&rules, &pairs, &primary, &shadow, &mut found);
    let found = found.into_comparison().differences;
    assert_eq!(found.len(), 1);
    assert_eq!(&*found[0].class, "/*/s");
    assert_eq!(&*found[0].primary.as_ref().unwrap().pointer, "/1/s");
    assert_eq!(&*found[0].shadow.as_ref().unwrap().pointer, "/0/s");
}

#[test]
fn scores_are_nobodys_where_they_are_not_one_for_each_id() {
    let rules = rules();
    let one = json!([{ "id": 1, "s": 1 }, { "id": 2 }]);
    let twice = json!([{ "id": 1, "s": 1 }, { "id": 1, "s": 2 }]);
    for odd in [one, twice] {
        let odd = Gathered::of(&rules, &odd);
        assert!(Ids::of(&odd, &odd).unwrap().scores(&odd, &odd).is_none());
    }
}

#[test]
fn numbers_are_near_within_a_share_of_the_larger() {
    assert!(near(100.0, 99.0, 0.01));
    assert!(!near(100.0, 98.9, 0.01));
    assert!(near(0.0, -0.0, 0.0));
    assert!(!near(0.0, 1e-300, 0.5));
    assert!(!near(f64::MAX, f64::MIN, 1.0));
}

fn lists() -> impl Strategy<Value = (Vec<&'static str>, Vec<&'static str>)> {
    let list = || prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d", "e", "f", "g"]), 0..9);
    (list(), list())
}

proptest! {
    #[test]
    fn figures_are_shares_and_do_not_depend_on_the_side((primary, shadow) in lists()) {
        let there = compared(&primary, &shadow).0;
        let back = compared(&shadow, &primary).0;
        let Some(there) = there else { return Ok(()) };
        let back = back.unwrap();
        prop_assert!((0.0..=1.0).contains(&there.overlap) && (0.0..=1.0).contains(&there.rank_distance));
        prop_assert!(same(there.overlap, back.overlap) && same(there.rank_distance, back.rank_distance));
        prop_assert_eq!((there.k, there.order_changed), (back.k, back.order_changed));
        prop_assert_eq!((&there.missing, &there.new), (&back.new, &back.missing));
        let nothing_shared = primary.iter().all(|id| !shadow.contains(id));
        prop_assert_eq!(same(there.rank_distance, 1.0), nothing_shared);
        let same_list = there.missing.is_empty() && there.new.is_empty() && !there.order_changed;
        prop_assert_eq!(same(there.rank_distance, 0.0), same_list);
    }
}
