//! The three versions of the RAG service that the demo's gateway stands in front of.
//!
//! They differ in what an operator would roll out: the documents, and so the hash of the
//! index, the model and the prompt. Their answers stream word by word, as an LLM's do.

use std::{collections::BTreeMap, io};

use sluicegate_demo_rag::{Document, Options, Running, Settings, embedded, start};

use super::config::UPSTREAMS;

/// Milliseconds between two words of an answer: visible, and over in a second or two.
const BETWEEN_WORDS: u64 = 15;

/// Starts them, on free ports, in the order of [`UPSTREAMS`].
pub(super) async fn start_all() -> io::Result<[Running; 3]> {
    let [stable, next, lab] = UPSTREAMS.map(|(name, _)| name);
    let documents = embedded().map_err(io::Error::other)?;
    Ok([
        start_one(stable, "m-1", "p-1", documents.clone()).await?,
        start_one(next, "m-2", "p-2", grown(documents.clone())).await?,
        start_one(lab, "m-3-rc1", "p-2", halved(documents)).await?,
    ])
}

async fn start_one(name: &str, version: &str, prompt: &str, documents: Vec<Document>) -> io::Result<Running> {
    let pins = BTreeMap::from([("PROMPT_VER".to_owned(), prompt.to_owned())]);
    let switches = Settings { slow_tokens_ms: BETWEEN_WORDS, ..Settings::default() };
    let documents = Some(documents);
    start(Options { version: version.to_owned(), pins, switches, documents, ..Options::default() })
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("the instance `{name}`: {error}")))
}

/// The index to come has a document more.
fn grown(mut documents: Vec<Document>) -> Vec<Document> {
    documents.push(Document {
        id: "release-notes-next".to_owned(),
        title: "What the next index brings".to_owned(),
        text: "The next index was built anew from all sources. It holds this note, which the stable \
               index does not, so that an answer shows which of the two it came from."
            .to_owned(),
    });
    documents
}

/// The one to try things on has every second document.
fn halved(documents: Vec<Document>) -> Vec<Document> {
    documents.into_iter().step_by(2).collect()
}
