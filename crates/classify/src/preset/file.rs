//! The files that presets are read from.

use serde::Deserialize;
use sluicegate_core::PresetName;

use crate::input::{MethodInput, PathPattern};

/// The text of a preset's file, as it was when this was built.
pub(super) const fn text(name: PresetName) -> &'static str {
    match name {
        PresetName::Chroma => include_str!("../../../../config/presets/chroma.yaml"),
        PresetName::Qdrant => include_str!("../../../../config/presets/qdrant.yaml"),
        PresetName::Weaviate => include_str!("../../../../config/presets/weaviate.yaml"),
        PresetName::Elasticsearch => include_str!("../../../../config/presets/elasticsearch.yaml"),
        PresetName::Milvus => include_str!("../../../../config/presets/milvus.yaml"),
        PresetName::Openai => include_str!("../../../../config/presets/openai.yaml"),
        PresetName::Mcp => include_str!("../../../../config/presets/mcp.yaml"),
    }
}

/// What is wrong with a preset's file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PresetFault(Box<str>);

impl PresetFault {
    pub(super) fn new(message: impl Into<Box<str>>) -> Self {
        Self(message.into())
    }
}

/// One product.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) product: String,
    /// The version that the routes were read from.
    pub(super) version: String,
    /// Where they were read.
    pub(super) read_from: String,
    /// What tells where a route goes by the body.
    #[serde(default)]
    pub(super) body: Option<BodyInput>,
    #[serde(default)]
    pub(super) answers: Answers,
    pub(super) routes: Vec<Line>,
}

/// One path, and what each method does there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) path: PathPattern,
    #[serde(default)]
    pub(super) read: Vec<MethodInput>,
    #[serde(default)]
    pub(super) write: Vec<MethodInput>,
    /// The methods whose body tells.
    #[serde(default)]
    pub(super) body: Vec<MethodInput>,
    /// The same where the product keeps the answer unless the body says otherwise.
    #[serde(default)]
    pub(super) kept: Vec<MethodInput>,
    /// Why, where it is not obvious; for who reads the file.
    #[serde(default, rename = "why")]
    _why: Option<String>,
}

/// How a body tells.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum BodyInput {
    /// By the methods of JSON-RPC.
    JsonRpc(RpcInput),
    /// A JSON object is a write where one of these members is there and neither null nor false.
    /// Where answers are kept by default it is one also unless the first of them is false.
    WritesWhere(Vec<String>),
}

/// Which methods read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RpcInput {
    /// These; any other writes.
    pub(crate) reads: Vec<String>,
    /// And this one, where `params.name` is one of the tools that only read.
    pub(crate) tool_call: String,
}

/// Where ids, scores and texts stand in a product's answers: JSON pointers in which `*` is any
/// index or member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answers {
    /// The ids of what was retrieved, best first.
    pub ids: Vec<String>,
    /// Their scores.
    pub scores: Vec<String>,
    /// Texts.
    pub texts: Vec<String>,
}

impl File {
    pub(super) fn read(text: &str) -> Result<Self, PresetFault> {
        serde_saphyr::from_str(text).map_err(|error| PresetFault::new(error.to_string()))
    }
}
