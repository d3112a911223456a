//! The documents the service starts with.
//!
//! They are short notes on running search and RAG systems, one JSON object per line, built
//! into the program so that the demo needs no file and no network.

use serde::{Deserialize, Serialize};

const EMBEDDED: &str = include_str!("../data/corpus.jsonl");

/// One document of the corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Its name in the index, unique.
    pub id: String,
    /// A heading; it is searched like the text.
    pub title: String,
    /// The text itself.
    pub text: String,
}

/// A corpus that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("corpus line {line}: {source}; each line must be an object with id, title and text")]
pub struct CorpusError {
    line: usize,
    source: serde_json::Error,
}

/// The documents built into this crate.
pub fn embedded() -> Result<Vec<Document>, CorpusError> {
    parse(EMBEDDED)
}

/// Reads documents from JSON Lines; empty lines are passed over.
pub fn parse(lines: &str) -> Result<Vec<Document>, CorpusError> {
    lines
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| serde_json::from_str(line).map_err(|source| CorpusError { line: at + 1, source }))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{embedded, parse};

    #[test]
    fn the_embedded_corpus_is_whole_and_its_ids_are_unique() {
        let documents = embedded().unwrap();
        assert!(documents.len() >= 60, "{}", documents.len());
        let ids: HashSet<_> = documents.iter().map(|d| d.id.as_str()).collect();
        assert_eq!(ids.len(), documents.len());
        assert!(documents.iter().all(|d| !d.title.is_empty() && d.text.len() > 80));
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = parse("{\"id\":\"a\",\"title\":\"\",\"text\":\"\"}\n\n{\"id\":1}\n").unwrap_err();
        assert!(error.to_string().starts_with("corpus line 3: "), "{error}");
    }
}
