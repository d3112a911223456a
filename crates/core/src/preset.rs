//! The known APIs, by their names.
//!
//! What is known of each is the classification's; the name stands here because a route and an
//! upstream both carry it.

/// A known API, whose requests can be told apart without being told how.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum PresetName {
    /// Chroma.
    Chroma,
    /// Qdrant, REST and gRPC.
    Qdrant,
    /// Weaviate, REST and gRPC.
    Weaviate,
    /// Elasticsearch, and `OpenSearch`.
    Elasticsearch,
    /// Milvus, REST and gRPC.
    Milvus,
    /// The OpenAI API, and servers that offer a part of it.
    Openai,
    /// The Model Context Protocol.
    Mcp,
}

impl PresetName {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Chroma,
        Self::Qdrant,
        Self::Weaviate,
        Self::Elasticsearch,
        Self::Milvus,
        Self::Openai,
        Self::Mcp,
    ];

    /// The name as it is written in a configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chroma => "chroma",
            Self::Qdrant => "qdrant",
            Self::Weaviate => "weaviate",
            Self::Elasticsearch => "elasticsearch",
            Self::Milvus => "milvus",
            Self::Openai => "openai",
            Self::Mcp => "mcp",
        }
    }
}
