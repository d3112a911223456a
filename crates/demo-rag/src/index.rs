//! The index: BM25 over documents that change while it is read.
//!
//! Every change is made at once and under one lock with the hash and the count, so a reader
//! never sees a document without the hash that includes it. Texts are cut into tokens
//! outside the lock. The average document length that BM25 needs is taken from the first
//! documents and then kept, so that scores depend on the documents held and not on the way
//! they came in.
//!
//! The hash is a sum: SHA-256 of each document, added lane by lane. A sum does not depend on
//! the order, as hashing the sorted documents would not, but a write costs one document's
//! hash and not the whole corpus; taking a document away gives the former hash again.
//!
//! Bounds: [`MAX_DOCUMENTS`] and [`MAX_BYTES`]; a write past either is refused.

use std::{collections::BTreeMap, sync::Arc};

use bm25::{Embedder, EmbedderBuilder, Embedding, Language, Scorer};
use http::HeaderValue;
use parking_lot::RwLock;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{corpus::Document, pins::Pins};

/// The most documents an index holds.
pub const MAX_DOCUMENTS: usize = 10_000;
/// The most bytes of titles and texts an index holds.
pub const MAX_BYTES: usize = 64 << 20;
/// The scorer keeps an empty entry for each token that was ever seen, so it is made anew
/// after this many documents were taken out of it.
const RENEW_AFTER: usize = 10_000;

pub(crate) struct Index {
    pins: Pins,
    embedder: Embedder,
    inner: RwLock<Inner>,
}

struct Inner {
    scorer: Scorer<Arc<str>>,
    documents: BTreeMap<Arc<str>, Held>,
    sum: [u64; 4],
    bytes: usize,
    removals: usize,
    seal: Seal,
}

struct Held {
    document: Arc<Document>,
    embedding: Embedding,
    digest: [u64; 4],
}

/// What the index held when it was read: told in the answer and in its header.
#[derive(Clone, Debug)]
pub(crate) struct Seal(Arc<Sealed>);

#[derive(Debug)]
struct Sealed {
    hash: String,
    count: usize,
    header: HeaderValue,
}

impl Seal {
    pub(crate) fn hash(&self) -> &str {
        &self.0.hash
    }

    pub(crate) fn count(&self) -> usize {
        self.0.count
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.header.clone()
    }
}

/// A document that matches a query.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub(crate) document: Arc<Document>,
    pub(crate) score: f32,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Created,
    Replaced,
    Deleted,
}

/// Why a write was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IndexError {
    #[error("a document with this id exists; PUT replaces it")]
    Exists,
    #[error("no document has this id")]
    Missing,
    #[error("the index is full: it holds {MAX_DOCUMENTS} documents or {MAX_BYTES} bytes; delete some first")]
    Full,
}

impl Index {
    pub(crate) fn new(pins: Pins, documents: Vec<Document>) -> Self {
        let texts = documents.iter().map(searched).collect::<Vec<_>>();
        let texts = texts.iter().map(String::as_str).collect::<Vec<_>>();
        let embedder = EmbedderBuilder::with_fit_to_corpus(Language::English, &texts).build();
        let inner = Inner {
            scorer: Scorer::new(),
            documents: BTreeMap::new(),
            sum: [0; 4],
            bytes: 0,
            removals: 0,
            seal: seal(&pins, &[0; 4], 0),
        };
        let index = Self { pins, embedder, inner: RwLock::new(inner) };
        for document in documents {
            // A first document past the bounds is left out, as a later one would be.
            let _ = index.put(document, false);
        }
        index
    }

    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }

    pub(crate) fn seal(&self) -> Seal {
        self.inner.read().seal.clone()
    }

    pub(crate) fn manifest(&self) -> (Map<String, Value>, Seal) {
        let seal = self.seal();
        (self.pins.manifest(seal.hash(), seal.count()), seal)
    }

    /// The `k` best documents for `query`, best first; equal scores in the order of ids.
    pub(crate) fn search(&self, query: &str, k: usize) -> (Vec<Hit>, Seal) {
        let query = self.embedder.embed(query);
        let inner = self.inner.read();
        let mut scored = inner.scorer.matches(&query);
        scored.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)));
        let hits = scored
            .into_iter()
            .take(k)
            .filter_map(|found| {
                let document = Arc::clone(&inner.documents.get(&found.id)?.document);
                Some(Hit { document, score: found.score })
            })
            .collect();
        (hits, inner.seal.clone())
    }

    /// The places of the `texts` that match `query`, best first.
    pub(crate) fn rank(&self, query: &str, texts: &[&str]) -> Vec<usize> {
        let mut places = Scorer::<usize>::new();
        for (place, text) in texts.iter().enumerate() {
            places.upsert(&place, self.embedder.embed(text));
        }
        let mut scored = places.matches(&self.embedder.embed(query));
        scored.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)));
        scored.into_iter().map(|found| found.id).collect()
    }

    pub(crate) fn get(&self, id: &str) -> (Option<Arc<Document>>, Seal) {
        let inner = self.inner.read();
        (inner.documents.get(id).map(|held| Arc::clone(&held.document)), inner.seal.clone())
    }

    /// Up to `limit` documents whose ids come after `after`, in the order of ids.
    pub(crate) fn list(&self, after: &str, limit: usize) -> (Vec<Arc<Document>>, Seal) {
        use std::ops::Bound::{Excluded, Unbounded};
        let inner = self.inner.read();
        let later = inner.documents.range::<str, _>((Excluded(after), Unbounded));
        (later.take(limit).map(|(_, held)| Arc::clone(&held.document)).collect(), inner.seal.clone())
    }

    /// Writes a document; where `only_new`, one that exists is left as it is.
    pub(crate) fn put(&self, document: Document, only_new: bool) -> Result<(Change, Seal), IndexError> {
        let embedding = self.embedder.embed(&searched(&document));
        let digest = digest(&document);
        let id = Arc::<str>::from(document.id.as_str());
        let mut inner = self.inner.write();
        let former = inner.documents.get(&id).map(|held| size(&held.document));
        if only_new && former.is_some() {
            return Err(IndexError::Exists);
        }
        let bytes = inner.bytes - former.unwrap_or(0) + size(&document);
        let count = inner.documents.len() + usize::from(former.is_none());
        if count > MAX_DOCUMENTS || bytes > MAX_BYTES {
            return Err(IndexError::Full);
        }
        inner.take(&id);
        inner.bytes += size(&document);
        add(&mut inner.sum, digest);
        inner.scorer.upsert(&id, embedding.clone());
        inner.documents.insert(id, Held { document: Arc::new(document), embedding, digest });
        let change = if former.is_some() { Change::Replaced } else { Change::Created };
        Ok((change, inner.sealed(&self.pins)))
    }

    pub(crate) fn delete(&self, id: &str) -> Result<(Change, Seal), IndexError> {
        let mut inner = self.inner.write();
        if !inner.take(id) {
            return Err(IndexError::Missing);
        }
        Ok((Change::Deleted, inner.sealed(&self.pins)))
    }
}

impl Inner {
    /// Takes a document out, if it is there.
    fn take(&mut self, id: &str) -> bool {
        let Some((id, held)) = self.documents.remove_entry(id) else { return false };
        self.bytes -= size(&held.document);
        subtract(&mut self.sum, held.digest);
        self.scorer.remove(&id);
        self.removals += 1;
        if self.removals >= RENEW_AFTER {
            self.removals = 0;
            self.scorer = Scorer::new();
            for (id, held) in &self.documents {
                self.scorer.upsert(id, held.embedding.clone());
            }
        }
        true
    }

    fn sealed(&mut self, pins: &Pins) -> Seal {
        self.seal = seal(pins, &self.sum, self.documents.len());
        self.seal.clone()
    }
}

fn seal(pins: &Pins, sum: &[u64; 4], count: usize) -> Seal {
    let hash = pins.index_hash(format!("{:016x}", sum[0]));
    let header = pins.header(&hash, count);
    Seal(Arc::new(Sealed { hash, count, header }))
}

fn searched(document: &Document) -> String {
    format!("{} {}", document.title, document.text)
}

fn size(document: &Document) -> usize {
    document.id.len() + document.title.len() + document.text.len()
}

/// SHA-256 of a document; each part goes in with its length, so that no two documents with
/// their borders elsewhere look the same.
fn digest(document: &Document) -> [u64; 4] {
    let mut hasher = Sha256::new();
    for part in [&document.id, &document.title, &document.text] {
        hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let bytes = hasher.finalize();
    let mut lanes = [0; 4];
    for (lane, chunk) in lanes.iter_mut().zip(bytes.chunks_exact(8)) {
        *lane = chunk.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte));
    }
    lanes
}

fn add(sum: &mut [u64; 4], digest: [u64; 4]) {
    for (lane, more) in sum.iter_mut().zip(digest) {
        *lane = lane.wrapping_add(more);
    }
}

fn subtract(sum: &mut [u64; 4], digest: [u64; 4]) {
    for (lane, less) in sum.iter_mut().zip(digest) {
        *lane = lane.wrapping_sub(less);
    }
}

#[cfg(test)]
mod tests;
