//! The JSON Schema of the document, for editors and `sluicegate schema`.

use crate::Document;

/// The JSON Schema (draft 2020-12) of a document. Keys whose description begins with "Not
/// available yet" are known and refused.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Document).to_value()
}

#[cfg(test)]
mod tests;
