//! What is to be done at each place of a document.
//!
//! All pointers of the section are one tree, walked down together with the document, so that a
//! place costs one look per pointer that leads there and nothing where none does.

use std::collections::HashMap;

use super::input::{Pattern, Token};

/// What a pointer says of the place it leads to.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    /// Nothing there and below is compared.
    Ignore,
    /// Texts there and below may be shown.
    Show,
    /// An id of what was retrieved.
    Id,
    /// The score of one.
    Score,
    /// A text of the answer.
    Text,
    /// Numbers there and below are equal within this share of the larger one.
    Tolerance(f64),
    /// The elements of the array there are matched by what stands at this place in each.
    Key(Box<[Box<str>]>),
}

#[derive(Clone, Debug, Default)]
struct Node {
    members: HashMap<Box<str>, usize>,
    any: Option<usize>,
    rules: Vec<Rule>,
}

/// The tree of all pointers; the root is the first node.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    nodes: Vec<Node>,
}

/// What holds at one place of a document.
#[derive(Clone, Debug, Default)]
pub(super) struct At<'r> {
    /// The nodes that lead here.
    nodes: Vec<usize>,
    inherited: Inherited,
    here: Here,
    key: Option<&'r [Box<str>]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Inherited {
    ignored: bool,
    shown: bool,
    tolerance: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Here {
    id: bool,
    score: bool,
    text: bool,
}

impl Rules {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    /// Lets a rule hold where a pointer leads.
    pub(super) fn add(&mut self, pattern: &Pattern, rule: Rule) {
        let node = self.node(pattern);
        self.nodes[node].rules.push(rule);
    }

    /// Whether elements are already matched by a key where a pointer leads.
    pub(super) fn has_key(&mut self, pattern: &[Token]) -> bool {
        let node = self.node(pattern);
        self.nodes[node].rules.iter().any(|rule| matches!(rule, Rule::Key(_)))
    }

    fn node(&mut self, pattern: &[Token]) -> usize {
        pattern.iter().fold(0, |at, token| {
            let fresh = self.nodes.len();
            let next = match token {
                Token::Any => *self.nodes[at].any.get_or_insert(fresh),
                Token::Name(name) => *self.nodes[at].members.entry(name.clone()).or_insert(fresh),
            };
            if next == fresh {
                self.nodes.push(Node::default());
            }
            next
        })
    }

    /// What holds for the whole document.
    pub(super) fn root(&self) -> At<'_> {
        self.at(vec![0], Inherited::default())
    }

    /// What holds for a member of an object.
    pub(super) fn member(&self, above: &At<'_>, name: &str) -> At<'_> {
        let mut nodes = Vec::new();
        for &node in &above.nodes {
            let node = &self.nodes[node];
            nodes.extend(node.members.get(name).copied());
            nodes.extend(node.any);
        }
        self.at(nodes, above.inherited)
    }

    /// What holds for an element of an array; for a matched pair what holds for either place.
    pub(super) fn element(&self, above: &At<'_>, primary: usize, shadow: usize) -> At<'_> {
        let mut nodes = Vec::new();
        for &node in &above.nodes {
            let node = &self.nodes[node];
            if !node.members.is_empty() {
                nodes.extend(node.members.get(primary.to_string().as_str()).copied());
                if shadow != primary {
                    nodes.extend(node.members.get(shadow.to_string().as_str()).copied());
                }
            }
            nodes.extend(node.any);
        }
        self.at(nodes, above.inherited)
    }

    fn at(&self, nodes: Vec<usize>, mut inherited: Inherited) -> At<'_> {
        let (mut here, mut key, mut tolerance) = (Here::default(), None, None::<f64>);
        for rule in nodes.iter().flat_map(|&node| &self.nodes[node].rules) {
            match rule {
                Rule::Ignore => inherited.ignored = true,
                Rule::Show => inherited.shown = true,
                Rule::Id => here.id = true,
                Rule::Score => here.score = true,
                Rule::Text => here.text = true,
                Rule::Tolerance(share) => tolerance = Some(tolerance.map_or(*share, |it| it.max(*share))),
                Rule::Key(place) => key = Some(&**place),
            }
        }
        inherited.tolerance = tolerance.unwrap_or(inherited.tolerance);
        At { nodes, inherited, here, key }
    }
}

impl<'r> At<'r> {
    /// Whether this place is to be passed over.
    pub(super) fn is_ignored(&self) -> bool {
        self.inherited.ignored
    }

    /// Whether texts may be shown here.
    pub(super) fn is_shown(&self) -> bool {
        self.inherited.shown
    }

    pub(super) fn is_id(&self) -> bool {
        self.here.id
    }

    pub(super) fn is_score(&self) -> bool {
        self.here.score
    }

    pub(super) fn is_text(&self) -> bool {
        self.here.text
    }

    /// Whether no pointer leads further down.
    pub(super) fn is_last(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The share of the larger of two numbers that they may be apart.
    pub(super) fn tolerance(&self) -> f64 {
        self.inherited.tolerance
    }

    /// Where in each element of this array its key stands.
    pub(super) fn key(&self) -> Option<&'r [Box<str>]> {
        self.key
    }
}

#[cfg(test)]
mod tests {
    use super::{At, Rule, Rules};
    use crate::compare::input::pattern;

    fn rules(all: &[(&str, Rule)]) -> Rules {
        let mut rules = Rules::new();
        for (pointer, rule) in all {
            rules.add(&pattern(pointer).unwrap(), rule.clone());
        }
        rules
    }

    /// Digits are an index.
    fn walk<'r>(rules: &'r Rules, pointer: &str) -> At<'r> {
        pointer.split('/').skip(1).fold(rules.root(), |at, token| match token.parse() {
            Ok(index) => rules.element(&at, index, index),
            Err(_) => rules.member(&at, token),
        })
    }

    #[test]
    fn a_star_is_any_index_or_member() {
        let rules = rules(&[("/results/*/id", Rule::Id), ("/*/took", Rule::Ignore)]);
        assert!(walk(&rules, "/results/7/id").is_id());
        assert!(walk(&rules, "/results/x/id").is_id());
        assert!(!walk(&rules, "/results/7/idx").is_id());
        assert!(!walk(&rules, "/results/7/id/below").is_id());
        assert!(walk(&rules, "/results/took").is_ignored());
        assert!(!walk(&rules, "/took").is_ignored());
    }

    #[test]
    fn ignored_and_shown_hold_for_all_below() {
        let rules = rules(&[("/a", Rule::Ignore), ("/b/*", Rule::Show)]);
        assert!(walk(&rules, "/a/b/0/c").is_ignored());
        assert!(walk(&rules, "/b/3/deep/er").is_shown());
        assert!(!walk(&rules, "/b").is_shown());
    }

    #[test]
    fn the_deepest_tolerance_counts_and_of_those_the_largest() {
        let all = [("", 0.5), ("/a", 0.1), ("/a/*/s", 0.2), ("/a/0/s", 0.3)];
        let rules = rules(&all.map(|(pointer, share)| (pointer, Rule::Tolerance(share))));
        let tolerance = |pointer| walk(&rules, pointer).tolerance();
        assert!((tolerance("/x") - 0.5).abs() < 1e-9);
        assert!((tolerance("/a/1/t") - 0.1).abs() < 1e-9);
        assert!((tolerance("/a/1/s") - 0.2).abs() < 1e-9);
        assert!((tolerance("/a/0/s") - 0.3).abs() < 1e-9);
    }

    #[test]
    fn a_matched_pair_is_at_both_of_its_places() {
        let rules = rules(&[("/0", Rule::Ignore)]);
        let root = rules.root();
        assert!(rules.element(&root, 0, 5).is_ignored());
        assert!(rules.element(&root, 5, 0).is_ignored());
        assert!(!rules.element(&root, 5, 5).is_ignored());
    }

    #[test]
    fn where_no_pointer_leads_nothing_is_looked_up() {
        let rules = rules(&[("/a/b", Rule::Id)]);
        assert!(walk(&rules, "/x").is_last());
        assert!(!walk(&rules, "/a").is_last());
    }
}
