//! The `compare:` section of a shadow and the `answers:` section of a route: what is written
//! there, and what it means.

use std::collections::BTreeMap;

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::units::Size;

use super::{
    Comparer,
    rules::{Rule, Rules},
};

/// The most pointers of one section and its `answers:` together: each may be looked at for each
/// place of an answer.
const MOST_POINTERS: usize = 200;

/// The most steps of a pointer; JSON deeper than 128 is not read.
const MOST_STEPS: usize = 64;

/// The most headers of interest.
const MOST_HEADERS: usize = 32;

/// The largest `max_answer`: two answers are held as trees at once.
const LARGEST_ANSWER: Size = Size::kib(64 * 1024);

/// What of `compare:` says how two answers are compared, as it is written.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CompareInput {
    /// JSON pointers that are not compared, nor is what is below them; `*` is any index or member.
    pub ignore: Vec<String>,
    /// JSON pointers to the share of the larger number by which two numbers there and below may differ (0 to 1).
    pub tolerance: BTreeMap<String, f64>,
    /// JSON pointers of arrays to the member (or a pointer in each element) by which elements are matched instead of by place.
    pub arrays: BTreeMap<String, String>,
    /// Response headers that are compared.
    pub headers: Vec<String>,
    /// Texts differ where their words are less alike than this (0 to 1).
    pub similarity: f64,
    /// JSON pointers whose texts may be kept as they are, as may those below; others are kept as length and mark.
    pub show: Vec<String>,
    /// The largest answer that is compared, decoded.
    pub max_answer: Size,
}

/// `answers:` as it is written: where what counts stands in an answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AnswersInput {
    /// Where the ids of what was retrieved stand, such as `/results/*/id`.
    #[serde(skip_serializing_if = "Pointers::is_empty")]
    pub ids: Pointers,
    /// Where their scores stand.
    #[serde(skip_serializing_if = "Pointers::is_empty")]
    pub scores: Pointers,
    /// Where the texts of the answer stand, in the answer or in each event of a stream.
    #[serde(skip_serializing_if = "Pointers::is_empty")]
    pub texts: Pointers,
}

/// One JSON pointer or a list of them; `*` stands for any index or member.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Pointers {
    /// One.
    One(String),
    /// A list.
    Many(Vec<String>),
}

/// One step of a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Any index or member.
    Any,
    /// This one.
    Name(Box<str>),
}

/// A pointer with wildcards.
pub(super) type Pattern = Vec<Token>;

impl Default for CompareInput {
    fn default() -> Self {
        Self {
            ignore: Vec::new(),
            tolerance: BTreeMap::new(),
            arrays: BTreeMap::new(),
            headers: vec!["content-type".to_owned()],
            similarity: 1.0,
            show: Vec::new(),
            max_answer: Size::kib(1024),
        }
    }
}

impl Default for Pointers {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Pointers {
    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(pointer) => std::slice::from_ref(pointer),
            Self::Many(pointers) => pointers,
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// The path of one of them below that of them all.
    fn path(&self, name: &str, at: usize) -> String {
        match self {
            Self::One(_) => name.to_owned(),
            Self::Many(_) => format!("{name}[{at}]"),
        }
    }
}

impl AnswersInput {
    /// Everything that is wrong: pairs of a path inside `answers` (such as `ids[1]`) and a message.
    #[must_use]
    pub fn check(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        self.add_to(&mut Rules::new(), &mut faults);
        faults
    }

    fn add_to(&self, rules: &mut Rules, faults: &mut Vec<(String, String)>) {
        let all = [
            ("ids", &self.ids, Rule::Id),
            ("scores", &self.scores, Rule::Score),
            ("texts", &self.texts, Rule::Text),
        ];
        for (name, pointers, rule) in all {
            for (at, pointer) in pointers.as_slice().iter().enumerate() {
                match pattern(pointer) {
                    Ok(it) if it.is_empty() && name != "texts" => {
                        let message = format!(
                            "leads to the whole answer; write where {name} stand, such as /results/*/id"
                        );
                        faults.push((pointers.path(name, at), message));
                    }
                    Ok(it) => rules.add(&it, rule.clone()),
                    Err(message) => faults.push((pointers.path(name, at), message)),
                }
            }
        }
    }

    /// The array that each pointer to ids goes through last, and where the id stands in its
    /// elements.
    fn arrays(&self) -> impl Iterator<Item = (Pattern, Box<[Box<str>]>)> {
        self.ids.as_slice().iter().filter_map(|pointer| {
            let mut array = pattern(pointer).ok()?;
            let star = array.iter().rposition(|token| *token == Token::Any)?;
            let place = array.split_off(star).into_iter().filter_map(|token| match token {
                Token::Any => None,
                Token::Name(name) => Some(name),
            });
            let place = place.collect::<Box<[_]>>();
            (!place.is_empty()).then_some((array, place))
        })
    }
}

impl CompareInput {
    /// What compares as the section says, or everything that is wrong: pairs of a path inside
    /// `compare` (such as `ignore[0]`) and a message. What is wrong in `answers` has a path that
    /// begins with `answers.`.
    pub fn check(&self, answers: &AnswersInput) -> Result<Comparer, Vec<(String, String)>> {
        let mut faults = Vec::new();
        let mut rules = Rules::new();
        self.pointers(&mut rules, &mut faults);
        let mut theirs = Vec::new();
        answers.add_to(&mut rules, &mut theirs);
        faults.extend(theirs.into_iter().map(|(path, message)| (format!("answers.{path}"), message)));
        let count = [&answers.ids, &answers.scores, &answers.texts].into_iter().map(|it| it.as_slice().len());
        let count = self.ignore.len()
            + self.tolerance.len()
            + self.arrays.len()
            + self.show.len()
            + count.sum::<usize>();
        if count > MOST_POINTERS {
            let message = format!(
                "{count} pointers with those of `answers` are too many; write {MOST_POINTERS} or fewer, `*` stands for any member"
            );
            faults.push((String::new(), message));
        }
        // What `arrays` says of the same array counts.
        for (array, place) in answers.arrays() {
            if !rules.has_key(&array) {
                rules.add(&array, Rule::Key(place));
            }
        }
        let headers = self.header_names(&mut faults);
        if !(0.0..=1.0).contains(&self.similarity) {
            faults.push(("similarity".to_owned(), format!("{} is not between 0 and 1", self.similarity)));
        }
        if self.max_answer.0 == 0 || self.max_answer > LARGEST_ANSWER {
            let message = format!("`{}` is out of range; 1B to {LARGEST_ANSWER} can be had", self.max_answer);
            faults.push(("max_answer".to_owned(), message));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let max_answer = usize::try_from(self.max_answer.0).unwrap_or(usize::MAX);
        Ok(Comparer { rules, headers, similarity: self.similarity, max_answer })
    }

    fn pointers(&self, rules: &mut Rules, faults: &mut Vec<(String, String)>) {
        for (name, pointers, rule) in
            [("ignore", &self.ignore, Rule::Ignore), ("show", &self.show, Rule::Show)]
        {
            for (at, pointer) in pointers.iter().enumerate() {
                match pattern(pointer) {
                    Ok(it) if it.is_empty() && name == "ignore" => {
                        let message = "leads to the whole answer; name its members, or remove `compare`";
                        faults.push((format!("{name}[{at}]"), message.to_owned()));
                    }
                    Ok(it) => rules.add(&it, rule.clone()),
                    Err(message) => faults.push((format!("{name}[{at}]"), message)),
                }
            }
        }
        for (pointer, share) in &self.tolerance {
            match pattern(pointer) {
                Ok(_) if !(0.0..=1.0).contains(share) => {
                    let message = format!(
                        "{share} is not between 0 and 1; it is a share of the larger number, such as 0.01"
                    );
                    faults.push((format!("tolerance.{pointer}"), message));
                }
                Ok(it) => rules.add(&it, Rule::Tolerance(*share)),
                Err(message) => faults.push((format!("tolerance.{pointer}"), message)),
            }
        }
        for (pointer, member) in &self.arrays {
            match (pattern(pointer), key(member)) {
                (Ok(it), Ok(place)) => rules.add(&it, Rule::Key(place)),
                (Err(message), _) | (_, Err(message)) => faults.push((format!("arrays.{pointer}"), message)),
            }
        }
    }

    fn header_names(&self, faults: &mut Vec<(String, String)>) -> Box<[HeaderName]> {
        if self.headers.len() > MOST_HEADERS {
            let message = format!("{} are too many; name {MOST_HEADERS} or fewer", self.headers.len());
            faults.push(("headers".to_owned(), message));
        }
        let names = self.headers.iter().enumerate().filter_map(|(at, name)| {
            let checked = HeaderName::try_from(name.as_str());
            if checked.is_err() {
                let message = format!("`{name}` is no header name; write one such as content-type");
                faults.push((format!("headers[{at}]"), message));
            }
            checked.ok()
        });
        names.collect()
    }
}

/// Where the key of an element stands in it.
fn key(member: &str) -> Result<Box<[Box<str>]>, String> {
    if member.is_empty() {
        return Err("names no member; write the one by which elements are told apart, such as id".to_owned());
    }
    if !member.starts_with('/') {
        return Ok(Box::new([member.into()]));
    }
    let place = pattern(member)?.into_iter().map(|token| match token {
        Token::Name(name) => Ok(name),
        Token::Any => {
            Err(format!("`{member}` leads to several places; a key stands at one, such as /metadata/id"))
        }
    });
    place.collect()
}

/// A JSON pointer (RFC 6901) in which `*` is a wildcard.
pub(super) fn pattern(pointer: &str) -> Result<Pattern, String> {
    let Some(steps) = pointer.strip_prefix('/') else {
        return if pointer.is_empty() {
            Ok(Vec::new())
        } else {
            Err(format!("`{pointer}` is no JSON pointer; begin it with `/`, such as /results/*/id"))
        };
    };
    let tokens = steps.split('/').map(|step| {
        if step == "*" {
            return Ok(Token::Any);
        }
        unescaped(step).map(Token::Name).ok_or_else(|| {
            format!(
                "`{pointer}` has a `~` that is neither `~0` (for `~`) nor `~1` (for `/`); write one of these"
            )
        })
    });
    let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
    if tokens.len() > MOST_STEPS {
        return Err(format!("{} steps are too many; write {MOST_STEPS} or fewer", tokens.len()));
    }
    Ok(tokens)
}

fn unescaped(step: &str) -> Option<Box<str>> {
    let mut parts = step.split('~');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match part.as_bytes().first()? {
            b'0' => ('~', &part[1..]),
            b'1' => ('/', &part[1..]),
            _ => return None,
        };
        name.push(sign);
        name.push_str(rest);
    }
    Some(name.into())
}

#[cfg(test)]
mod tests;
