//! What is known of an API: which of its requests read and which write.
//!
//! RAG queries are posted, so a method says nothing of them. A preset lists every published
//! route of a product with what it does; the lists are the files in `config/presets`, built in.
//! A request is settled by the first of these that says something:
//!
//! 1. OPTIONS and TRACE are reads;
//! 2. a path with a `;` is a write: some servers cut a segment off there, and none of the
//!    products has a route with one;
//! 3. the route that the path leads to, one trailing slash aside, and there the method; HEAD
//!    goes by GET where it is not listed itself;
//! 4. what is not listed is a read for GET and HEAD and a write for all else.
//!
//! A literal segment goes before a parameter, as in the products' own routers. Paths are
//! compared as they are forwarded, with regard to case.
//!
//! A preset is read from its file once in the life of the process and shared from then on.

use std::sync::{Arc, OnceLock};

use http::Method;
use sluicegate_core::{Access, PresetName};

use crate::content::BodyRule;

mod file;
mod table;

use file::File;
use table::Table;

pub(crate) use file::BodyInput;
pub use file::{Answers, PresetFault};

/// A known API.
#[derive(Debug)]
pub struct Preset {
    product: Box<str>,
    version: Box<str>,
    read_from: Box<str>,
    answers: Answers,
    rule: Option<BodyRule>,
    table: Table,
}

/// What a preset says of a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// This.
    Is(Access),
    /// The body tells.
    ByBody {
        /// Whether the product keeps the answer unless the body says otherwise.
        kept: bool,
    },
}

impl Preset {
    /// What is known of that API.
    pub fn known(name: PresetName) -> Result<Arc<Self>, PresetFault> {
        static KNOWN: [OnceLock<Result<Arc<Preset>, PresetFault>>; PresetName::ALL.len()] =
            [const { OnceLock::new() }; PresetName::ALL.len()];
        // The enum's variants are numbered from nothing on, one for each of `ALL`.
        let known = KNOWN[name as usize].get_or_init(|| Self::read(file::text(name)).map(Arc::new));
        known.clone()
    }

    fn read(text: &str) -> Result<Self, PresetFault> {
        let File { product, version, read_from, body, answers, routes } = File::read(text)?;
        let rule = body.map(BodyRule::from);
        let table = Table::new(&routes)?;
        if rule.is_none() && routes.iter().any(|route| !route.body.is_empty()) {
            return Err(PresetFault::new("a route goes by the body, and there is no rule for bodies"));
        }
        let tells_of_keeping = matches!(rule, Some(BodyRule::WritesWhere(_)));
        if !tells_of_keeping && routes.iter().any(|route| !route.kept.is_empty()) {
            return Err(PresetFault::new("a route keeps answers, and no member of a body says whether to"));
        }
        Ok(Self {
            product: product.into(),
            version: version.into(),
            read_from: read_from.into(),
            answers,
            rule,
            table,
        })
    }

    /// What the product is called.
    #[must_use]
    pub fn product(&self) -> &str {
        &self.product
    }

    /// The version that its routes were read from.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where they were read.
    #[must_use]
    pub fn read_from(&self) -> &str {
        &self.read_from
    }

    /// Where ids, scores and texts stand in its answers.
    #[must_use]
    pub const fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Whether it speaks JSON-RPC.
    #[must_use]
    pub const fn is_json_rpc(&self) -> bool {
        matches!(self.rule, Some(BodyRule::JsonRpc { .. }))
    }

    pub(crate) const fn rule(&self) -> Option<&BodyRule> {
        self.rule.as_ref()
    }

    /// What a request does, by its method and its canonical path.
    #[must_use]
    pub fn settle(&self, method: &Method, path: &str) -> Told {
        if has_semicolon(path) && *method != Method::OPTIONS && *method != Method::TRACE {
            return Told::Is(Access::Write);
        }
        let trimmed = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
        let listed = self.table.find(method, trimmed);
        listed.unwrap_or_else(|| Told::Is(Access::of_method(method)))
    }
}

/// Raw or as an escape, which is in capitals in a canonical path.
fn has_semicolon(path: &str) -> bool {
    path.contains(';') || path.contains("%3B")
}

/// A route's preset, and what the route says besides.
#[derive(Debug)]
pub struct ByPreset {
    preset: Arc<Preset>,
    read_tools: Box<[Box<str>]>,
    /// What stands before the product's own paths, without a slash at the end.
    below: Box<str>,
}

impl ByPreset {
    /// By that preset, with the tools that only read.
    pub fn new<'a>(preset: Arc<Preset>, read_tools: impl IntoIterator<Item = &'a str>) -> Self {
        Self { preset, read_tools: read_tools.into_iter().map(Into::into).collect(), below: "".into() }
    }

    /// The product's own paths stand below this one, which is in canonical form and has no slash
    /// at its end: it is taken off before the request is sent on.
    #[must_use]
    pub fn below(mut self, path: impl Into<Box<str>>) -> Self {
        self.below = path.into();
        self
    }

    /// The preset.
    #[must_use]
    pub fn preset(&self) -> &Preset {
        &self.preset
    }

    /// What a request does, by its method and its canonical path.
    pub(crate) fn settle(&self, method: &Method, path: &str) -> Told {
        let own = path.strip_prefix(&*self.below).unwrap_or(path);
        self.preset.settle(method, if own.is_empty() { "/" } else { own })
    }

    pub(crate) fn reads(&self, tool: &str) -> bool {
        self.read_tools.iter().any(|known| **known == *tool)
    }
}

#[cfg(test)]
mod tests;
