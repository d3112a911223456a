//! Which API a request speaks, by its path.

use http::Method;

/// An API of language models, as far as reading it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's completions.
    Completions,
    /// OpenAI's responses.
    Responses,
    /// OpenAI's embeddings: there is a prompt and no text comes back.
    Embeddings,
    /// Anthropic's messages.
    Messages,
    /// Something else that costs tokens, such as an answer service of one's own.
    Other,
}

/// Calls beside a model's that do not run it.
const FREE: [&str; 3] = ["/count_tokens", "/input_tokens", "/cancel"];

impl Dialect {
    /// The dialect of a request, by how its path ends; `None` where no model works for it.
    #[must_use]
    pub fn of(method: &Method, path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if *method != Method::POST || FREE.iter().any(|free| path.ends_with(free)) {
            return None;
        }
        let by_end = [
            ("/chat/completions", Self::Chat),
            ("/completions", Self::Completions),
            ("/responses", Self::Responses),
            ("/embeddings", Self::Embeddings),
            ("/messages", Self::Messages),
        ];
        let known = by_end.into_iter().find(|(end, _)| path.ends_with(end));
        Some(known.map_or(Self::Other, |(_, dialect)| dialect))
    }

    /// Whether its streams tell their usage only where the request asks for it.
    pub(super) const fn must_ask_for_usage(self) -> bool {
        matches!(self, Self::Chat | Self::Completions)
    }

    /// Whether an answer brings text.
    pub(super) const fn answers_text(self) -> bool {
        !matches!(self, Self::Embeddings)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::Dialect;

    #[test]
    fn the_end_of_the_path_tells() {
        let post = |path| Dialect::of(&Method::POST, path);
        assert_eq!(post("/v1/chat/completions"), Some(Dialect::Chat));
        assert_eq!(post("/openai/deployments/a/chat/completions/"), Some(Dialect::Chat));
        assert_eq!(post("/v1/completions"), Some(Dialect::Completions));
        assert_eq!(post("/v1/responses"), Some(Dialect::Responses));
        assert_eq!(post("/v1/embeddings"), Some(Dialect::Embeddings));
        assert_eq!(post("/v1/messages"), Some(Dialect::Messages));
        assert_eq!(post("/ask"), Some(Dialect::Other));
        assert_eq!(post("/v1/messages/count_tokens"), None);
        assert_eq!(post("/v1/responses/resp_1/cancel"), None);
        assert_eq!(Dialect::of(&Method::GET, "/v1/models"), None);
    }
}
