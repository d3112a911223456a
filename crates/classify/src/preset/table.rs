//! From a method and a path to what a preset says of them.
//!
//! The paths stand in one radix tree, made once: what a look-up costs depends on the length of
//! the path and hardly on how many routes there are.

use std::{collections::BTreeMap, fmt::Write as _};

use http::Method;
use sluicegate_core::Access;

use super::{
    Told,
    file::{Line, PresetFault},
};
use crate::input::{PathPattern, Segment};

/// The listed routes.
#[derive(Debug)]
pub(super) struct Table(matchit::Router<Box<[(Method, Told)]>>);

impl Table {
    pub(super) fn new(lines: &[Line]) -> Result<Self, PresetFault> {
        let mut paths: BTreeMap<String, Vec<(Method, Told)>> = BTreeMap::new();
        for line in lines {
            let methods = paths.entry(in_tree(&line.path)).or_default();
            let all = [
                (&line.read, Told::Is(Access::Read)),
                (&line.write, Told::Is(Access::Write)),
                (&line.body, Told::ByBody { kept: false }),
                (&line.kept, Told::ByBody { kept: true }),
            ];
            for (method, told) in
                all.into_iter().flat_map(|(listed, told)| listed.iter().map(move |it| (it, told)))
            {
                if methods.iter().any(|(known, _)| *known == method.0) {
                    let message = format!("{method} {} is listed twice", line.path);
                    return Err(PresetFault::new(message));
                }
                methods.push((method.0.clone(), told));
            }
        }
        let mut tree = matchit::Router::new();
        for (path, methods) in paths {
            tree.insert(&path, methods.into())
                .map_err(|error| PresetFault::new(format!("{path}: {error}")))?;
        }
        Ok(Self(tree))
    }

    /// What is listed for it.
    pub(super) fn find(&self, method: &Method, path: &str) -> Option<Told> {
        let methods = self.0.at(path).ok()?.value;
        let of = |method: &Method| methods.iter().find(|(listed, _)| listed == method).map(|(_, told)| *told);
        of(method).or_else(|| if *method == Method::HEAD { of(&Method::GET) } else { None })
    }
}

/// The pattern as the tree takes it: it wants one name for the parameters of one place.
fn in_tree(pattern: &PathPattern) -> String {
    let mut text = String::new();
    for (at, segment) in pattern.segments().iter().enumerate() {
        text.push('/');
        // Writing to a string cannot fail.
        let _ = match segment {
            Segment::Literal(literal) => write!(text, "{literal}"),
            Segment::Any => write!(text, "{{p{at}}}"),
        };
    }
    if pattern.has_rest() {
        text.push_str("/{*rest}");
    }
    text
}
